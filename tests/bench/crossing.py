"""What a message costs from node to node: the same pairs, both at one worker, or each at another one."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from tests.bench import workers
from tests.bench.durable import mailing
from tests.bench.figures import Crossing
from tests.bench.load import Load
from tests.bench.plan import Plan
from tests.bench.servers import Server, running
from tests.bench.stage import LATENCY_RATE, STREAMING, LaneMaker, Progress, wait_quiet
from tests.bench.stats import percentile
from tests.bench.targets import Target
from tests.bench.workers import Places, seated

RELAYED = "agent:stream"
ONE_NODE, TWO_NODES, MIXED, ONE_WAY = "one node", "two nodes", "mixed", "two nodes, one way"
RATE = f"{LATENCY_RATE:,}/s"
_WINDOW = 8
SATURATED = f"{_WINDOW} in flight a pair"
_WARM_UP_S = 0.5

PLACINGS: Mapping[str, Mapping[Places, int]] = {
    ONE_NODE: {(0, 0): 50, (1, 1): 50},
    TWO_NODES: {(0, 1): 50, (1, 0): 50},
    MIXED: {(0, 0): 25, (0, 1): 25, (1, 0): 25, (1, 1): 25},
    ONE_WAY: {(0, 1): 100},
}
"""How many pairs of each kind of places."""

_MOST: Mapping[Places, int] = {
    (desktop, mobile): max(placing.get((desktop, mobile), 0) for placing in PLACINGS.values())
    for desktop in (0, 1)
    for mobile in (0, 1)
}


class _Run(NamedTuple):
    kind: str
    placing: str
    server: Server
    load: Load


KINDS: Mapping[str, LaneMaker] = {RELAYED: STREAMING, "user:message": mailing}


def crossing(hubs: Sequence[Target], plan: Plan, progress: Progress) -> list[Crossing]:
    """All placings of one kind on one hub, in turns, so that what disturbs one disturbs the others, too."""
    figures = []
    for hub, (kind, make_lane) in product(hubs, KINDS.items()):
        progress(f"nodes: {hub.name}, {kind}")
        with running(hub) as server, _placed(server, make_lane) as loads:
            for turn in range(plan.crossing_rounds):
                progress(f"nodes: round {turn + 1} of {plan.crossing_rounds}, {kind}")
                for placing, load in loads.items():
                    run = _Run(kind, placing, server, load)
                    figures += [_saturated(run, plan.crossing_s), _by_the_clock(run, plan.crossing_s)]
                    for every in loads.values():
                        every.settle(0)  # Those whose turn it isn't have to answer pings, too.
    return figures


@contextlib.contextmanager
def _placed(server: Server, make_lane: LaneMaker) -> Iterator[Mapping[str, Load]]:
    """The placings share connections: only one of them is used at a time."""
    with seated(server, _MOST) as pairs, contextlib.ExitStack() as stack:
        loads = {name: stack.enter_context(contextlib.closing(Load())) for name in PLACINGS}
        for name, placing in PLACINGS.items():
            chosen = [pair for places, count in placing.items() for pair in pairs[places][:count]]
            loads[name].add([make_lane(*pair) for pair in chosen])
        yield loads


def _saturated(run: _Run, seconds: float) -> Crossing:
    def work() -> None:
        run.load.start_window(_WINDOW)
        run.load.closed_loop(seconds, _WINDOW)

    return _measure(run, SATURATED, work)


def _by_the_clock(run: _Run, seconds: float) -> Crossing:
    run.load.open_loop(LATENCY_RATE, _WARM_UP_S)
    delays: list[int] = []

    def work() -> None:
        delays.extend(run.load.open_loop(LATENCY_RATE, seconds)[0])

    return _measure(run, RATE, work, delays)


def _measure(run: _Run, pace: str, work: Callable[[], None], delays: list[int] | None = None) -> Crossing:
    """From rest to rest: what is written or said behind the messages counts, too."""
    kind, placing, server, load = run
    _rest(server, load)
    before, published, received, began = workers.used(server), _published(server), load.received, time.monotonic()
    work()
    elapsed, during = time.monotonic() - began, load.received - received
    load.drain()
    _rest(server, load)
    count = load.received - received
    cost = (workers.used(server) - before).each_us(count)
    p50, p99 = _delays(delays)
    return Crossing(
        server=server.target.name,
        kind=kind,
        placing=placing,
        pace=pace,
        desktops_us=cost.workers[0] if placing == ONE_WAY else None,
        mobiles_us=cost.workers[1] if placing == ONE_WAY else None,
        nodes_us=cost.nodes,
        store_us=cost.store,
        per_second=during / elapsed,
        published=(_published(server) - published) / count,
        p50_us=p50,
        p99_us=p99,
    )


def _delays(delays: list[int] | None) -> tuple[float | None, float | None]:
    if delays is None:
        return None, None
    delays.sort()
    return percentile(delays, 0.5) / 1e3, percentile(delays, 0.99) / 1e3


def _rest(server: Server, load: Load) -> None:
    load.drain()
    wait_quiet(server, load.settle)


def _published(server: Server) -> int:
    """How many messages went over nodes' channels."""
    return int(server.asked_of_store("commandstats").get("cmdstat_spublish", {}).get("calls", 0))
