"""Questions are asked together, and every one is answered once, whatever happens."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import cast

import pytest

from actors.ids import DesktopId, UserId
from actors.messages import KnownDesktop
from hub.presence.known_loader import BATCH, KnownLoader
from hub.presence.store import RedisPresenceStore
from hub.store.calls import StoreAway

Answers = list[list[KnownDesktop] | None]


class FakeStore:
    """Answers each user with one desktop of the same name, once it is let."""

    def __init__(self) -> None:
        self.round_trips: list[list[UserId]] = []
        self.let = asyncio.Event()
        self.away = False

    async def known_of(self, user_ids: Sequence[UserId]) -> list[list[KnownDesktop]]:
        self.round_trips.append(list(user_ids))
        await self.let.wait()
        if self.away:
            raise StoreAway("down")
        return [[KnownDesktop(DesktopId(user_id), 1, None, None, "lost")] for user_id in user_ids]


class Bench:
    def __init__(self) -> None:
        self.store = FakeStore()
        self.loader = KnownLoader(cast("RedisPresenceStore", self.store))
        self.task = asyncio.create_task(self.loader.run())

    def ask(self, user: str) -> Answers:
        answers: Answers = []
        self.loader.ask(UserId(user), answers.append)
        return answers


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    bench.task.cancel()
    await asyncio.gather(bench.task, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.001)


async def test_questions_that_come_meanwhile_go_together(bench: Bench) -> None:
    first = bench.ask("u0")
    await until(lambda: bool(bench.store.round_trips))
    later = [bench.ask(f"u{number % 3}") for number in range(6)]
    bench.store.let.set()
    await until(lambda: all(len(each) == 1 for each in [first, *later]))
    assert bench.store.round_trips == [["u0"], ["u0", "u1", "u2"]]
    assert later[1] == [[KnownDesktop(DesktopId("u1"), 1, None, None, "lost")]]


async def test_a_round_trip_is_bounded(bench: Bench) -> None:
    bench.store.let.set()
    answers = [bench.ask(f"u{number}") for number in range(BATCH + 1)]
    await until(lambda: all(len(each) == 1 for each in answers))
    assert [len(users) for users in bench.store.round_trips] == [BATCH, 1]


async def test_away_is_answered_with_none(bench: Bench) -> None:
    bench.store.away = True
    bench.store.let.set()
    answers = bench.ask("u0")
    await until(lambda: answers == [None])


async def test_what_is_open_at_the_end_is_answered_with_none(bench: Bench) -> None:
    asked = bench.ask("u0")
    await until(lambda: bool(bench.store.round_trips))
    waiting = bench.ask("u1")
    bench.task.cancel()
    await asyncio.gather(bench.task, return_exceptions=True)
    assert (asked, waiting) == ([None], [None])


async def test_an_askers_bug_is_its_own(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.store.let.set()

    def fail(_: object) -> None:
        raise ZeroDivisionError

    bench.loader.ask(UserId("u0"), fail)
    answers = bench.ask("u0")
    await until(lambda: len(answers) == 1)
    assert "the answer to a question" in caplog.text
