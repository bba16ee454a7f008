"""Starting, replacing and ending all workers; workers here are figures of ours, which do as they are told."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import ClassVar, cast

import pytest

from hub.config import Settings
from hub.workers import crew as crew_module
from hub.workers.crew import Crew
from hub.workers.place import entrance_of, socket_of
from hub.workers.process import WorkerFailed


class Figure:
    """A worker that ends when it is told to, unless it is deaf."""

    said: ClassVar[list[str]]
    faulty: ClassVar[set[int]]
    deaf: ClassVar[set[int]]
    holding: ClassVar[asyncio.Event]

    def __init__(self, number: int, _: socket.socket, __: Path, ___: int, environment: Mapping[str, str]) -> None:
        self.number = number
        self.environment = environment
        self._told = False
        self.served_s = 60.0
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._say("starts")

    @property
    def alive(self) -> bool:
        return not self._code.done()

    async def ready(self) -> None:
        await self.holding.wait()
        if self.number in self.faulty:
            self._end(2)
            raise WorkerFailed(f"fault of {self.number}", 2)
        self._say("serves")

    async def ended(self) -> int:
        return await asyncio.shield(self._code)

    def leave(self) -> None:
        self._told = True
        self._say("leaves")
        self._end(0)

    def stop(self) -> None:
        if not self._told:
            self._told = True
            self._say("stops")
            self._end(0)

    def hurry(self) -> None:
        self._say("hurries")

    def kill(self) -> None:
        self._say("is killed")
        self._code.set_result(-9)

    def _end(self, code: int) -> None:
        if self.number not in self.deaf:
            self._code.set_result(code)

    def _say(self, what: str) -> None:
        self.said.append(f"{self.number} {what}")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(crew_module, "Worker", Figure)
    Figure.said, Figure.faulty, Figure.deaf, Figure.holding = [], set(), set(), asyncio.Event()
    Figure.holding.set()
    return Figure.said


@pytest.fixture
async def crew(said: list[str], tmp_path: Path) -> AsyncIterator[Crew]:
    settings = Settings(jwt_secret="s" * 32, workers=2, node_name="n", drain_deadline_s=0.05)  # type: ignore[arg-type]
    crew = Crew(settings, {"HUB_X": "1", "HUB_NODE_NAME": "n"}, socket.socket, tmp_path)
    yield crew
    Figure.deaf = set()
    await crew.stop()


async def running(crew: Crew) -> "asyncio.Task[None]":
    up = asyncio.Event()
    task = asyncio.create_task(crew.run(up.set))
    await up.wait()
    return task


async def ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(said: list[str], line: str, times: int = 1) -> None:
    async with asyncio.timeout(5):
        while said.count(line) < times:
            await asyncio.sleep(0.001)


async def test_it_is_up_when_all_serve_and_each_has_its_name(crew: Crew, said: list[str]) -> None:
    task = await running(crew)
    assert said == ["0 starts", "1 starts", "0 serves", "1 serves"]
    environments = [cast("Figure", slot.worker).environment for slot in crew._slots]
    assert environments == [{"HUB_X": "1", "HUB_NODE_NAME": "n.0"}, {"HUB_X": "1", "HUB_NODE_NAME": "n.1"}]
    await ended(task)


async def test_one_that_does_not_start_at_the_beginning_ends_it(crew: Crew, said: list[str]) -> None:
    Figure.faulty = {1}
    with pytest.raises(WorkerFailed, match="fault of 1") as caught:
        await crew.run(lambda: said.append("up"))
    assert caught.value.exit_code == 2
    await crew.stop()
    assert said == ["0 starts", "1 starts", "0 serves", "0 stops"]


async def test_workers_are_replaced_one_after_the_other_under_the_number_that_is_free(
    crew: Crew, said: list[str], tmp_path: Path
) -> None:
    task = await running(crew)
    for number in range(3):
        socket_of(tmp_path, number).touch()
        entrance_of(tmp_path, number).touch()
    del said[:]
    crew.renew()
    await until(said, "1 leaves")
    assert said == ["2 starts", "2 serves", "0 leaves", "0 starts", "0 serves", "1 leaves"]
    await asyncio.sleep(0.01)
    assert not socket_of(tmp_path, 1).exists()
    assert not entrance_of(tmp_path, 1).exists()
    await ended(task)


async def test_what_is_asked_for_during_a_round_is_done_once_after_it(crew: Crew, said: list[str]) -> None:
    task = await running(crew)
    del said[:]
    Figure.holding.clear()
    crew.renew()
    await until(said, "2 starts")
    crew.renew()
    crew.renew()
    Figure.holding.set()
    await until(said, "2 leaves")
    await asyncio.sleep(0.02)
    assert sum(line.endswith("leaves") for line in said) == 4
    await ended(task)


async def test_a_round_ends_with_the_first_that_does_not_start_and_another_may_follow(
    crew: Crew, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    task = await running(crew)
    del said[:]
    Figure.faulty = {2}
    crew.renew()
    async with asyncio.timeout(5):
        while "no more workers are replaced" not in caplog.text:
            await asyncio.sleep(0.001)
    assert said == ["2 starts"]
    assert "fault of 2" in caplog.text
    Figure.faulty = set()
    crew.renew()
    await until(said, "1 leaves")
    await ended(task)


async def test_one_that_hangs_is_killed_when_its_time_is_up(
    crew: Crew, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew_module, "LAST_STEPS_S", 0.05)
    await ended(await running(crew))
    Figure.deaf = {1}
    stopping = asyncio.create_task(crew.stop())
    await until(said, "0 stops")
    await until(said, "1 stops")
    crew.hurry()
    await stopping
    assert sorted(said[-4:-2]) == ["0 stops", "1 stops"]
    assert said[-2:] == ["1 hurries", "1 is killed"]


async def test_one_that_leaves_is_not_told_to_stop_as_well(
    crew: Crew, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That would hurry it."""
    monkeypatch.setattr(crew_module, "LAST_STEPS_S", 0.05)
    task = await running(crew)
    Figure.deaf = {0}
    crew.renew()
    await until(said, "0 leaves")
    await ended(task)
    del said[:]
    await crew.stop()
    assert said.count("0 stops") == 0
    assert sorted(said) == ["0 is killed", "1 stops", "2 stops"]
