"""What the scenarios share: a fresh server with clients on it, at rest, and what it uses while they do something."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from tests.bench.frames import said
from tests.bench.lanes import Lane, SpeechLane
from tests.bench.links import Door, Link, Opener, upgraded, welcomed
from tests.bench.load import Load
from tests.bench.processes import Usage
from tests.bench.servers import Server, running
from tests.bench.targets import Target

PAIRS = 100
LATENCY_RATE = 2_000
_QUIET_CPU_S = 0.02
_QUIET_SPAN_S = 0.5
_QUIET_LIMIT_S = 8.0

T = TypeVar("T")
Progress: TypeAlias = Callable[[str], None]
LaneMaker: TypeAlias = Callable[[int, Link, Link], Lane]
"""Makes a pair's lane of its number, its desktop and its mobile."""


@dataclass(frozen=True)
class Spent(Generic[T]):
    """What the server used while something was done, and what came of that."""

    result: T
    cpu: Usage
    """Seconds."""
    elapsed: float

    @property
    def busy(self) -> float:
        """Share of its core."""
        return self.cpu.total / self.elapsed

    def each_us(self, count: int) -> Usage:
        """Microseconds of CPU for each of so many."""
        return Usage(self.cpu.own * 1e6 / count, self.cpu.store * 1e6 / count)


def spent(server: Server, work: Callable[[], T]) -> Spent[T]:
    """Does the work, and tells what the server used meanwhile."""
    cpu, start = server.cpu_seconds(), time.monotonic()
    result = work()
    elapsed = time.monotonic() - start
    return Spent(result, server.cpu_seconds() - cpu, elapsed)


def speaking(kind: str) -> LaneMaker:
    """Pairs whose desktop says messages of this kind."""
    sample = said(kind)
    return lambda _pair, desktop, mobile: SpeechLane(desktop, mobile, sample)


STREAMING = speaking("agent:stream")


def alternating(targets: Sequence[Target], rounds: int, name: str, progress: Progress) -> Iterator[Target]:
    """Every server in every round, and with each round another one first."""
    for turn in range(rounds):
        shift = turn % len(targets)
        for target in (*targets[shift:], *targets[:shift]):
            progress(f"{name}: round {turn + 1} of {rounds}, {target.name}")
            yield target


@contextlib.contextmanager
def pairs_on(target: Target, make_lane: LaneMaker = STREAMING) -> Iterator[tuple[Server, Load]]:
    """A fresh server with 100 pairs on it, at rest."""
    with running(target) as server, contextlib.closing(Load()) as load:
        add_pairs(server, load, PAIRS, make_lane)
        yield server, load


def add_pairs(server: Server, load: Load, pairs: int, make_lane: LaneMaker = STREAMING) -> None:
    """Opens as many pairs as are missing, and waits until the server has calmed down."""
    numbers = range(load.pairs, pairs)
    desktops = open_links(server, "desktop", numbers)
    mobiles = open_links(server, "mobile", numbers)
    load.add([make_lane(*ends) for ends in zip(numbers, desktops, mobiles, strict=True)])
    wait_quiet(server, load.settle)


def open_links(server: Server, kind: str, pairs: range) -> list[Link]:
    """Opens a desktop or a mobile of each of these pairs."""
    return knock(server, doors(server, kind, pairs))


def doors(server: Server, kind: str, pairs: Iterable[int]) -> list[Door]:
    """Where a desktop or a mobile of each of these pairs goes."""
    return [Door(f"{kind} {pair}", *server.target.door(kind, pair)) for pair in pairs]


def knock(server: Server, doors: list[Door]) -> list[Link]:
    """Opens a link for each door."""
    return Opener(server.launch.port, welcomed if server.target.greets else upgraded).open(doors)


def wait_quiet(server: Server, pause: Callable[[float], None] = time.sleep) -> None:
    """Waits until the server has next to nothing to do any more, but not for ever."""
    deadline = time.monotonic() + _QUIET_LIMIT_S
    before = server.cpu_seconds()
    while time.monotonic() < deadline:
        pause(_QUIET_SPAN_S)
        after = server.cpu_seconds()
        if (after - before).total <= _QUIET_CPU_S:
            return
        before = after
