"""The two summaries that the benchmark needs."""

import math
import statistics
from collections.abc import Iterable, Sequence


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed (nearest rank).

    Args:
        ordered: the values, ascending, at least one.
        share: 0.99 for p99.
    """
    if not ordered:
        raise ValueError("no values")
    # Rounded first: 0.999 * 1000 is a hair over 999 in floating point, and would take the next rank.
    rank = math.ceil(round(share * len(ordered), 9))
    return ordered[max(rank, 1) - 1]


def median(values: Iterable[float]) -> float:
    """The middle of the rounds."""
    return statistics.median(values)
