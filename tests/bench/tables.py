"""Tables in Markdown, and rounds taken together."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from tests.bench.stats import median

F = TypeVar("F")
Row = Sequence[str]


def table(head: Row, rows: Iterable[Row]) -> str:
    """A Markdown table that is aligned in plain text, too: the first column to the left, figures to the right."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]

    def render(line: Row) -> str:
        cells = [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        return f"| {' | '.join(cells)} |"

    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([render(head), render(rule), *(render(line) for line in lines[1:])])


def middle(figures: Iterable[F], value: Callable[[F], float]) -> float:
    """The median of one value over the rounds."""
    return median(value(figure) for figure in figures)


def grouped(figures: Sequence[F], key: Callable[[F], object]) -> list[list[F]]:
    """The figures of the same kind together, kinds in the order in which they came first."""
    groups: dict[object, list[F]] = {}
    for figure in figures:
        groups.setdefault(key(figure), []).append(figure)
    return list(groups.values())


def spread(values: Sequence[float], digits: int = 1) -> str:
    """The least and the most."""
    return f"{min(values):.{digits}f}-{max(values):.{digits}f}"
