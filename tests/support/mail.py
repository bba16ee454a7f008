"""Letters, and mailrooms that a test asks one thing after another: the real one, and the one in memory."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

from actors.ids import DesktopId, DeviceId, UserId
from actors.mail import KeptReceipt, Letter, MailPage, Receipt, Sender, Status, StoreAnswer, message_key
from actors.offsets import BEGINNING, Offset
from actors.ports import Mailroom
from hub.frames import text_frame
from hub.mail.ledger import Ledger
from hub.mail.limits import MailLimits
from hub.mail.room import RedisMailroom
from hub.mail.scripts import build
from hub.mail.sweep import Sweeper
from hub.store.calls import Calls
from hub.store.client import Client
from tests.support.actors import HandClock, HandScheduler
from tests.support.memory_mailroom import MemoryMailroom

U1, D1 = UserId("u1"), DesktopId("d1")
PHONE = Sender(U1, DeviceId("p1"))
NEVER_S = 3600.0


def make_letter(
    message: str = "1",
    text: str = '{"type":"user:message"}',
    *,
    desktop: str = D1,
    user: str = U1,
    device: str | None = "p1",
    key: str | None = None,
    valid_until: int | None = None,
) -> Letter:
    return Letter(
        user_id=UserId(user),
        desktop_id=DesktopId(desktop),
        device_id=None if device is None else DeviceId(device),
        kind="user:message",
        key=key or message_key(message),
        frame=text_frame(text.encode()),
        fingerprint=sha256(text.encode()).hexdigest(),
        valid_until=valid_until,
    )


class Desk:
    """A mailroom with its answers waited for; each question by its name."""

    room: Mailroom
    told: list[tuple[Sender, Receipt]]

    def __init__(self) -> None:
        self.told = []
        self.returns = 0

    def _note_told(self, sender: Sender, receipt: Receipt) -> None:
        self.told.append((sender, receipt))

    def _note_return(self) -> None:
        self.returns += 1

    def now_ms(self) -> int:
        raise NotImplementedError

    async def pass_ms(self, milliseconds: float) -> None:
        """Let time go by."""
        raise NotImplementedError

    async def sweep(self) -> None:
        """Take out all that is over."""
        raise NotImplementedError

    async def ask(self, call: Callable[..., None], *args: Any, **named: Any) -> Any:
        """Call with an `answer` behind `args`, and return what it was given."""
        raise NotImplementedError

    async def store(self, letter: Letter) -> StoreAnswer:
        answer: StoreAnswer = await self.ask(self.room.store, letter)
        return answer

    async def read(self, after: Offset = BEGINNING, desktop: DesktopId = D1) -> MailPage:
        page: MailPage = await self.ask(self.room.read, U1, desktop, after)
        return page

    async def read_all(self, after: Offset = BEGINNING) -> list[tuple[Offset, Letter]]:
        letters: list[tuple[Offset, Letter]] = []
        more = True
        while more:
            page = await self.read(after)
            letters += page.letters
            after, more = page.reached, page.more
        return letters

    async def settle(self, letter: Letter, status: Status = Status.DELIVERED, *, done: bool = True) -> None:
        await self.ask(self.room.settle, letter, status, done=done)

    async def acknowledge(self, message: str) -> Sender | None:
        sender: Sender | None = await self.ask(self.room.acknowledge, U1, D1, message)
        return sender

    async def kept(self, sender: Sender = PHONE) -> list[KeptReceipt]:
        kept = await self.kept_if_here(sender)
        assert kept is not None
        return kept

    async def kept_if_here(self, sender: Sender = PHONE) -> list[KeptReceipt] | None:
        kept: list[KeptReceipt] | None = await self.ask(self.room.kept, sender)
        return kept


class MemoryDesk(Desk):
    """The mailroom in memory, with time moved by hand."""

    def __init__(self, limits: MailLimits) -> None:
        self.clock = HandClock()
        self.scheduler = HandScheduler(self.clock)
        super().__init__()
        self.memory = MemoryMailroom(
            self.clock, self.scheduler, limits, tell=self._note_told, returned=self._note_return
        )
        self.room: Mailroom = self.memory

    def now_ms(self) -> int:
        return self.clock.wall_ms()

    async def pass_ms(self, milliseconds: float) -> None:
        self.scheduler.advance(milliseconds / 1000)

    async def ask(self, call: Callable[..., None], *args: Any, **named: Any) -> Any:
        answers: list[tuple[Any, ...]] = []
        if call == self.room.settle:
            call(*args, **named, answer=lambda: answers.append((None,)))
        else:
            call(*args, lambda answer: answers.append((answer,)))
        assert not answers, "nothing is answered within the call"
        self.scheduler.settle()
        [(answer,)] = answers
        return answer

    async def sweep(self) -> None:
        self.memory.sweep()


class RedisDesk(Desk):
    """The mailroom in Redis."""

    def __init__(self, client: Client, limits: MailLimits, *, timeout_s: float = 5, sweep_s: float = NEVER_S) -> None:
        self._client = client
        self._limits = limits
        super().__init__()
        self.reachable = True
        self.redis = RedisMailroom(
            client,
            limits,
            timeout_s=timeout_s,
            available=lambda: self.reachable,
            tell=self._note_told,
            returned=self._note_return,
            sweep_s=sweep_s,
        )
        self.room: Mailroom = self.redis

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def pass_ms(self, milliseconds: float) -> None:
        await asyncio.sleep(milliseconds / 1000)

    async def ask(self, call: Callable[..., None], *args: Any, **named: Any) -> Any:
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if call == self.room.settle:
            call(*args, **named, answer=lambda: answered.set_result(None))
        else:
            call(*args, answered.set_result)
        assert not answered.done(), "nothing is answered within the call"
        async with asyncio.timeout(10):
            return await answered

    async def sweep(self) -> None:
        scripts = build(self._limits)
        sweeper = Sweeper(Calls(self._client, 5, scripts.all), scripts, Ledger(self._note_told), NEVER_S)
        await sweeper.turn()
        while sweeper.due_at <= time.monotonic():
            await sweeper.turn()


@asynccontextmanager
async def redis_desk(
    client: Client, limits: MailLimits | None = None, *, timeout_s: float = 5, sweep_s: float = NEVER_S
) -> AsyncIterator[RedisDesk]:
    desk = RedisDesk(client, limits or MailLimits(), timeout_s=timeout_s, sweep_s=sweep_s)
    await desk.redis.start()
    try:
        yield desk
    finally:
        await desk.redis.stop(1)
