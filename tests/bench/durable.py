"""What a durable message costs, of phones (mailbox) and of desktops (journal), beside one that is only passed on."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from tests.bench.figures import Durable
from tests.bench.frames import mail_to
from tests.bench.lanes import MailLane
from tests.bench.links import Link
from tests.bench.load import Load
from tests.bench.plan import Plan
from tests.bench.servers import Server
from tests.bench.stage import LATENCY_RATE, STREAMING, LaneMaker, Progress, pairs_on, speaking, spent, wait_quiet
from tests.bench.stats import percentile
from tests.bench.targets import Target, desktop_of

RATE = f"{LATENCY_RATE:,}/s"
_WINDOW = 8
SATURATED = f"{_WINDOW} in flight a pair"
_WARM_UP_S = 0.5
_DROPPED = "hub_journal_dropped_total"


def mailing(pair: int, desktop: Link, mobile: Link) -> MailLane:
    """Pairs whose phone sends messages to the desktop."""
    return MailLane(desktop, mobile, mail_to(desktop_of(pair)))


_KINDS: Mapping[str, LaneMaker] = {
    "user:message": mailing,
    "agent:response": speaking("agent:response"),
    "agent:stream": STREAMING,
}


def durable(hub: Target, plan: Plan, progress: Progress) -> list[Durable]:
    """Each kind on a fresh hub, first at a rate that it can bear, then as fast as it goes."""
    figures = []
    for turn in range(plan.rounds):
        for kind, make_lane in _KINDS.items():
            progress(f"durable: round {turn + 1} of {plan.rounds}, {kind}")
            with pairs_on(hub, make_lane) as (server, load):
                figures.append(_by_the_clock(kind, server, load, plan.durable_s))
                figures.append(_saturated(kind, server, load, plan.durable_s))
    return figures


def _by_the_clock(kind: str, server: Server, load: Load, seconds: float) -> Durable:
    load.open_loop(LATENCY_RATE, _WARM_UP_S)
    delays: list[int] = []

    def work() -> None:
        delays.extend(load.open_loop(LATENCY_RATE, seconds)[0])

    cost = _cost(server, load, work)
    delays.sort()
    p50, p99 = percentile(delays, 0.5) / 1e3, percentile(delays, 0.99) / 1e3
    return Durable(kind, RATE, *cost, p50, p99)


def _saturated(kind: str, server: Server, load: Load, seconds: float) -> Durable:
    def work() -> None:
        load.start_window(_WINDOW)
        load.closed_loop(seconds, _WINDOW)

    return Durable(kind, SATURATED, *_cost(server, load, work), None, None)


class _Cost(NamedTuple):
    """The middle of a `Durable`."""

    own_us: float
    store_us: float
    per_second: float
    unwritten: float


def _cost(server: Server, load: Load, work: Callable[[], None]) -> _Cost:
    """What is written behind the messages counts, too: from rest to rest."""

    def to_rest() -> None:
        load.drain()
        wait_quiet(server, load.settle)

    to_rest()
    dropped, before = server.metric(_DROPPED), load.received
    working = spent(server, work)
    per_second = (load.received - before) / working.elapsed
    settling = spent(server, to_rest)
    count = load.received - before
    unwritten = (server.metric(_DROPPED) - dropped) / count
    during, behind = working.each_us(count), settling.each_us(count)
    return _Cost(during.own + behind.own, during.store + behind.store, per_second, unwritten)
