"""Time as an argument: nothing in `actors/` asks the machine for it."""

import time
from collections import deque
from typing import Protocol

from actors.ids import Epoch


class Clock(Protocol):
    """The two times there are. Deadlines use `monotonic`; only what people or other machines read uses `wall_ms`."""

    def monotonic(self) -> float:
        """Seconds, never going back; meaningful only as a difference."""
        ...

    def wall_ms(self) -> int:
        """Milliseconds since the epoch (UTC)."""
        ...


class SystemClock:
    """The machine's clock."""

    monotonic = staticmethod(time.monotonic)

    @staticmethod
    def wall_ms() -> int:
        """Milliseconds since the epoch (UTC)."""
        return time.time_ns() // 1_000_000


SAMPLES = 16


class EpochSource:
    """Hands out epochs: microseconds of the store's clock, and always more than the last one (ADR 0004, ADR 0009).

    The store's clock is what all nodes have in common. It is learnt now and then, and counted on from there with the
    monotonic one; before it is known, the machine's own clock stands in. What it said is learnt late by the way back
    and by stalls, never early; so of the last samples the one that was the least late counts.

    They stay exact in a double until the year 2255, so that a Lua script in Redis can compare them.
    """

    __slots__ = ("_clock", "_last", "_samples")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0
        self._samples: deque[int] = deque(maxlen=SAMPLES)

    def learn(self, store_us: int) -> None:
        """The store's clock says so many microseconds since the epoch, now."""
        self._samples.append(store_us - self._monotonic_us())

    def pass_by(self, epoch: Epoch) -> None:
        """Hand out only newer ones than `epoch` from now on."""
        self._last = max(self._last, epoch)

    def next(self) -> Epoch:
        """Return an epoch that is newer than all that came from here."""
        known = self._samples
        now = max(known) + self._monotonic_us() if known else self._clock.wall_ms() * 1000
        self._last = max(self._last + 1, now)
        return Epoch(self._last)

    def _monotonic_us(self) -> int:
        return int(self._clock.monotonic() * 1_000_000)
