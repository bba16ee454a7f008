"""A burst at once, a rate in the long run; and a count over a sliding window."""

import pytest

from actors.limits import ROUNDING, SlidingCount, TokenBucket


def _taken_at_once(bucket: TokenBucket, now: float) -> int:
    taken = 0
    while bucket.take(now) == 0.0:
        taken += 1
    return taken


@pytest.mark.parametrize("now", [0.0, 1000.0, 123_456.789, 1e6 + 0.1, 5e6 + 0.3])
@pytest.mark.parametrize(("rate", "burst"), [(200, 400), (3, 7), (10, 20), (7, 100), (1, 1)])
def test_exactly_the_burst_passes_at_once_whatever_the_clock_reads(now: float, rate: float, burst: float) -> None:
    assert _taken_at_once(TokenBucket(rate, burst, now), now) == burst


def test_after_the_burst_the_rate_passes() -> None:
    bucket = TokenBucket(10.0, 20.0, 0.0)
    _taken_at_once(bucket, 0.0)
    assert [_taken_at_once(bucket, float(second)) for second in range(1, 6)] == [10] * 5


def test_a_refused_message_costs_nothing() -> None:
    bucket = TokenBucket(10.0, 1.0, 0.0)
    bucket.take(0.0)
    for _ in range(1000):
        bucket.take(0.01)
    assert bucket.take(0.1) == 0.0


def test_the_answer_is_how_long_to_wait_and_waiting_so_long_is_enough() -> None:
    bucket = TokenBucket(10.0, 5.0, 0.0)
    _taken_at_once(bucket, 0.0)
    wait = bucket.take(0.0)
    assert wait == pytest.approx(0.1 * (1 - ROUNDING))
    assert bucket.take(wait * 0.9) > 0.0
    assert bucket.take(wait + 1e-9) == 0.0


def test_idle_time_never_saves_up_more_than_the_burst() -> None:
    bucket = TokenBucket(10.0, 20.0, 0.0)
    _taken_at_once(bucket, 0.0)
    assert _taken_at_once(bucket, 1e6) == 20


def test_in_the_long_run_no_more_than_the_rate_and_the_burst_pass() -> None:
    bucket = TokenBucket(100.0, 50.0, 0.0)
    passed = sum(bucket.take(tick / 1000) == 0.0 for tick in range(10_000))
    assert passed == pytest.approx(100 * 10 + 50, abs=2)


def test_so_many_are_no_abuse_and_one_more_is() -> None:
    count = SlidingCount(60, 10.0)
    assert [count.hit(5.0) for _ in range(60)] == [False] * 60
    assert count.hit(5.0)


def test_what_is_older_than_the_window_is_forgotten() -> None:
    count = SlidingCount(3, 10.0)
    assert [count.hit(now) for now in (0.0, 0.0, 0.0, 10.1, 10.1, 10.1)] == [False] * 6
    assert count.hit(10.1)


def test_the_window_slides() -> None:
    count = SlidingCount(3, 10.0)
    assert [count.hit(now) for now in (0.0, 4.0, 8.0, 11.0, 15.0, 19.0)] == [False] * 6
    assert count.hit(19.5)


def test_it_keeps_no_more_times_than_it_needs() -> None:
    count = SlidingCount(3, 10.0)
    for now in range(1000):
        count.hit(now * 100.0)
    assert len(count._times) == 4
