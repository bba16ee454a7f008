"""When a worker that ended is started again."""

FIRST_S = 0.1
MOST_S = 5.0
SETTLED_S = 10.0


class Restarts:
    """At once, if the worker had served for a while; otherwise later each time."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def delay_s(self, served_s: float) -> float:
        """Return how long to wait now, in seconds.

        Args:
            served_s: How long the worker that ended had been ready; 0 if it never was.
        """
        if served_s >= SETTLED_S:
            self._next_s = 0.0
        delay_s = self._next_s
        self._next_s = min(max(2 * delay_s, FIRST_S), MOST_S)
        return delay_s
