"""A slot has a worker, and another one when that ends; workers here are figures of ours."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import cast

import pytest

from hub.workers.process import Worker, WorkerFailed
from hub.workers.restarts import SETTLED_S
from hub.workers.slot import Slot


@dataclass(eq=False)
class Figure:
    """What a slot knows of a worker."""

    number: int
    listener: socket.socket
    fault: str | None = None
    served_s: float = SETTLED_S
    left: bool = False
    code: "asyncio.Future[int]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    async def ready(self) -> None:
        if self.fault is not None:
            self.code.set_result(1)
            raise WorkerFailed(self.fault, 1)

    async def ended(self) -> int:
        return await asyncio.shield(self.code)

    def leave(self) -> None:
        self.left = True

    def die(self) -> None:
        self.code.set_result(-9)


class Stage:
    """A slot, and all the workers that it started; `faults` are those of the next ones."""

    def __init__(self) -> None:
        self.started: list[Figure] = []
        self.faults: list[str | None] = []
        self.bound: list[socket.socket] = []
        self.slot = Slot(self._spawn, self._bind, 4)
        self.keeping = asyncio.create_task(self.slot.keep())

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.001)

    @property
    def now(self) -> Figure:
        return cast("Figure", self.slot.worker)

    def _spawn(self, number: int, listener: socket.socket) -> Worker:
        self.started.append(Figure(number, listener, self.faults.pop(0) if self.faults else None))
        return cast("Worker", self.started[-1])

    def _bind(self) -> socket.socket:
        self.bound.append(socket.socket())
        return self.bound[-1]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    stage.keeping.cancel()
    await asyncio.gather(stage.keeping, return_exceptions=True)
    for bound in stage.bound:
        bound.close()


async def test_a_worker_that_died_is_followed_by_one_of_the_same_number_on_the_same_listener(stage: Stage) -> None:
    [first] = stage.started
    first.die()
    await stage.until(lambda: stage.now is not first)
    assert (stage.now.number, stage.now.listener) == (4, first.listener)
    assert len(stage.bound) == 1
    assert first.listener.fileno() >= 0


async def test_one_that_does_not_start_is_tried_again_and_its_listener_turns_away_those_who_wait(stage: Stage) -> None:
    [first] = stage.started
    stage.faults = ["broken", "broken"]
    first.die()
    await stage.until(lambda: stage.now is not first)
    assert len(stage.started) == 4
    assert [each.fileno() >= 0 for each in stage.bound] == [False, False, True]
    assert stage.now.listener is stage.bound[-1]


async def test_one_that_is_replaced_leaves_and_is_not_started_again(stage: Stage) -> None:
    [first] = stage.started
    assert cast("Figure", await stage.slot.replace(7)) is first
    assert first.left
    assert (stage.now.number, stage.now.listener) == (7, first.listener)
    first.die()
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(stage.started) == 2
    stage.now.die()
    await stage.until(lambda: len(stage.started) == 3)
    assert stage.started[-1].number == 7


async def test_the_old_one_stays_when_the_new_one_does_not_start(stage: Stage) -> None:
    [first] = stage.started
    stage.faults = ["broken"]
    with pytest.raises(WorkerFailed, match="broken"):
        await stage.slot.replace(7)
    assert stage.now is first
    assert not first.left
    assert first.listener.fileno() >= 0


async def test_one_that_is_dead_and_waits_for_its_restart_may_be_replaced(stage: Stage) -> None:
    [first] = stage.started
    stage.faults = ["broken", "broken", "broken"]
    first.die()
    await stage.until(lambda: len(stage.started) == 4)  # the next try is 0.4 s away
    await stage.slot.replace(7)
    await asyncio.sleep(0.5)
    assert stage.now.number == 7
    assert len(stage.started) == 5


async def test_without_another_listener_the_present_one_stays(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room() -> socket.socket:
        raise OSError("too many open files")

    monkeypatch.setattr(stage.slot, "_bind", no_room)
    [first] = stage.started
    stage.faults = ["broken"]
    first.die()
    await stage.until(lambda: stage.now is not first)
    assert stage.now.listener is first.listener
    assert first.listener.fileno() >= 0
