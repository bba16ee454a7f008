import random

from hypothesis import given
from hypothesis import strategies as st

from hub.client.backoff import Backoff


def test_the_bound_doubles_up_to_the_cap() -> None:
    backoff = Backoff(base_s=0.5, cap_s=30.0, chance=lambda: 1.0)
    assert [backoff.next_delay() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_the_jitter_is_full() -> None:
    assert Backoff(chance=lambda: 0.0).next_delay() == 0.0
    assert Backoff(base_s=8.0, chance=lambda: 0.25).next_delay() == 2.0


def test_reset_starts_afresh() -> None:
    backoff = Backoff(chance=lambda: 1.0)
    first = backoff.next_delay()
    backoff.next_delay()
    backoff.reset()
    assert backoff.next_delay() == first


def test_it_never_overflows() -> None:
    backoff = Backoff(chance=lambda: 1.0)
    assert [backoff.next_delay() for _ in range(5000)][-1] == 30.0


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_every_delay_is_within_its_bound(seed: int, failures: int) -> None:
    backoff = Backoff(chance=random.Random(seed).random)
    for failed in range(failures):
        assert 0.0 <= backoff.next_delay() <= min(30.0, 0.5 * 2**failed)


def test_a_crowd_spreads_out() -> None:
    chance = random.Random(1).random
    crowd = [Backoff(base_s=10.0, chance=chance) for _ in range(1000)]
    delays = sorted(each.next_delay() for each in crowd)
    assert delays[99] < 2.0
    assert 4.0 < delays[500] < 6.0
    assert delays[900] > 8.0
