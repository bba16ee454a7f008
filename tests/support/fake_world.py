"""Time and chance under a test's control, for the client."""

import asyncio

from hub.client import World


class FakeWorld:
    """Waits take no time and are written down; heartbeats wait for `beat`. Chance always says one half."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []
        self.beats: list[float] = []
        self._beat = asyncio.Semaphore(0)

    def world(self) -> World:
        return World(
            sleep=self._sleep, monotonic=lambda: self.now, wall_ms=lambda: 1_700_000_000_000, chance=lambda: 0.5
        )

    def beat(self) -> None:
        """Let one heartbeat's wait be over."""
        self._beat.release()

    async def _sleep(self, seconds: float) -> None:
        task = asyncio.current_task()
        if task is not None and task.get_name() == "hub-heartbeat":
            self.beats.append(seconds)
            await self._beat.acquire()
        else:
            self.waits.append(seconds)
            await asyncio.sleep(0)
