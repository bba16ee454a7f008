"""How much a client may send: a token bucket, and a count over a sliding window."""

from collections import deque
from typing import Final

ROUNDING: Final = 0.01
"""Part of a token that is given on top, so that rounding never takes the last one of a burst."""


class TokenBucket:
    """Lets `burst` messages through at once and `rate` a second in the long run.

    Kept as one number, the time at which the bucket would be full again (the "generic cell rate algorithm", ITU-T
    I.371): it is asked for every message.
    """

    __slots__ = ("_depth", "_full_at", "_interval")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._interval = 1.0 / rate
        self._depth = (burst - 1.0 + ROUNDING) / rate
        self._full_at = now

    def take(self, now: float) -> float:
        """Take one token: 0.0 when there was one, else the seconds until there will be one."""
        full_at = self._full_at
        if full_at < now:
            full_at = now
        elif full_at - now > self._depth:
            return full_at - now - self._depth
        self._full_at = full_at + self._interval
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
