"""What is measured: one function a scenario, one figure for every round and server."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.bench.figures import Flat, Handshake, Idle, Latency, Relay
from tests.bench.links import Door, Link, Opener, close_all
from tests.bench.load import Lane, Load
from tests.bench.processes import Usage
from tests.bench.servers import Server, running
from tests.bench.stats import percentile
from tests.bench.targets import Target

_PAIRS = 100
_WINDOWS = (1, 8)
_LATENCY_RATE = 2_000
_FLAT_RATE = 20_000
_HEARTBEAT_S = 30.0
_QUIET_CPU_S = 0.02
_QUIET_SPAN_S = 0.5
_QUIET_LIMIT_S = 8.0

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How long and how often."""

    rounds: int
    relay_s: float
    latency_s: float
    idle_pairs: int
    idle_s: float
    handshakes: int
    flat_rounds: int
    flat_pairs: tuple[int, ...]
    flat_s: float


FULL = Plan(3, 2.5, 4.0, 4_500, 25.0, 3_000, 2, (10, 100, 1_000, 4_500), 3.0)
QUICK = Plan(1, 1.5, 3.0, 1_000, 5.0, 1_000, 1, (10, 100, 1_000), 1.5)


def relay(targets: Sequence[Target], plan: Plan, progress: Progress) -> list[Relay]:
    """Desktop to mobile at saturation: every pair keeps its window of messages in flight."""
    figures = []
    for target in _alternating(targets, plan.rounds, "relay", progress):
        with _pairs(target, _PAIRS) as (server, load):
            figures += [_saturate(server, load, window, plan.relay_s) for window in _WINDOWS]
    return figures


def _saturate(server: Server, load: Load, window: int, seconds: float) -> Relay:
    load.start_window(window)
    load.closed_loop(0.5, window)
    count, cpu, start = load.received, server.cpu_seconds(), time.monotonic()
    load.closed_loop(seconds, window)
    elapsed = time.monotonic() - start
    used = server.cpu_seconds() - cpu
    count = load.received - count
    load.drain()
    return Relay(server.target.name, window, used.total * 1e6 / count, count / elapsed, used.total / elapsed)


def latency(targets: Sequence[Target], plan: Plan, progress: Progress) -> list[Latency]:
    """From the moment a message was due to its arrival, at a rate that every server can bear."""
    figures = []
    for target in _alternating(targets, plan.rounds, "latency", progress):
        with _pairs(target, _PAIRS) as (_, load):
            load.open_loop(_LATENCY_RATE, 0.5)
            delays, lateness = load.open_loop(_LATENCY_RATE, plan.latency_s)
            load.drain()
        delays.sort()
        lateness.sort()
        p50, p99, p999 = (percentile(delays, share) / 1e3 for share in (0.5, 0.99, 0.999))
        figures.append(Latency(target.name, p50, p99, p999, percentile(lateness, 0.99) / 1e3))
    return figures


def idle(hub: Target, plan: Plan, progress: Progress) -> list[Idle]:
    """Memory and CPU of connections that do nothing but prove that they live."""
    progress(f"idle: {2 * plan.idle_pairs} connections")
    with running(hub) as server, contextlib.closing(Load()) as load:
        empty = server.resident_kib()
        _add_pairs(server, load, plan.idle_pairs)
        cpu, start = server.cpu_seconds(), time.monotonic()
        load.hold(plan.idle_s, _HEARTBEAT_S)
        elapsed = time.monotonic() - start
        used = server.cpu_seconds() - cpu
        grown = server.resident_kib() - empty
    count = 2 * plan.idle_pairs
    return [Idle(count, empty.own, grown.own / count, grown.store / count, used.own / elapsed, used.store / elapsed)]


