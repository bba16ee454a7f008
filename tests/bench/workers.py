"""The workers of a hub under test: which process is which, and what each has used."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from tests.bench import processes
from tests.bench.links import Link, Opener, close_all, welcomed
from tests.bench.servers import Server, ServerFailedError
from tests.bench.stage import doors

_MODULE = "hub.workers.worker"
_MOST_TIMES = 20


@dataclass(frozen=True)
class Parts:
    """One figure, for each worker by its number, and for the rest of the server's processes."""

    workers: tuple[float, ...]
    store: float

    @property
    def nodes(self) -> float:
        """All workers together."""
        return sum(self.workers)

    @property
    def total(self) -> float:
        """Valkey, too."""
        return self.nodes + self.store

    def __sub__(self, earlier: "Parts") -> "Parts":
        return Parts(
            tuple(now - before for now, before in zip(self.workers, earlier.workers, strict=True)),
            self.store - earlier.store,
        )

    def each_us(self, count: int) -> "Parts":
        """Of seconds: microseconds for each of so many."""
        return Parts(tuple(each * 1e6 / count for each in self.workers), self.store * 1e6 / count)


def worker_pids(server: Server) -> dict[int, int]:
    """The living workers' processes, by number."""
    found = {}
    for process in processes.tree(server.pid):
        words = processes.command_line(process.pid)
        if _MODULE in words:
            found[int(words[words.index(_MODULE) + 1])] = process.pid
    return dict(sorted(found.items()))


def used(server: Server) -> Parts:
    """Seconds of CPU so far; the parent's, who does nothing, are left out."""
    seconds = {process.pid: process.cpu_s for process in processes.tree(server.pid)}
    store = sum(process.cpu_s for process in processes.tree(server.pid) if process.is_store)
    return Parts(tuple(seconds[pid] for pid in worker_pids(server).values()), store)


def kill(server: Server, number: int) -> None:
    """End a worker as a crash would."""
    os.kill(worker_pids(server)[number], signal.SIGKILL)


def worker_of(node_id: str) -> int:
    """The number of the worker whose node has this id: `NAME.NUMBER/LIFE`."""
    return int(node_id.rpartition("/")[0].rpartition(".")[2])


class Seats:
    """A client is in with `welcome`; which node said it is kept."""

    def __init__(self) -> None:
        self.nodes: dict[str, str] = {}
        """By the names of the links."""

    def worker(self, link: Link) -> int:
        """The number of the worker that welcomed a link."""
        return worker_of(self.nodes[link.name])

    def __call__(self, link: Link, messages: Sequence[bytes]) -> bool:
        """Reads the node's id."""
        if not welcomed(link, messages):
            return False
        self.nodes[link.name] = json.loads(messages[0])["payload"]["node_id"]
        return True


Places: TypeAlias = tuple[int, int]
"""The workers of a desktop and of its mobile."""


class Seated(NamedTuple):
    """A pair, and its two connections."""

    pair: int
    desktop: Link
    mobile: Link


@contextlib.contextmanager
def seated(server: Server, wanted: Mapping[Places, int]) -> Iterator[Mapping[Places, Sequence[Seated]]]:
    """So many pairs of each kind of places. The kernel chooses the workers; so more are opened than are wanted."""
    found: dict[Places, list[Seated]] = {places: [] for places in wanted}
    seats, opened, at_once = Seats(), 0, max(wanted.values())
    try:
        while any(len(found[places]) < count for places, count in wanted.items()):
            for pair in _open(server, seats, range(opened, opened + at_once)):
                _take(pair, (seats.worker(pair.desktop), seats.worker(pair.mobile)), found, wanted)
            opened += at_once
            if opened > _MOST_TIMES * sum(wanted.values()):
                raise ServerFailedError(f"of {opened} pairs not enough are where they are wanted")
        yield found
    finally:
        close_all(link for pairs in found.values() for pair in pairs for link in (pair.desktop, pair.mobile))


def _take(pair: Seated, places: Places, found: dict[Places, list[Seated]], wanted: Mapping[Places, int]) -> None:
    if len(found[places]) < wanted[places]:
        found[places].append(pair)
    else:
        close_all((pair.desktop, pair.mobile))


def _open(server: Server, seats: Seats, pairs: range) -> list[Seated]:
    desktops = Opener(server.launch.port, seats).open(doors(server, "desktop", pairs))
    mobiles = Opener(server.launch.port, seats).open(doors(server, "mobile", pairs))
    return [Seated(*ends) for ends in zip(pairs, desktops, mobiles, strict=True)]
