"""The targets, and whether the hub's medians are within them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.bench.figures import Durable, Figures, Latency, Relay
from tests.bench.report import grouped, handshake_cost, middle

HUB = "hub"
_RELAY_SHARES = (("gorilla", 0.85), ("sanic_plain", 0.22))
_IDLE_KIB = 20.0
_HANDSHAKE_US = 200.0
_FLAT_FACTOR = 1.5


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
    return [*_relay(figures.relay), *_latency(figures.latency), *_connections(figures), *_durable(figures)]


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
    if figures.idle:
        kib = middle(figures.idle, lambda figure: figure.own_kib_each)
        yield Verdict("an idle connection, hub process", kib, _IDLE_KIB, "KiB")
        both = middle(figures.idle, lambda figure: figure.own_kib_each + figure.store_kib_each)
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


def _both_us(rounds: Sequence[Durable]) -> float:
    return middle(rounds, lambda figure: figure.own_us + figure.store_us)
