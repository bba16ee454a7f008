"""All workers of a parent: N of them, one more during a rolling restart."""

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from hub.address import Bind
from hub.config import Settings
from hub.workers.board import new_board
from hub.workers.place import entrance_of, socket_of
from hub.workers.process import Worker, WorkerFailed
from hub.workers.slot import Slot

log = logging.getLogger("hub.workers")

LAST_STEPS_S = 3.0
"""What a worker may need beyond the drain deadline, for presence: twice its own bound."""


class Crew:
    """Starts workers, keeps them, restarts them one after the other, and ends them.

    Args:
        settings: The parent's.
        environment: What workers read their settings from, but for their names.
        bind: Makes listeners on the shared address.
        folder: For their private sockets.
    """

    def __init__(self, settings: Settings, environment: Mapping[str, str], bind: Bind, folder: Path) -> None:
        self._settings = settings
        self._environment = environment
        self._bind = bind
        self._folder = folder
        self._board = new_board(settings.workers + 1)
        self._slots: list[Slot] = []
        self._workers: set[Worker] = set()
        self._renewal = asyncio.Event()

    async def run(self, started: Callable[[], object]) -> None:
        """Start all, say so once all serve, and keep them until cancelled.

        Raises:
            WorkerFailed: If one doesn't get ready at the beginning.
            OSError: If there can't be so many sockets or processes.
        """
        for number in range(self._settings.workers):
            self._slots.append(Slot(self._spawn, self._bind, number))
        for slot in self._slots:
            await slot.worker.ready()
        started()
        async with asyncio.TaskGroup() as group:
            for slot in self._slots:
                group.create_task(slot.keep())
            group.create_task(self._renew_when_asked())

    def renew(self) -> None:
        """Have every worker replaced, one after the other; while that happens, have it happen once more afterwards."""
        self._renewal.set()

    def hurry(self) -> None:
        """Have the workers that are ending close everybody now."""
        for worker in self._alive():
            worker.hurry()

    async def stop(self) -> None:
        """End all: in order, within the drain deadline and a little, or by force."""
        for slot in self._slots:
            slot.close()
        for worker in self._alive():
            worker.stop()
        await asyncio.gather(*map(self._wait_or_kill, self._alive()))
        self._board.close()

    async def _renew_when_asked(self) -> None:
        while True:
            await self._renewal.wait()
            self._renewal.clear()
            log.info("all workers are replaced, one after the other")
            try:
                for slot in self._slots:
                    await self._renew_one(slot)
            except (WorkerFailed, OSError) as failure:
                log.error("no more workers are replaced, because one did not start: %s", failure)  # noqa: TRY400 - the text says it all
            else:
                log.info("all workers have been replaced")

    async def _renew_one(self, slot: Slot) -> None:
        """Wait for the old one's end, so that there is never more than one too many."""
        gone = number = self._free_number()
        try:
            old = await slot.replace(number)
            gone = old.number
            log.info("worker %d has the place of worker %d, which leaves", number, gone)
            await self._wait_or_kill(old)
        finally:
            for path in (socket_of(self._folder, gone), entrance_of(self._folder, gone)):
                path.unlink(missing_ok=True)  # of one that was killed

    async def _wait_or_kill(self, worker: Worker) -> None:
        deadline_s = self._settings.drain_deadline_s + LAST_STEPS_S
        try:
            async with asyncio.timeout(deadline_s):
                await worker.ended()
        except TimeoutError:
            log.error("worker %d did not end within %.1f s and is killed", worker.number, deadline_s)  # noqa: TRY400 - the text says it all
            worker.kill()
            await worker.ended()

    def _spawn(self, number: int, listener: socket.socket) -> Worker:
        environment = {**self._environment, "HUB_NODE_NAME": self._settings.worker_name(number)}
        worker = Worker(number, listener, self._folder, self._board.fileno(), environment)
        self._workers = {*self._alive(), worker}
        return worker

    def _alive(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.alive]

    def _free_number(self) -> int:
        taken = {slot.worker.number for slot in self._slots}
        return min(set(range(len(self._slots) + 1)) - taken)
