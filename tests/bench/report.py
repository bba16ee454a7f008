"""The figures as Markdown: read in the terminal, pasted into docs/performance.md."""

from collections.abc import Callable, Sequence

from tests.bench.figures import Durable, Figures, Flat, Handshake, Idle, Latency, Relay, Resume
from tests.bench.report_nodes import asking, crossing, storm
from tests.bench.stats import median
from tests.bench.tables import Row, grouped, middle, spread, table


def render(facts: Sequence[Row], figures: Figures) -> str:
    """The whole report but for the verdicts."""
    parts: list[tuple[object, Callable[[], str]]] = [
        (True, lambda: table(("machine", ""), facts)),
        (figures.relay, lambda: _relay(figures.relay)),
        (figures.latency, lambda: _latency(figures.latency)),
        (figures.idle, lambda: _idle(figures.idle)),
        (figures.handshake, lambda: _handshake(figures.handshake)),
        (figures.flat, lambda: _flat(figures.flat)),
        (figures.durable, lambda: _durable(figures.durable)),
        (figures.resume, lambda: _resume(figures.resume)),
        (figures.crossing, lambda: crossing(figures.crossing)),
        (figures.storm, lambda: storm(figures.storm)),
        (figures.asking, lambda: asking(figures.asking)),
    ]
    return "\n\n".join(part() for ran, part in parts if ran)


def _relay(figures: Sequence[Relay]) -> str:
    ordered = sorted(figures, key=lambda figure: figure.window)
    rows = [
        (
            rounds[0].server,
            str(rounds[0].window),
            f"{middle(rounds, lambda figure: figure.cpu_us):.1f}",
            spread([figure.cpu_us for figure in rounds]),
            f"{middle(rounds, lambda figure: figure.per_second):,.0f}",
            f"{middle(rounds, lambda figure: figure.busy):.0%}",
        )
        for rounds in grouped(ordered, lambda figure: (figure.window, figure.server))
    ]
    head = (
        "relay, 100 pairs, 128 bytes",
        "in flight a pair",
        "µs CPU a message",
        "rounds",
        "messages/s",
        "server's core",
    )
    return table(head, rows)


def _latency(figures: Sequence[Latency]) -> str:
    rows = [
        (
            rounds[0].server,
            f"{middle(rounds, lambda figure: figure.p50_us):.0f}",
            f"{middle(rounds, lambda figure: figure.p99_us):.0f}",
            spread([figure.p99_us for figure in rounds], digits=0),
            f"{middle(rounds, lambda figure: figure.p999_us):.0f}",
            f"{middle(rounds, lambda figure: figure.sender_p99_us):.0f}",
        )
        for rounds in grouped(figures, lambda figure: figure.server)
    ]
    head = ("latency at 2,000 messages/s, µs", "p50", "p99", "p99, rounds", "p99.9", "sender's own p99")
    return table(head, rows)


def _idle(figures: Sequence[Idle]) -> str:
    rows = [
        (
            f"{figure.connections:,}, {figure.server}",
            f"{figure.empty_kib / 1024:.1f}",
            f"{figure.own_kib_each:.1f}",
            f"{figure.store_kib_each:.1f}",
            f"{figure.kept_kib_each:.1f}",
            f"{figure.own_kib_each + figure.store_kib_each:.1f}",
            f"{figure.own_cpu * 1e3:.1f}",
            f"{figure.store_cpu * 1e3:.1f}",
        )
        for figure in figures
    ]
    head = (
        "idle connections",
        "hub when empty, MiB",
        "hub, KiB each",
        "Valkey, KiB each",
        "of that in use",
        "both, KiB each",
        "hub, ms CPU/s",
        "Valkey, ms CPU/s",
    )
    return table(head, rows)


def handshake_cost(rounds: Sequence[Handshake]) -> tuple[float, float, float]:
    """Medians in µs of one server: a desktop's, a mobile's, and what both cost its store on average."""
    return (
        middle(rounds, lambda figure: figure.desktop_own_us),
        middle(rounds, lambda figure: figure.mobile_own_us),
        middle(rounds, lambda figure: (figure.desktop_store_us + figure.mobile_store_us) / 2),
    )


def _handshake(figures: Sequence[Handshake]) -> str:
    rows = []
    for rounds in grouped(figures, lambda figure: figure.server):
        desktop, mobile, store = handshake_cost(rounds)
        rows.append((rounds[0].server, *(f"{cost:.0f}" for cost in (desktop, mobile, (desktop + mobile) / 2, store))))
    return table(("handshake, µs CPU", "desktop", "mobile", "mean", "in Valkey besides"), rows)


def _flat(figures: Sequence[Flat]) -> str:
    rows = [
        (
            f"{rounds[0].pairs:,}",
            f"{middle(rounds, lambda figure: figure.cpu_us):.1f}",
            f"{middle(rounds, lambda figure: figure.per_second):,.0f}",
        )
        for rounds in grouped(figures, lambda figure: figure.pairs)
    ]
    return table(("pairs, at the same total rate", "µs CPU a message", "messages/s"), rows)


def _durable(figures: Sequence[Durable]) -> str:
    rows = [
        (
            f"{rounds[0].kind}, {rounds[0].pace}",
            f"{middle(rounds, lambda figure: figure.own_us):.1f}",
            spread([figure.own_us for figure in rounds]),
            f"{middle(rounds, lambda figure: figure.store_us):.1f}",
            f"{middle(rounds, lambda figure: figure.per_second):,.0f}",
            f"{middle(rounds, lambda figure: figure.unwritten):.1%}",
            _delay([figure.p50_us for figure in rounds]),
            _delay([figure.p99_us for figure in rounds]),
        )
        for by_pace in grouped(figures, lambda figure: figure.pace)
        for rounds in grouped(by_pace, lambda figure: figure.kind)
    ]
    head = (
        "durable and not, 100 pairs, 128 bytes",
        "hub, µs CPU a message",
        "rounds",
        "Valkey, µs CPU a message",
        "messages/s",
        "not journaled",
        "p50, µs",
        "p99, µs",
    )
    return table(head, rows)


def _delay(rounds: Sequence[float | None]) -> str:
    known = [delay for delay in rounds if delay is not None]
    return f"{median(known):.0f}" if known else ""


def _resume(figures: Sequence[Resume]) -> str:
    rows = [
        (
            f"{rounds[0].phones:,} phones, {rounds[0].behind:,} behind",
            f"{middle(rounds, lambda figure: figure.own_us):.2f}",
            spread([figure.own_us for figure in rounds], digits=2),
            f"{middle(rounds, lambda figure: figure.store_us):.2f}",
            f"{middle(rounds, lambda figure: figure.seconds):.2f}",
        )
        for rounds in grouped(figures, lambda figure: (figure.phones, figure.behind))
    ]
    head = ("resume", "hub, µs CPU a message", "rounds", "Valkey, µs CPU a message", "s until all have resumed")
    return table(head, rows)
