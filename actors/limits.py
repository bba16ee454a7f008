"""How much a client may send: a token bucket, and a count over a sliding window."""

from collections import deque


class TokenBucket:
    """Lets `burst` messages through at once and `rate` a second in the long run."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, now: float) -> float:
        """Take one token: 0.0 when there was one, else the seconds until there will be one."""
        tokens = self._tokens + (now - self._at) * self._rate
        self._at = now
        tokens = min(tokens, self._burst)
        if tokens >= 1.0:
            self._tokens = tokens - 1.0
            return 0.0
        self._tokens = tokens
        return (1.0 - tokens) / self._rate


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
