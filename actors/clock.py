"""Time as an argument: nothing in `actors/` asks the machine for it."""

import time
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


class EpochSource:
    """Hands out epochs: microseconds of the wall clock, and always more than the last one (ADR 0004).

    They stay exact in a double until the year 2255, so that a Lua script in Redis can compare them.
    """

    __slots__ = ("_clock", "_last")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0

    def next(self) -> Epoch:
        """Return an epoch that is newer than all that came from here."""
        self._last = max(self._last + 1, self._clock.wall_ms() * 1000)
        return Epoch(self._last)
