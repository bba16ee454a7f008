"""Half of all connections lost at once, with their node, and all of them back."""

import contextlib
import http.client
import json
import time
from collections.abc import Iterator, Sequence

from tests.bench import processes, workers
from tests.bench.crowd import CUT, Crowd
from tests.bench.figures import Storm
from tests.bench.lanes import MessagesLostError
from tests.bench.links import Opener
from tests.bench.plan import Plan
from tests.bench.servers import Server, running
from tests.bench.stage import Progress, doors, wait_quiet
from tests.bench.targets import HOST, HubTarget, desktop_of
from tests.bench.workers import Seats

_KILLED = 0
_BACK_LIMIT_S = 120.0
_RIGHT_LIMIT_S = 60.0
_ASKED_AT_ONCE = 1_000
_PATIENCE_S = 0.1
_AFTER_S = 3.0


def storm(hub: HubTarget, plan: Plan, progress: Progress) -> list[Storm]:
    """One of two workers is killed, and its clients come back with back-off."""
    figures = []
    for pairs in plan.storm_pairs:
        progress(f"storm: {2 * pairs} connections, one of two workers is killed")
        with running(hub) as server, _crowd(server, pairs) as (crowd, seats):
            figures.append(_break(hub, server, crowd, seats, pairs))
    return figures


@contextlib.contextmanager
def _crowd(server: Server, pairs: int) -> Iterator[tuple[Crowd, Seats]]:
    seats = Seats()
    everybody = doors(server, "desktop", range(pairs)) + doors(server, "mobile", range(pairs))
    links = Opener(server.launch.port, seats, limit_s=_BACK_LIMIT_S).open(everybody)
    with contextlib.closing(Crowd(server.launch.port, everybody, links, seats)) as crowd:
        wait_quiet(server, lambda seconds: _pass(crowd, seconds))
        yield crowd, seats


def _break(hub: HubTarget, server: Server, crowd: Crowd, seats: Seats, pairs: int) -> Storm:
    doomed = sum(workers.worker_of(node) == _KILLED for node in seats.nodes.values())
    dead = {node for node in seats.nodes.values() if workers.worker_of(node) == _KILLED}
    idle = server.resident_kib()
    began = time.monotonic()
    workers.kill(server, _KILLED)
    _until_back(crowd, doomed)
    back = time.monotonic()
    _until_right(hub, server, crowd, seats, pairs)
    right = time.monotonic()
    if crowd.lost[CUT] != doomed or dead & set(seats.nodes.values()):
        raise MessagesLostError(f"{crowd.lost} connections were lost, where the killed worker had {doomed}")
    _pass(crowd, _AFTER_S)
    peak, after = processes.peak_kib(server.pid), server.resident_kib()
    return Storm(
        connections=2 * pairs,
        lost=doomed,
        closed={how: times for how, times in crowd.lost.items() if how != CUT},
        tries=crowd.tries,
        back_s=back - began,
        right_s=right - began,
        idle_mib=idle.total / 1024,
        peak_mib=peak.total / 1024,
        after_mib=after.total / 1024,
    )


def _until_back(crowd: Crowd, doomed: int) -> None:
    deadline = time.monotonic() + _BACK_LIMIT_S
    while crowd.lost[CUT] < doomed or crowd.away:
        crowd.turn(_PATIENCE_S)
        if time.monotonic() > deadline:
            raise MessagesLostError(
                f"{crowd.away} clients are not back, {crowd.lost[CUT]} of {doomed} noticed the loss"
            )


def _until_right(hub: HubTarget, server: Server, crowd: Crowd, seats: Seats, pairs: int) -> None:
    """Every desktop is online, at the node that welcomed it last."""
    deadline = time.monotonic() + _RIGHT_LIMIT_S
    token = hub.service_token()
    wrong: Sequence[int] = range(pairs)
    while wrong := wrong_records(ask_presence(server.launch.port, token, wrong), seats, wrong):
        if time.monotonic() > deadline:
            raise MessagesLostError(f"the records of {len(wrong)} desktops are wrong, that of {wrong[0]} is one")
        _pass(crowd, _PATIENCE_S)


def wrong_records(answers: Sequence[dict[str, object]], seats: Seats, pairs: Sequence[int]) -> Sequence[int]:
    """The pairs whose desktop isn't said to be where it is."""
    return [
        pair
        for pair, answer in zip(pairs, answers, strict=True)
        if answer.get("state") != "online" or answer.get("node_id") != seats.nodes[f"desktop {pair}"]
    ]


def ask_presence(port: int, token: str, pairs: Sequence[int]) -> list[dict[str, object]]:
    """What `POST /internal/presence/query` says of these pairs' desktops."""
    answers: list[dict[str, object]] = []
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    for start in range(0, len(pairs), _ASKED_AT_ONCE):
        ids = [desktop_of(pair) for pair in pairs[start : start + _ASKED_AT_ONCE]]
        with contextlib.closing(http.client.HTTPConnection(HOST, port, timeout=10)) as connection:
            connection.request("POST", "/internal/presence/query", json.dumps({"desktop_ids": ids}), headers)
            answers += json.loads(connection.getresponse().read())["desktops"]
    return answers


def _pass(crowd: Crowd, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        crowd.turn(left)
