"""What the calls cost that nodes with neighbours make: by themselves, against a Valkey of their own."""

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from actors.ids import ConnectionId, DesktopId, Epoch, NodeId, UserId
from actors.messages import CameOnline, PresenceRecord
from actors.nodes import HeldDesktop, Share
from hub.cluster import keys, scripts
from hub.cluster.asked import Asked
from hub.cluster.leases import Leases
from hub.cluster.roster import BATCH
from hub.cluster.words import decode_share
from hub.embedded_valkey import EmbeddedValkey
from hub.presence.store import RedisPresenceStore
from hub.revocation.entries import STREAM
from hub.store.calls import Calls, Command
from hub.store.client import Client, connect
from tests.bench.cores import on_server_core
from tests.bench.figures import Asking
from tests.bench.plan import Plan
from tests.bench.processes import cpu_seconds
from tests.bench.stage import Progress

NODES = (2, 10, 100, 1_000)
_OWN, _OTHER = NodeId("bench.0/1"), NodeId("bench.1/1")
_START_S = 10.0
_TIMEOUT_S = 30.0
_TTL_MS = 600_000
_BEATS_SHARE = 20
"""A beat is asked for so many times more seldom: with a thousand nodes it is dear."""
_ALIVE_FOR_MS = 3_600_000
_ABOUT = {
    "state": "ready",
    "since": 1_790_000_000_000,
    "version": "0.4.0",
    "connections": {"desktop": 4_500, "mobile": 4_500},
}
"""As a node tells about itself."""


class _Bench(NamedTuple):
    client: Client
    calls: Calls
    pid: int
    times: int


def asking(plan: Plan, progress: Progress) -> list[Asking]:
    """Each call so many times, in batches as the hub sends them."""
    progress(f"asking: each call {plan.asked:,} times")
    return asyncio.run(_ask_all(plan.asked))


