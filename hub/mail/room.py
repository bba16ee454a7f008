"""Keeps mail in Redis, through Redis' absences."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from actors.clock import Clock, SystemClock
from actors.ids import DesktopId, UserId
from actors.mail import KeptReceipt, Letter, MailPage, Receipt, Sender, Status, StoreAnswer
from actors.offsets import Offset
from hub.mail import entries, keys, requests
from hub.mail.ledger import Ledger
from hub.mail.limits import MailLimits
from hub.mail.scripts import build
from hub.mail.sweep import Sweeper
from hub.store.calls import Calls, Command, Reply, StoreAway
from hub.store.client import Client
from hub.store.guard import guard
from hub.store.tasks import doze, finish

log = logging.getLogger("hub.mail")
_guarded = guard(log, "taking an answer of the mailroom failed")

BATCH = 128
BATCH_BYTES = 2 * 1024 * 1024
MOST_WAITING = 10_000
MOST_WAITING_BYTES = 64 * 1024 * 1024
MOST_OWED = 10_000
"""So much of what is asked while Redis is away is done when it is back."""
GATHER_S = 0.005
PROBE_S = 0.25
SWEEP_S = 1.0

_Debt: TypeAlias = tuple[Command, Callable[[Reply], None] | None]
"""A command for when Redis is back, and who takes its answer."""

_PROBE: Command = ("ZADD", keys.EXPIRING, "XX", 0, "-")
"""A write without effect: it tells whether Redis takes writes."""

_SYSTEM_CLOCK = SystemClock()


class RedisMailroom:
    """Adapter of `actors.ports.Mailroom` to Redis.

    One task asks: the first request goes out at once, but for those that may wait 5 ms for company (crowds of clients
    come together); what comes while a round trip is under way goes together in the next one. While Redis is away
    everything is answered at once, and `available` is looked at every 250 ms; then what is owed is done first. What is
    asked beyond the bound is answered as if Redis were away. The task also sweeps (`hub.mail.sweep`). Make it inside
    the running loop.

    Attributes:
        ledger: What it counts.
    """

    def __init__(
        self,
        client: Client,
        limits: MailLimits,
        *,
        timeout_s: float,
        available: Callable[[], bool],
        tell: Callable[[Sender, Receipt], None],
        returned: Callable[[], None],
        sweep_s: float = SWEEP_S,
        clock: Clock = _SYSTEM_CLOCK,
    ) -> None:
        """Make a mailroom; it asks Redis between `start` and `stop`, and all else is answered as if Redis were away.

        Args:
            client: From `hub.store.client.connect`; closed by who made it.
            limits: The bounds of every mailbox; the same on all nodes.
            timeout_s: How long a round trip may take.
            available: Whether it is worth while to ask Redis again.
            tell: Tells a sender what became of a message without being asked: of each letter that was taken out because
                it is over, and of each one that was acknowledged while Redis was away.
            returned: Called once each time that Redis is back, or that there is room again after too much was asked.
            sweep_s: How long nothing is swept when nothing was found.
            clock: Only for when a mailbox is to be swept; what is over, Redis' clock decides.
        """
        scripts = build(limits)
        self.ledger = Ledger(tell)
        self._limits = limits
        self._scripts = scripts
        self._available = available
        self._returned = returned
        self._clock = clock
        self._calls = Calls(client, timeout_s, scripts.all)
        self._loop = asyncio.get_running_loop()
        self._sweeper = Sweeper(self._calls, scripts, self.ledger, sweep_s, self._loop.time)
        self._waiting: deque[requests.Request] = deque()
        self._waiting_bytes = 0
        self._hurry = False
        self._sent: list[requests.Request] = []
        self._owed: deque[_Debt] = deque()
        self._tell = tell
        self._turned_some_away = False
        self._away_since: float | None = None
        self._greeted = False
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    @property
    def lag_s(self) -> float:
        """Age in seconds of the oldest that was asked and isn't done; 0 when all is."""
        if self._away_since is not None:
            return self._loop.time() - self._away_since if self._owed else 0.0
        oldest = self._sent or self._waiting
        return self._loop.time() - oldest[0].asked_at if oldest else 0.0

    def store(self, letter: Letter, answer: Callable[[StoreAnswer], None]) -> None:
        """See `actors.ports.Mailroom`."""
        self._ask(requests.Store(letter, answer))

    def read(
        self, user_id: UserId, desktop_id: DesktopId, after: Offset, answer: Callable[[MailPage | None], None]
    ) -> None:
        """See `actors.ports.Mailroom`."""
        self._ask(requests.Read(user_id, desktop_id, after, answer))

    def settle(self, letter: Letter, status: Status, *, done: bool, answer: Callable[[], None]) -> None:
        """See `actors.ports.Mailroom`."""
        self._ask(requests.Settle(letter, status, done, answer))

    def acknowledge(
        self, user_id: UserId, desktop_id: DesktopId, message_id: str, answer: Callable[[Sender | None], None]
    ) -> None:
        """See `actors.ports.Mailroom`."""
        self._ask(requests.Acknowledge(user_id, desktop_id, message_id, answer))

    def keep(self, sender: Sender, receipt: Receipt) -> None:
        """See `actors.ports.Mailroom`."""
        self._ask(requests.Keep(sender, receipt))

    def kept(self, sender: Sender, answer: Callable[[list[KeptReceipt] | None], None]) -> None:
        """See `actors.ports.Mailroom`."""
        self._ask(requests.Kept(sender, answer))

    def forget(self, sender: Sender, until: Offset) -> None:
        """See `actors.ports.Mailroom`; while Redis is away, it is done when it is back."""
        self._ask(requests.Forget(sender, until))

    async def start(self) -> None:
        """Start asking. Returns at once, whether Redis is there or not."""
        self._task = asyncio.create_task(self._run(), name="mailroom")

    async def stop(self, deadline_s: float) -> None:
        """Do what waits, if that is done within `deadline_s`, and end."""
        self._stopping = True
        self._wake.set()
        await finish(self._task, deadline_s=deadline_s)

    def _ask(self, request: requests.Request) -> None:
        closed = self._away_since is not None or self._stopping or self._task is None
        if closed or len(self._waiting) >= MOST_WAITING or self._waiting_bytes + request.size > MOST_WAITING_BYTES:
            self._turned_some_away |= not closed
            self._owe(request)
            self._loop.call_soon(_guarded, request.away)
            return
        request.asked_at = self._loop.time()
        if not request.patient:
            self._hurry = True
        if not request.patient or not self._waiting:
            self._wake.set()
        self._waiting.append(request)
        self._waiting_bytes += request.size

    def _owe(self, request: requests.Request) -> None:
        if request.lasting:
            later = partial(self._acknowledged, request) if isinstance(request, requests.Acknowledge) else None
            self._owe_command(request.command(self._scripts), later)

    def _owe_command(self, command: Command, later: Callable[[Reply], None] | None = None) -> None:
        if len(self._owed) >= MOST_OWED:
            self._owed.popleft()
            self.ledger.dropped += 1
        self._owed.append((command, later))

    def _acknowledged(self, request: requests.Acknowledge, reply: Reply) -> None:
        """Redis has learnt what a desktop acknowledged while it was away."""
        if isinstance(reply, bytes):
            receipt = Receipt(request.message_id, request.desktop_id, Status.ACKNOWLEDGED)
            self._tell(Sender(request.user_id, entries.device(reply)), receipt)

    async def _run(self) -> None:
        try:
            while not self._stopping or (self._away_since is None and (self._waiting or self._owed)):
                await self._step()
        finally:
            self._turn_away()
            if self._owed:
                log.warning("mail: Redis is away, %d outcomes of messages were not written down", len(self._owed))

    async def _step(self) -> None:
        try:
            await (self._turn() if self._away_since is None else self._come_back())
        except StoreAway as error:
            self._go_away(str(error))
        except Exception:
            log.exception("the mailroom met a bug; it starts anew")
            self._go_away("a bug")

    async def _turn(self) -> None:
        """Sleep until there is something to do, and do it."""
        if not self._greeted:
            await self._greet()
        await self._sleep()
        if self._waiting:
            await self._send()
            if self._turned_some_away and not self._waiting:
                self._turned_some_away = False
                _guarded(self._returned)
        elif self._owed:
            await self._pay()  # was too much to wait in order
        if self._loop.time() >= self._sweeper.due_at:
            await self._sweeper.turn()

    async def _greet(self) -> None:
        """Ask whether Redis takes writes, and load the scripts: what a batch does without one is done out of order."""
        loads: list[Command] = [("SCRIPT", "LOAD", script.text) for script in self._scripts.all]
        await self._calls.ask([_PROBE, *loads])
        self._greeted = True

    async def _sleep(self) -> None:
        while not self._hurry and not self._owed and not self._stopping:
            due_at = self._sweeper.due_at
            if self._waiting:
                due_at = min(due_at, self._waiting[0].asked_at + GATHER_S)
            if self._loop.time() >= due_at:
                return
            self._wake.clear()
            await doze(self._wake, due_at - self._loop.time())

    async def _send(self) -> None:
        self._sent = self._take()
        commands = [request.command(self._scripts) for request in self._sent]
        commands += self._index(self._sent)
        replies = await self._calls.ask(commands)
        sent, self._sent = self._sent, []
        for request, reply in zip(sent, replies, strict=False):
            _guarded(request.answered, reply, self.ledger)

    def _take(self) -> list[requests.Request]:
        """Take the next batch."""
        batch: list[requests.Request] = []
        size = 0
        while self._waiting and len(batch) < BATCH and (not batch or size + self._waiting[0].size <= BATCH_BYTES):
            request = self._waiting.popleft()
            size += request.size
            batch.append(request)
        self._waiting_bytes -= size
        self._hurry = bool(self._waiting)
        return batch

    def _index(self, batch: Sequence[requests.Request]) -> list[Command]:
        """Return the command that tells the sweep when the letters in `batch` run out."""
        now_ms, age_ms = self._clock.wall_ms(), self._limits.age_ms
        soonest: dict[str, int] = {}
        for request in batch:
            if isinstance(request, requests.Store):
                member = keys.member(request.letter.user_id, request.letter.desktop_id)
                over = request.runs_out(now_ms, age_ms)
                soonest[member] = min(over, soonest.get(member, over))
        scores = [word for member, over in soonest.items() for word in (over, member)]
        return [("ZADD", keys.EXPIRING, "LT", *scores)] if scores else []

    async def _pay(self) -> None:
        """Do what is owed."""
        while self._owed:
            batch = [self._owed.popleft() for _ in range(min(BATCH, len(self._owed)))]
            try:
                replies = await self._calls.ask([command for command, _ in batch])
            except (StoreAway, asyncio.CancelledError):
                self._owed.extendleft(reversed(batch))
                raise
            except Exception:
                self.ledger.dropped += len(batch)
                raise
            for (_, later), reply in zip(batch, replies, strict=True):
                if later is not None:
                    _guarded(later, reply)

    def _go_away(self, why: str) -> None:
        if self._away_since is None:
            self._away_since = self._loop.time()
            self.ledger.outages += 1
            log.warning("mail: Redis is away, connected desktops get their messages directly: %s", why)
        self._greeted = False
        self._sweeper.forget()
        for command in self._index(self._sent):
            self._owe_command(command)  # it may have stored them
        self._turn_away()

    def _turn_away(self) -> None:
        """Answer all that was asked as if Redis were away."""
        unanswered = [*self._sent, *self._waiting]
        self._sent, self._waiting_bytes = [], 0
        self._waiting.clear()
        self._hurry = False
        for request in unanswered:
            self._owe(request)
            _guarded(request.away)

    async def _come_back(self) -> None:
        """Ask Redis again after a moment, and do first what is owed."""
        await asyncio.sleep(PROBE_S)
        if not self._available():
            return
        await self._greet()
        await self._pay()
        self._away_since = None
        log.info("mail: Redis is back")
        _guarded(self._returned)
