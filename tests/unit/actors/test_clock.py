"""Epochs grow whatever the wall clock does; the machine's clock gives both times in their units."""

import time

import pytest

from actors.clock import EpochSource, SystemClock
from actors.ids import Epoch


class WallClock:
    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def monotonic(self) -> float:
        raise AssertionError("epochs have to be comparable between machines")

    def wall_ms(self) -> int:
        return self.ms


def test_an_epoch_is_the_wall_clock_in_microseconds() -> None:
    assert EpochSource(WallClock()).next() == 1_800_000_000_000_000


def test_epochs_of_one_millisecond_still_grow() -> None:
    epochs = EpochSource(WallClock())
    drawn = [epochs.next() for _ in range(1000)]
    assert drawn == sorted(set(drawn))


def test_a_clock_that_is_set_back_makes_no_older_epoch() -> None:
    clock = WallClock()
    epochs = EpochSource(clock)
    newest = epochs.next()
    clock.ms -= 3_600_000
    assert epochs.next() > newest


def test_a_clock_that_goes_on_is_followed() -> None:
    clock = WallClock()
    epochs = EpochSource(clock)
    epochs.next()
    clock.ms += 5
    assert epochs.next() == clock.ms * 1000


def test_epochs_stay_exact_in_a_double_until_2255() -> None:
    clock = WallClock()
    clock.ms = int((2255 - 1970) * 365.2425 * 86400 * 1000)
    epochs = EpochSource(clock)
    first, second = epochs.next(), epochs.next()
    assert float(first) != float(second)


class BothClocks(WallClock):
    """As the machine's, with a monotonic clock too."""

    def __init__(self) -> None:
        super().__init__()
        self.uptime_s = 4096.0

    def monotonic(self) -> float:
        return self.uptime_s


STORE_US = 1_900_000_000_000_000


def test_once_the_stores_clock_is_known_epochs_follow_it_and_not_the_wall_clock() -> None:
    clock = BothClocks()
    epochs = EpochSource(clock)
    epochs.learn(STORE_US)
    assert epochs.next() == STORE_US
    clock.uptime_s += 2.5
    clock.ms -= 3_600_000
    assert epochs.next() == STORE_US + 2_500_000


def test_the_stores_clock_may_be_learnt_again() -> None:
    clock = BothClocks()
    epochs = EpochSource(clock)
    epochs.learn(STORE_US)
    clock.uptime_s += 10
    epochs.learn(STORE_US + 11_000_000)
    assert epochs.next() == STORE_US + 11_000_000


@pytest.mark.parametrize("behind_us", [1, 3_600_000_000])
def test_a_store_whose_clock_is_behind_makes_no_older_epoch(behind_us: int) -> None:
    epochs = EpochSource(BothClocks())
    epochs.learn(STORE_US)
    newest = epochs.next()
    epochs.learn(STORE_US - behind_us)
    assert epochs.next() == newest + 1


def test_epochs_go_on_from_one_that_was_seen_elsewhere() -> None:
    epochs = EpochSource(BothClocks())
    epochs.learn(STORE_US)
    epochs.pass_by(Epoch(STORE_US + 5))
    assert epochs.next() == STORE_US + 6


def test_an_older_one_that_was_seen_elsewhere_changes_nothing() -> None:
    epochs = EpochSource(BothClocks())
    epochs.learn(STORE_US)
    newest = epochs.next()
    epochs.pass_by(Epoch(5))
    assert epochs.next() == newest + 1


def test_the_machines_clock_tells_milliseconds_of_the_epoch_and_seconds_that_never_go_back() -> None:
    clock = SystemClock()
    before = time.monotonic()
    assert abs(clock.wall_ms() / 1000 - time.time()) < 5
    assert before <= clock.monotonic() <= time.monotonic()