async def _ask_all(times: int) -> list[Asking]:
    async with _valkey() as valkey, contextlib.aclosing(connect(valkey.url, int(_TIMEOUT_S * 1000))) as client:
        await valkey.wait_ready(_START_S)
        calls = Calls(client, _TIMEOUT_S, scripts.ALL, 2, chunk=BATCH)
        bench = _Bench(client, calls, valkey.pid or 0, times)
        figures = [
            await _cost(bench, "ENTER, nobody else holds the user", times, lambda: _enter(bench)),
            await _cost(bench, "ENTER, another node holds the user, too", times, lambda: _enter_beside(bench)),
            await _cost(bench, "presence record written", times, lambda: _renew(bench)),
            await _cost(bench, "presence record renewed", times, lambda: _renew(bench)),
            await _cost(bench, "desktop online, told to the stream, too", times, lambda: _appear(bench)),
            await _cost(
                bench, "clean-up behind a node, a record that is another's", 2 * times, lambda: _clean_up(bench)
            ),
            await _cost(bench, "sign of Redis' life", times // _BEATS_SHARE, lambda: _life_signs(bench)),
            await _cost(bench, "look for revocations", times // _BEATS_SHARE, lambda: _revocations(bench)),
        ]
        for nodes in NODES:
            beats = times // _BEATS_SHARE
            leases = await _leases(bench, nodes)
            figures.append(await _cost(bench, f"BEAT, {nodes:,} nodes", beats, lambda: _beat(leases, beats)))  # noqa: B023 - called at once
    return figures


@contextlib.asynccontextmanager
async def _valkey() -> AsyncIterator[EmbeddedValkey]:
    with tempfile.TemporaryDirectory(prefix="hub-bench-") as folder:
        valkey = EmbeddedValkey(Path(folder))
        with on_server_core():
            valkey.start()
        try:
            yield valkey
        finally:
            valkey.stop()


async def _cost(bench: _Bench, call: str, times: int, work: Callable[[], Awaitable[object]]) -> Asking:
    own, store = time.process_time(), cpu_seconds(bench.pid).total
    await work()
    own, store = time.process_time() - own, cpu_seconds(bench.pid).total - store
    return Asking(call, own * 1e6 / times, store * 1e6 / times)


async def _run(bench: _Bench, commands: Iterator[Command]) -> list[object]:
    replies: list[object] = []
    while batch := [command for command, _ in zip(commands, range(BATCH), strict=False)]:
        async with bench.calls.bounded():
            replies += await bench.calls.run(batch)
    return replies


async def _enter(bench: _Bench) -> None:
    await _run(bench, (_asked(number).command(_user(number), _OWN, 0, _TTL_MS) for number in range(bench.times)))


async def _enter_beside(bench: _Bench) -> None:
    """Its reply is read, as the roster does."""
    for reply in await _run(
        bench, (_asked(number).command(_user(number), _OTHER, 0, _TTL_MS) for number in range(bench.times))
    ):
        assert isinstance(reply, list)
        shares = dict(zip(*[iter(reply)] * 2, strict=True))
        assert decode_share(shares[_OWN.encode()]) is not None


def _asked(number: int) -> Asked:
    desktop = HeldDesktop(DesktopId(f"d{number:05}"), Epoch(1_790_000_000_000_000), "Desktop", "linux", 1, 1)
    return Asked(Share(1, (desktop,), {}, 1))


def _store(bench: _Bench) -> RedisPresenceStore:
    return RedisPresenceStore(bench.client, 90.0, 10_000, 1_000, timeout_s=_TIMEOUT_S)


async def _renew(bench: _Bench) -> None:
    store = _store(bench)
    for start in range(0, bench.times, BATCH):
        await store.apply((), [_record(number) for number in range(start, min(start + BATCH, bench.times))])


async def _appear(bench: _Bench) -> None:
    """Desktops that nobody has seen before."""
    store, end = _store(bench), 2 * bench.times
    for start in range(bench.times, end, BATCH):
        came = [CameOnline(_record(number), announce=True) for number in range(start, min(start + BATCH, end))]
        await store.apply(came)


async def _clean_up(bench: _Bench) -> None:
    """All records that the two before wrote are looked at, and none is ended."""
    await _store(bench).clear_node(NodeId("bench.9/1"))


async def _life_signs(bench: _Bench) -> None:
    store = _store(bench)
    for _ in range(bench.times // _BEATS_SHARE):
        await store.life_signs(_OWN)


def _record(number: int) -> PresenceRecord:
    names = DesktopId(f"d{number:05}"), _user(number), _OWN, ConnectionId(f"c{number:015}")
    return PresenceRecord(*names, Epoch(1_790_000_000_000_000), "Desktop", "linux", 1, 1)


async def _revocations(bench: _Bench) -> None:
    for _ in range(bench.times // _BEATS_SHARE):
        async with bench.calls.bounded():
            await bench.calls.run([("XRANGE", STREAM, "-", "+", "COUNT", 128)])


async def _leases(bench: _Bench, nodes: int) -> Leases:
    """Of one node among so many that live."""
    about = json.dumps(_ABOUT)
    until = int(time.time() * 1000) + _ALIVE_FOR_MS
    others = [f"bench.{number}/00000000" for number in range(1, nodes)]
    scores = [each for other in others for each in (until, other)]
    fields = [each for other in others for each in (other, about)]
    await _run(bench, iter([("ZADD", keys.LEASES, *scores), ("HSET", keys.ABOUT, *fields)]))

    async def clean(_: NodeId) -> None:
        raise AssertionError("no node is lost here")

    return Leases(
        bench.calls,
        node_id=NodeId("bench.0/00000000"),
        lease_s=3_600,
        about=lambda: _ABOUT,
        gone=lambda _: None,
        anew=lambda: None,
        clean=clean,
    )


async def _beat(leases: Leases, times: int) -> None:
    for _ in range(times):
        await leases.look()


def _user(number: int) -> UserId:
    return UserId(f"u{number:05}")
