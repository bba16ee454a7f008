"""Counts are plain integers, and times fall into the bucket whose bound they don't exceed."""

import pytest

from actors.tallies import LATENCY_BOUNDS_S, LatencyHistogram, Tallies


@pytest.mark.parametrize(("position", "bound"), list(enumerate(LATENCY_BOUNDS_S)))
def test_a_time_on_a_bound_counts_under_it(position: int, bound: float) -> None:
    histogram = LatencyHistogram()
    histogram.observe(bound, 1)
    assert histogram.buckets[position] == 1
    assert sum(histogram.buckets) == 1


def test_a_time_above_all_bounds_counts_in_the_last_bucket() -> None:
    histogram = LatencyHistogram()
    histogram.observe(LATENCY_BOUNDS_S[-1] + 1, 1)
    assert histogram.buckets[-1] == 1
    assert len(histogram.buckets) == len(LATENCY_BOUNDS_S) + 1


def test_a_batch_counts_each_of_its_messages() -> None:
    histogram = LatencyHistogram()
    histogram.observe(0.002, 5)
    histogram.observe(0.0, 2)
    assert sum(histogram.buckets) == 7
    assert histogram.total_s == pytest.approx(0.01)


def test_bounds_grow() -> None:
    assert list(LATENCY_BOUNDS_S) == sorted(set(LATENCY_BOUNDS_S))


def test_a_nodes_counts_begin_at_nothing() -> None:
    tallies = Tallies()
    assert [len(c) for c in (tallies.relayed, tallies.unheard, tallies.outcomes, tallies.closes)] == [0] * 4
    assert tallies.relayed["agent:stream"] == 0