def handshake(targets: Sequence[Target], plan: Plan, progress: Progress) -> list[Handshake]:
    """Connection, upgrade, token check and `welcome`, of desktops and then of mobiles of other users."""
    figures = []
    for target in _alternating(targets, plan.rounds, "handshake", progress):
        with running(target) as server:
            links = _open(server, "desktop", range(100)) + _open(server, "mobile", range(100))
            try:
                desktops = _shake(server, "desktop", range(1_000, 1_000 + plan.handshakes), links)
                mobiles = _shake(server, "mobile", range(10_000, 10_000 + plan.handshakes), links)
            finally:
                close_all(links)
        figures.append(Handshake(target.name, desktops.own, mobiles.own, desktops.store, mobiles.store))
    return figures


def _shake(server: Server, kind: str, pairs: range, links: list[Link]) -> Usage:
    """Microseconds of CPU for each handshake, with all that the server does after it."""
    doors = _doors(server, kind, pairs)
    _wait_quiet(server)
    cpu = server.cpu_seconds()
    links += _knock(server, doors)
    _wait_quiet(server)
    used = server.cpu_seconds() - cpu
    return Usage(used.own * 1e6 / len(pairs), used.store * 1e6 / len(pairs))


def flat(hub: Target, plan: Plan, progress: Progress) -> list[Flat]:
    """The same rate of messages over ever more pairs of one server."""
    figures = []
    for target in _alternating([hub], plan.flat_rounds, "flat", progress):
        with running(target) as server, contextlib.closing(Load()) as load:
            for pairs in plan.flat_pairs:
                _add_pairs(server, load, pairs)
                figures.append(_steady(server, load, plan.flat_s))
    return figures


def _steady(server: Server, load: Load, seconds: float) -> Flat:
    load.open_loop(_FLAT_RATE, 0.5)
    cpu, start = server.cpu_seconds(), time.monotonic()
    delays, _ = load.open_loop(_FLAT_RATE, seconds)
    elapsed = time.monotonic() - start
    used = server.cpu_seconds() - cpu
    load.drain()
    return Flat(load.pairs, used.total * 1e6 / len(delays), len(delays) / elapsed)


def _alternating(targets: Sequence[Target], rounds: int, name: str, progress: Progress) -> Iterator[Target]:
    """Every server in every round, and with each round another one first."""
    for turn in range(rounds):
        shift = turn % len(targets)
        for target in (*targets[shift:], *targets[:shift]):
            progress(f"{name}: round {turn + 1} of {rounds}, {target.name}")
            yield target


@contextlib.contextmanager
def _pairs(target: Target, pairs: int) -> Iterator[tuple[Server, Load]]:
    """A fresh server with so many pairs on it, at rest."""
    with running(target) as server, contextlib.closing(Load()) as load:
        _add_pairs(server, load, pairs)
        yield server, load


def _add_pairs(server: Server, load: Load, pairs: int) -> None:
    """Opens as many pairs as are missing, and waits until the server has calmed down."""
    numbers = range(load.pairs, pairs)
    desktops = _open(server, "desktop", numbers)
    mobiles = _open(server, "mobile", numbers)
    load.add([Lane(desktop, mobile) for desktop, mobile in zip(desktops, mobiles, strict=True)])
    _wait_quiet(server, load.settle)


def _open(server: Server, kind: str, pairs: range) -> list[Link]:
    return _knock(server, _doors(server, kind, pairs))


def _doors(server: Server, kind: str, pairs: range) -> list[Door]:
    return [Door(f"{kind} {pair}", *server.target.door(kind, pair)) for pair in pairs]


def _knock(server: Server, doors: list[Door]) -> list[Link]:
    return Opener(server.launch.port, greets=server.target.greets).open(doors)


def _wait_quiet(server: Server, pause: Callable[[float], None] = time.sleep) -> None:
    """Waits until the server has next to nothing to do any more, but not for ever."""
    deadline = time.monotonic() + _QUIET_LIMIT_S
    before = server.cpu_seconds()
    while time.monotonic() < deadline:
        pause(_QUIET_SPAN_S)
        after = server.cpu_seconds()
        if (after - before).total <= _QUIET_CPU_S:
            return
        before = after
