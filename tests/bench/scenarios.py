"""What is measured: one function a scenario, one figure for every round and server."""

import contextlib
from collections.abc import Sequence

from tests.bench.figures import Flat, Handshake, Idle, Latency, Relay
from tests.bench.links import Link, close_all
from tests.bench.load import Load
from tests.bench.plan import Plan
from tests.bench.processes import Usage
from tests.bench.servers import Server, running
from tests.bench.stage import (
    LATENCY_RATE,
    Progress,
    add_pairs,
    alternating,
    doors,
    knock,
    open_links,
    pairs_on,
    spent,
    wait_quiet,
)
from tests.bench.stats import percentile
from tests.bench.targets import Target

_WINDOWS = (1, 8)
_FLAT_RATE = 20_000
_HEARTBEAT_S = 30.0


def relay(targets: Sequence[Target], plan: Plan, progress: Progress) -> list[Relay]:
    """Desktop to mobile at saturation: every pair keeps its window of messages in flight."""
    figures = []
    for target in alternating(targets, plan.rounds, "relay", progress):
        with pairs_on(target) as (server, load):
            figures += [_saturate(server, load, window, plan.relay_s) for window in _WINDOWS]
    return figures


def _saturate(server: Server, load: Load, window: int, seconds: float) -> Relay:
    load.start_window(window)
    load.closed_loop(0.5, window)
    before = load.received
    run = spent(server, lambda: load.closed_loop(seconds, window))
    count = load.received - before
    load.drain()
    return Relay(server.target.name, window, run.each_us(count).total, count / run.elapsed, run.busy)


def latency(targets: Sequence[Target], plan: Plan, progress: Progress) -> list[Latency]:
    """From the moment a message was due to its arrival, at a rate that every server can bear."""
    figures = []
    for target in alternating(targets, plan.rounds, "latency", progress):
        with pairs_on(target) as (_, load):
            load.open_loop(LATENCY_RATE, 0.5)
            delays, lateness = load.open_loop(LATENCY_RATE, plan.latency_s)
            load.drain()
        delays.sort()
        lateness.sort()
        p50, p99, p999 = (percentile(delays, share) / 1e3 for share in (0.5, 0.99, 0.999))
        figures.append(Latency(target.name, p50, p99, p999, percentile(lateness, 0.99) / 1e3))
    return figures


def idle(hub: Target, plan: Plan, progress: Progress) -> list[Idle]:
    """Memory and CPU of connections that do nothing but prove that they live."""
    count = 2 * plan.idle_pairs
    progress(f"idle: {count} connections, {hub.name}")
    with running(hub) as server, contextlib.closing(Load()) as load:
        empty, kept = server.resident_kib(), server.store_bytes()
        add_pairs(server, load, plan.idle_pairs)
        run = spent(server, lambda: load.hold(plan.idle_s, _HEARTBEAT_S))
        grown = server.resident_kib() - empty
        kept_kib_each = (server.store_bytes() - kept) / 1024 / count
    own_cpu, store_cpu = run.cpu.own / run.elapsed, run.cpu.store / run.elapsed
    each = grown.own / count, grown.store / count, kept_kib_each
    return [Idle(hub.name, count, empty.own, *each, own_cpu, store_cpu)]


def handshake(targets: Sequence[Target], plan: Plan, progress: Progress) -> list[Handshake]:
    """Connection, upgrade, token check and `welcome`, of desktops and then of mobiles of other users."""
    figures = []
    for target in alternating(targets, plan.rounds, "handshake", progress):
        with running(target) as server:
            links = open_links(server, "desktop", range(100)) + open_links(server, "mobile", range(100))
            try:
                desktops = _shake(server, "desktop", range(1_000, 1_000 + plan.handshakes), links)
                mobiles = _shake(server, "mobile", range(10_000, 10_000 + plan.handshakes), links)
            finally:
                close_all(links)
        figures.append(Handshake(target.name, desktops.own, mobiles.own, desktops.store, mobiles.store))
    return figures


def _shake(server: Server, kind: str, pairs: range, links: list[Link]) -> Usage:
    """Microseconds of CPU for each handshake, with all that the server does after it."""
    waiting = doors(server, kind, pairs)
    wait_quiet(server)

    def come() -> None:
        links.extend(knock(server, waiting))
        wait_quiet(server)

    return spent(server, come).each_us(len(pairs))


def flat(hub: Target, plan: Plan, progress: Progress) -> list[Flat]:
    """The same rate of messages over ever more pairs of one server."""
    figures = []
    for target in alternating([hub], plan.flat_rounds, "flat", progress):
        with running(target) as server, contextlib.closing(Load()) as load:
            for pairs in plan.flat_pairs:
                add_pairs(server, load, pairs)
                figures.append(_steady(server, load, plan.flat_s))
    return figures


def _steady(server: Server, load: Load, seconds: float) -> Flat:
    load.open_loop(_FLAT_RATE, 0.5)
    run = spent(server, lambda: load.open_loop(_FLAT_RATE, seconds))
    count = len(run.result[0])
    load.drain()
    return Flat(load.pairs, run.each_us(count).total, count / run.elapsed)
