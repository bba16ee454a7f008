"""The targets, and whether the hub's medians are within them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.bench.crossing import ONE_NODE, RELAYED, SATURATED, TWO_NODES
from tests.bench.figures import Crossing, Durable, Figures, Latency, Relay, Storm
from tests.bench.report import handshake_cost
from tests.bench.tables import grouped, middle

HUB = "hub"
_RELAY_SHARES = (("gorilla", 0.85), ("sanic_plain", 0.22))
_IDLE_KIB = 20.0
_HANDSHAKE_US = 200.0
_FLAT_FACTOR = 1.5
_CROSSING_FACTOR = 2.5
_CROSSING_MS = 3.0
_STORM_FACTOR = 3.0


@dataclass(frozen=True)
class Verdict:
    """What was measured, beside its target; without one it is only stated."""

    subject: str
    measured: float
    limit: float | None
    unit: str

    @property
    def is_met(self) -> bool:
        """Whether the figure is within the limit, if there is one."""
        return self.limit is None or self.measured <= self.limit

    def __str__(self) -> str:
        figure = f"{self.subject}: {self.measured:.3g} {self.unit}"
        if self.limit is None:
            return f"stated: {figure}"
        return f"{'met' if self.is_met else 'MISSED'}: {figure}, at most {self.limit:.3g}"


def judge(figures: Figures) -> list[Verdict]:
    """All verdicts for which there are figures."""
    return [
        *_relay(figures.relay),
        *_latency(figures.latency),
        *_connections(figures),
        *_durable(figures),
        *_crossing(figures.crossing),
        *_storm(figures.storm),
    ]


def _relay(figures: Sequence[Relay]) -> Iterator[Verdict]:
    for rounds in grouped(figures, lambda figure: figure.window):
        cost = {
            group[0].server: middle(group, lambda figure: figure.cpu_us)
            for group in grouped(rounds, lambda figure: figure.server)
        }
        for peer, share in _RELAY_SHARES:
            if HUB in cost and peer in cost:
                subject = f"relay with {rounds[0].window} in flight a pair, CPU of {peer}'s"
                yield Verdict(subject, cost[HUB] / cost[peer], share, "x")


def _latency(figures: Sequence[Latency]) -> Iterator[Verdict]:
    p99 = {
        rounds[0].server: middle(rounds, lambda figure: figure.p99_us)
        for rounds in grouped(figures, lambda figure: figure.server)
    }
    if HUB in p99 and "gorilla" in p99:
        yield Verdict("p99 latency against gorilla's", p99[HUB], p99["gorilla"], "µs")


def _connections(figures: Figures) -> Iterator[Verdict]:
    alone = [figure for figure in figures.idle if figure.server == HUB]
    if alone:
        kib = middle(alone, lambda figure: figure.own_kib_each)
        yield Verdict("an idle connection, hub process", kib, _IDLE_KIB, "KiB")
        both = middle(alone, lambda figure: figure.own_kib_each + figure.store_kib_each)
        yield Verdict("an idle connection, Valkey included", both, _IDLE_KIB, "KiB")
    ours = [figure for figure in figures.handshake if figure.server == HUB]
    if ours:
        desktop, mobile, store = handshake_cost(ours)
        own = (desktop + mobile) / 2
        yield Verdict("handshake", own, _HANDSHAKE_US, "µs")
        yield Verdict("handshake, Valkey included", own + store, _HANDSHAKE_US, "µs")
    if figures.flat:
        cost = [
            middle(rounds, lambda figure: figure.cpu_us) for rounds in grouped(figures.flat, lambda each: each.pairs)
        ]
        yield Verdict("dearest number of pairs against the cheapest", max(cost) / min(cost), _FLAT_FACTOR, "x")


def _durable(figures: Figures) -> Iterator[Verdict]:
    for rounds in grouped(figures.durable, lambda figure: figure.pace):
        cost = {group[0].kind: _both_us(group) for group in grouped(rounds, lambda figure: figure.kind)}
        pace = rounds[0].pace
        yield Verdict(f"a message to a desktop at {pace}, Valkey included", cost["user:message"], None, "µs")
        journal = cost["agent:response"] - cost["agent:stream"]
        yield Verdict(f"the journal's part of an answer at {pace}, Valkey included", journal, None, "µs")
        answers = [figure for figure in rounds if figure.kind == "agent:response"]
        given_up = 100 * middle(answers, lambda figure: figure.unwritten)
        yield Verdict(f"answers that the journal gave up at {pace}", given_up, None, "%")
    if figures.resume:
        yield Verdict("a replayed message", middle(figures.resume, lambda figure: figure.own_us), None, "µs")


def _crossing(figures: Sequence[Crossing]) -> Iterator[Verdict]:
    relayed = [figure for figure in figures if figure.kind == RELAYED]
    for rounds in grouped(relayed, lambda figure: (figure.server, figure.pace)):
        where, pace = rounds[0].server, rounds[0].pace
        local = [figure for figure in rounds if figure.placing == ONE_NODE]
        across = [figure for figure in rounds if figure.placing == TWO_NODES]
        if pace == SATURATED:
            ratio = middle(across, lambda figure: figure.cpu_us) / middle(local, lambda figure: figure.cpu_us)
            yield Verdict(f"{where}: relay between nodes, {pace}, CPU of a local one's", ratio, _CROSSING_FACTOR, "x")
        else:
            more = (_p99_us(across) - _p99_us(local)) / 1e3
            yield Verdict(f"{where}: p99 between nodes at {pace}, above a local one's", more, _CROSSING_MS, "ms")


def _p99_us(rounds: Sequence[Crossing]) -> float:
    return middle(rounds, lambda figure: figure.p99_us or 0.0)


def _storm(figures: Sequence[Storm]) -> Iterator[Verdict]:
    for figure in figures:
        what = f"{figure.lost:,} of {figure.connections:,} connections lost"
        yield Verdict(f"{what}, most memory of idle", figure.peak_mib / figure.idle_mib, _STORM_FACTOR, "x")
        yield Verdict(f"{what}, all back and presence right", figure.right_s, None, "s")


def _both_us(rounds: Sequence[Durable]) -> float:
    return middle(rounds, lambda figure: figure.own_us + figure.store_us)
