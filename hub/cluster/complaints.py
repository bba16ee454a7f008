"""What is wrong again and again is counted, and logged once in a while."""

import logging
import time
from collections.abc import Callable

EVERY_S = 60.0


class Complaints:
    """Counts complaints, and writes one to the log at most every `EVERY_S`.

    Attributes:
        count: How many there were.
    """

    def __init__(self, log: logging.Logger, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Make it; `monotonic`: seconds that never go back."""
        self.count = 0
        self._log = log
        self._monotonic = monotonic
        self._next_at = monotonic()

    def add(self, what: str) -> None:
        """Count one; `what` holds nothing that a peer sent."""
        self.count += 1
        now = self._monotonic()
        if now >= self._next_at:
            self._next_at = now + EVERY_S
            self._log.warning("cluster: %s (%d so far)", what, self.count)
