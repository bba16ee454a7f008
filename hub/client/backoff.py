"""How long to wait before coming back: exponential, with full jitter, so that a crowd spreads out.

Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 ("full jitter").
"""

import random
from collections.abc import Callable

_MAX_DOUBLINGS = 32


class Backoff:
    """Delays that are random in [0, min(cap, base x 2^failures)]. Knows no clock and does not sleep."""

    __slots__ = ("_base_s", "_cap_s", "_failures", "_random")

    def __init__(self, base_s: float = 0.5, cap_s: float = 30.0, chance: Callable[[], float] = random.random) -> None:
        """Start afresh.

        Args:
            base_s: The bound of the first delay, in seconds.
            cap_s: The bound of every delay, in seconds.
            chance: Returns a number in [0, 1).
        """
        self._base_s = base_s
        self._cap_s = cap_s
        self._random = chance
        self._failures = 0

    def next_delay(self) -> float:
        """Return the seconds to wait after one more failure."""
        bound = min(self._cap_s, self._base_s * 2.0 ** min(self._failures, _MAX_DOUBLINGS))
        self._failures += 1
        return self._random() * bound

    def reset(self) -> None:
        """Forget the failures: the connection was stable."""
        self._failures = 0
