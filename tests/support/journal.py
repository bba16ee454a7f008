"""Journals for the contract suite: each with somebody who can harm the store below it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from actors.ids import DesktopId, Epoch, UserId
from actors.journal import JournalEntry, JournalPage, Opening, Written
from actors.offsets import BEGINNING, Offset
from actors.ports import Journal
from hub.frames import text_frame, text_of
from hub.journal.journal import RedisJournal
from hub.journal.limits import JournalLimits
from hub.store.client import connect
from tests.support.actors import HandClock, HandScheduler
from tests.support.memory_journal import DEFAULT_LIMITS, MemoryJournal
from tests.support.valkey import ValkeyServer

U1, D1 = UserId("u1"), DesktopId("d1")
STREAM, STATE = "hub:{u1}:journal:d1", "hub:{u1}:journal-state:d1"


def frame(text: str) -> bytes:
    return text_frame(text.encode())


PATIENT_MS = 2_000
"""A machine that is busy with other tests is no outage."""


class Store(Protocol):
    """What lies below a journal."""

    async def done(self) -> None:
        """Wait until everything that was asked is done."""

    async def pass_time(self, seconds: float) -> None: ...

    async def lose_everything(self) -> None: ...

    async def go_away(self) -> None: ...

    async def come_back(self) -> None: ...


class Bench:
    """A journal as the desktops u1/d1 and others use it."""

    def __init__(self, journal: Journal, store: Store) -> None:
        self.journal = journal
        self.store = store
        self.stale: list[tuple[int, int]] = []
        self.behind: list[tuple[int, int]] = []
        self.answers: list[JournalPage | None] = []

    def open(self, epoch: int) -> None:
        self.journal.open(
            U1,
            D1,
            Epoch(epoch),
            stale=lambda newer: self.stale.append((epoch, newer)),
            behind=lambda before: self.behind.append((epoch, before)),
        )

    def append(self, epoch: int, seq: int, text: str = "") -> None:
        self.journal.append(U1, D1, Offset(epoch, seq), frame(text or f"m{epoch}-{seq}"))

    def close(self, epoch: int, seq: int) -> None:
        self.journal.close(U1, D1, Offset(epoch, seq))

    async def page(self, after: Offset = BEGINNING, newest: int | None = None) -> JournalPage | None:
        """Read one page, behind everything that was asked before."""
        self.answers.clear()
        self.journal.read(U1, D1, after, self.answers.append, newest=newest)
        assert not self.answers
        await self.store.done()
        (answer,) = self.answers
        return answer

    async def told(self, after: Offset = BEGINNING, newest: int | None = None) -> str:
        """Read all pages: `E-0<AFTER` for an opening, `E-S` for a message; the head behind `|`, `?` if not known."""
        words = []
        while True:
            page = await self.page(after, newest)
            assert page is not None
            words += [word_of(entry) for entry in page.entries]
            if not page.more:
                return f"{' '.join(words)} | {page.head or '?'}".strip()
            after = page.entries[-1].offset


def word_of(entry: JournalEntry) -> str:
    if isinstance(entry, Opening):
        return f"{entry.offset}<{entry.after or '?'}"
    return str(entry.offset)


def texts_of(page: JournalPage | None) -> list[str]:
    assert page is not None
    return [text_of(entry.frame).decode() for entry in page.entries if isinstance(entry, Written)]


class HandStore:
    """Below the twin."""

    def __init__(self, limits: JournalLimits) -> None:
        self._clock = HandClock()
        self._scheduler = HandScheduler(self._clock)
        self.journal = MemoryJournal(self._scheduler, self._clock, limits)

    async def done(self) -> None:
        self._scheduler.settle()

    async def pass_time(self, seconds: float) -> None:
        self._scheduler.advance(seconds)

    async def lose_everything(self) -> None:
        self._scheduler.settle()
        self.journal.lose_everything()

    async def go_away(self) -> None:
        self._scheduler.settle()
        self.journal.away = True

    async def come_back(self) -> None:
        self.journal.away = False
        self._scheduler.settle()


class ValkeyStore:
    """Below the real one."""

    def __init__(self, server: ValkeyServer, journal: RedisJournal) -> None:
        self._server = server
        self._journal = journal

    async def done(self) -> None:
        await self._probe()

    async def pass_time(self, seconds: float) -> None:
        await self.done()
        await asyncio.sleep(seconds)

    async def lose_everything(self) -> None:
        await self.done()
        self._server.say("FLUSHALL")

    async def go_away(self) -> None:
        await self.done()
        self._server.kill()
        assert await self._probe() is None

    async def come_back(self) -> None:
        self._server.start()
        async with asyncio.timeout(5):
            while await self._probe() is None:
                await asyncio.sleep(0.005)

    async def _probe(self) -> JournalPage | None:
        """Read something: its answer comes behind everything that was asked before."""
        answer: asyncio.Future[JournalPage | None] = asyncio.get_running_loop().create_future()
        self._journal.read(U1, DesktopId("probe"), BEGINNING, answer.set_result)
        async with asyncio.timeout(5):
            return await answer


def memory_bench(limits: JournalLimits) -> Bench:
    store = HandStore(limits)
    return Bench(store.journal, store)


@asynccontextmanager
async def redis_journal(url: str, limits: JournalLimits = DEFAULT_LIMITS) -> AsyncIterator[RedisJournal]:
    """A journal with a client of its own, running."""
    client = connect(url, PATIENT_MS)
    journal = RedisJournal(client, limits, timeout_s=PATIENT_MS / 1000, available=lambda: True)
    await journal.start()
    yield journal
    await journal.stop(1)
    await client.aclose()


@asynccontextmanager
async def valkey_bench(server: ValkeyServer, limits: JournalLimits = DEFAULT_LIMITS) -> AsyncIterator[Bench]:
    async with redis_journal(server.url, limits) as journal:
        yield Bench(journal, ValkeyStore(server, journal))
