"""Epochs grow whatever the wall clock does; the machine's clock gives both times in their units."""

import time

from actors.clock import EpochSource, SystemClock


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


def test_the_machines_clock_tells_milliseconds_of_the_epoch_and_seconds_that_never_go_back() -> None:
    clock = SystemClock()
    before = time.monotonic()
    assert abs(clock.wall_ms() / 1000 - time.time()) < 5
    assert before <= clock.monotonic() <= time.monotonic()
