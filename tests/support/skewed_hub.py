"""`python -m tests.support.skewed_hub serve`: the hub on a machine whose clock an operator sets while it runs.

SIGUSR1 sets the wall clock an hour forward, SIGUSR2 an hour back. The monotonic clock goes on as it does.
"""

import signal
import time

from actors.clock import SystemClock
from hub.cli import main

HOUR_MS = 3_600_000

_offset_ms = 0


def _skewed_wall_ms() -> int:
    return time.time_ns() // 1_000_000 + _offset_ms


def _set(number: int, _: object) -> None:
    global _offset_ms  # noqa: PLW0603 - a signal has nothing else to reach
    _offset_ms += HOUR_MS if number == signal.SIGUSR1 else -HOUR_MS


if __name__ == "__main__":
    for each in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(each, _set)
    SystemClock.wall_ms = staticmethod(_skewed_wall_ms)  # type: ignore[method-assign]
    main()
