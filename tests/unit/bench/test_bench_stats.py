"""Percentiles and medians."""

import pytest

from tests.bench.stats import median, percentile


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.001, 1), (0.5, 500), (0.99, 990), (0.999, 999), (0.9991, 1_000), (1.0, 1_000)]
)
def test_nearest_rank_of_a_thousand(share: float, expected: int) -> None:
    assert percentile(range(1, 1_001), share) == expected


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999, 1.0])
def test_a_single_value_is_every_percentile(share: float) -> None:
    assert percentile([7.0], share) == 7.0


def test_the_percentile_is_a_value_that_occurred() -> None:
    assert percentile([1.0, 2.0, 1_000.0], 0.5) == 2.0
    assert percentile([1.0, 2.0, 1_000.0], 0.67) == 1_000.0


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_the_median_is_not_moved_by_one_bad_round() -> None:
    assert median([10.0, 11.0, 900.0]) == 11.0
