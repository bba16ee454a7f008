"""Time and chance as arguments: nothing else in `hub/client/` asks the machine for them."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class World:
    """The machine as a client sees it; tests put their own in its place.

    Attributes:
        sleep: Waits for that many seconds.
        monotonic: Seconds, never going back.
        wall_ms: Milliseconds since the epoch.
        chance: A number in [0, 1).
    """

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    monotonic: Callable[[], float] = time.monotonic
    wall_ms: Callable[[], int] = _wall_ms
    chance: Callable[[], float] = random.random
