"""One of the N places on the address: it keeps its listener while workers come and go."""

import asyncio
import logging
import socket
from collections.abc import Callable

from hub.address import Bind
from hub.workers.process import Worker, WorkerFailed, end_of
from hub.workers.restarts import Restarts

log = logging.getLogger("hub.workers")

Spawn = Callable[[int, socket.socket], Worker]
"""Starts a worker with a number on a listener."""


class Slot:
    """Has a worker, and another one when that ends.

    Its listener outlives them: who connects while one worker is dead waits for the next. But a worker that doesn't even
    start keeps nobody waiting: the listener is closed then, and the others' get its part.

    Args:
        spawn: Starts a worker.
        bind: Makes a listener.
        number: The first worker's.
    """

    def __init__(self, spawn: Spawn, bind: Bind, number: int) -> None:
        self._spawn = spawn
        self._bind = bind
        self._listener = bind()
        self._changing = asyncio.Lock()
        self.worker = spawn(number, self._listener)

    async def keep(self) -> None:
        """Start the worker again whenever it ends, until cancelled."""
        restarts = Restarts()
        while True:
            worker = self.worker
            code = await worker.ended()
            if worker is self.worker:
                log.error("worker %d ended (%s)", worker.number, end_of(code))
                await self._bring_back(worker, restarts)

    async def replace(self, number: int) -> Worker:
        """Start another worker beside the present one, and once it serves, have that one leave.

        Returns:
            The one that leaves.

        Raises:
            WorkerFailed: If the new one doesn't get ready; then nothing has changed.
            OSError: If there can't be another process.
        """
        async with self._changing:
            new = self._spawn(number, self._listener)
            await new.ready()
            old, self.worker = self.worker, new
            old.leave()
            return old

    def close(self) -> None:
        """Let go of the listener; the worker still has it."""
        self._listener.close()

    async def _bring_back(self, dead: Worker, restarts: Restarts) -> None:
        delay_s = restarts.delay_s(dead.served_s)
        while self.worker is dead:
            log.info("worker %d is started again in %.1f s", dead.number, delay_s)
            await asyncio.sleep(delay_s)
            async with self._changing:
                if self.worker is dead:  # and not replaced meanwhile
                    await self._try_again(dead.number)
            delay_s = restarts.delay_s(0.0)

    async def _try_again(self, number: int) -> None:
        try:
            worker = self._spawn(number, self._listener)
            await worker.ready()
            self.worker = worker
            log.info("worker %d is back", number)
        except (WorkerFailed, OSError) as failure:
            log.error("worker %d did not start: %s", number, failure)  # noqa: TRY400 - the text says it all
            self._turn_away()

    def _turn_away(self) -> None:
        try:
            listener = self._bind()
        except OSError as fault:
            log.error("no other listener can be made: %s", fault)  # noqa: TRY400 - the same
            return
        self._listener.close()
        self._listener = listener
