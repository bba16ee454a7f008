"""The tables of several nodes."""

from collections.abc import Sequence

from tests.bench.figures import Asking, Crossing, Storm
from tests.bench.stats import median
from tests.bench.tables import grouped, middle, spread, table


def crossing(figures: Sequence[Crossing]) -> str:
    """Messages at one node and between two: a table for each server and pace."""
    tables = [
        _crossing(rounds, delays=rounds[0].p50_us is not None)
        for rounds in grouped(figures, lambda figure: (figure.server, figure.pace))
    ]
    return "\n\n".join(tables)


def _crossing(figures: Sequence[Crossing], *, delays: bool) -> str:
    rows = [
        (
            f"{rounds[0].kind}, {rounds[0].placing}",
            _optional([figure.desktops_us for figure in rounds]),
            _optional([figure.mobiles_us for figure in rounds]),
            f"{middle(rounds, lambda figure: figure.nodes_us):.1f}",
            f"{middle(rounds, lambda figure: figure.store_us):.1f}",
            f"{middle(rounds, lambda figure: figure.cpu_us):.1f}",
            spread([figure.cpu_us for figure in rounds]),
            f"{middle(rounds, lambda figure: figure.per_second):,.0f}",
            f"{middle(rounds, lambda figure: figure.published):.3f}",
            *(_delays(rounds) if delays else ()),
        )
        for by_kind in grouped(figures, lambda figure: figure.kind)
        for rounds in grouped(by_kind, lambda figure: figure.placing)
    ]
    head = (
        f"{figures[0].server}, 100 pairs, 128 bytes, {figures[0].pace}",
        "desktops' node, µs CPU a message",
        "phones' node",
        "nodes",
        "Valkey",
        "all",
        "all, rounds",
        "messages/s",
        "published",
        *(("p50, µs", "p99, µs", "p99, rounds") if delays else ()),
    )
    return table(head, rows)


def _delays(rounds: Sequence[Crossing]) -> tuple[str, str, str]:
    p99 = [figure.p99_us for figure in rounds if figure.p99_us is not None]
    return _optional([figure.p50_us for figure in rounds], 0), f"{median(p99):.0f}", spread(p99, digits=0)


def _optional(rounds: Sequence[float | None], digits: int = 1) -> str:
    known = [figure for figure in rounds if figure is not None]
    return f"{median(known):.{digits}f}" if known else ""


def storm(figures: Sequence[Storm]) -> str:
    """Connections that were lost at once and came back."""
    rows = [
        (
            f"{figure.lost:,} of {figure.connections:,}",
            f"{figure.tries:,}",
            ", ".join(f"{times:,} with {code}" for code, times in sorted(figure.closed.items())) or "none",
            f"{figure.back_s:.1f}",
            f"{figure.right_s:.1f}",
            f"{figure.idle_mib:.0f}",
            f"{figure.peak_mib:.0f}",
            f"{figure.after_mib:.0f}",
        )
        for figure in figures
    ]
    head = (
        "lost at once with their node",
        "tries",
        "closed meanwhile",
        "s until all back",
        "s until presence right",
        "MiB idle before",
        "MiB at most",
        "MiB after",
    )
    return table(head, rows)


def asking(figures: Sequence[Asking]) -> str:
    """What nodes ask Valkey."""
    rows = [(figure.call, f"{figure.node_us:.1f}", f"{figure.store_us:.1f}") for figure in figures]
    return table(("µs CPU a call", "node", "Valkey"), rows)
