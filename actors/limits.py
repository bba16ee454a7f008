"""How much a client may send: a token bucket, and a count over a sliding window."""

from collections import deque
from typing import Final

ROUNDING: Final = 0.01
"""Part of a token that is given on top, so that rounding never takes the last one of a burst."""


class Pace:
    """How fast one may go: `burst` at once, and `rate` a second in the long run.

    Who is held to it keeps one number, the time at which the allowance would be whole again (the "generic cell rate
    algorithm", ITU-T I.371), and nothing else: it is asked for every message, and what all connections share stays in
    the processor's cache.
    """

    __slots__ = ("_depth", "_interval")

    def __init__(self, rate: float, burst: float) -> None:
        self._interval = 1.0 / rate
        self._depth = (burst - 1.0 + ROUNDING) / rate

    def admit(self, whole_at: float, now: float) -> float:
        """Return the new `whole_at`; or, for one too many, minus the seconds until there is room (below 0)."""
        if whole_at < now:
            return now + self._interval
        excess = whole_at - now - self._depth
        return -excess if excess > 0.0 else whole_at + self._interval


class TokenBucket:
    """A `Pace`, and where one stands with it."""

    __slots__ = ("_pace", "_whole_at")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._pace = Pace(rate, burst)
        self._whole_at = now

    def take(self, now: float) -> float:
        """Take one token: 0.0 when there was one, else the seconds until there will be one."""
        whole_at = self._pace.admit(self._whole_at, now)
        if whole_at < 0.0:
            return -whole_at
        self._whole_at = whole_at
        return 0.0


class SlidingCount:
    """Tells when something happened more than `limit` times within `window_s` seconds."""

    __slots__ = ("_limit", "_times", "_window_s")

    def __init__(self, limit: int, window_s: float) -> None:
        self._limit = limit
        self._window_s = window_s
        self._times: deque[float] = deque(maxlen=limit + 1)

    def hit(self, now: float) -> bool:
        """Count one, and tell whether that is one too many."""
        self._times.append(now)
        return len(self._times) > self._limit and now - self._times[0] <= self._window_s
