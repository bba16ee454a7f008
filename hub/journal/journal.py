"""The journal's one task: what is asked is done in order, in batches, through Redis' absences."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from itertools import chain

from redis.exceptions import ResponseError

from actors.ids import DesktopId, Epoch, UserId
from actors.offsets import Offset
from actors.ports import OfEpoch
from hub.journal.asked import Answer, Append, Asked, Close, Open, Read, Write
from hub.journal.limits import JournalLimits
from hub.journal.pages import read_epoch, read_page
from hub.journal.pending import Pending
from hub.journal.scripts import scripts_for
from hub.store.calls import Calls, Reply, StoreAway
from hub.store.client import Client
from hub.store.guard import guard
from hub.store.tasks import finish

log = logging.getLogger("hub.journal")
_guarded = guard(log, "what the journal answered met a bug")

GATHER_S = 0.01
"""Writes that come within this time share a round trip (of 350 us CPU and 12 more a write); nobody waits for them."""

CHUNK = 128
"""So many commands are packed at once, some 1 ms of CPU, for which nobody else's message waits longer."""

LOOK_S = 0.25
"""How often Redis is looked for while it is away."""

_PING = ("PING",)

MOST_OPEN = 65_536
"""Open connections whose `stale` is remembered; the sockets of a node are fewer."""


class RedisJournal:
    """Adapter of `actors.ports.Journal` to Redis.

    Writes wait 10 ms for company, reads go at once with what waits before them, and what comes while a round trip is
    under way waits for its end. While Redis is away writes wait and reads are answered None. A batch that got no answer
    is written again: all scripts may be repeated. Make it inside the running loop.

    Attributes:
        written: Writes that Redis has taken.
        stale: Writes that met a newer epoch.
        dropped: Writes that were given up, because too much waited or a key is of a wrong type.
        reads: Reads that Redis has answered.
        outages: How often Redis went away.
    """

    written: int = 0
    stale: int = 0
    dropped: int = 0
    reads: int = 0
    outages: int = 0

    def __init__(
        self,
        client: Client,
        limits: JournalLimits,
        *,
        timeout_s: float,
        available: Callable[[], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a journal; it reads and writes between `start` and `stop`.

        Args:
            client: From `hub.store.client.connect`; closed by who made it.
            limits: What is kept of one desktop.
            timeout_s: How long a round trip may take.
            available: Whether Redis is worth asking again after an outage.
            monotonic: Seconds that never go back.
        """
        self._scripts = scripts_for(limits)
        scripts = (self._scripts.open, self._scripts.append, self._scripts.close, self._scripts.read)
        self._calls = Calls(client, timeout_s, scripts, chunk=CHUNK)
        self._available = available
        self._monotonic = monotonic
        self._loop = asyncio.get_running_loop()
        self._pending = Pending()
        self._under_way: list[Asked] = []
        self._when_stale: dict[tuple[UserId, DesktopId, int], OfEpoch] = {}
        self._when_relieved: list[Callable[[], object]] = []
        self.crowded = False
        """Whether writes come faster than Redis takes them; always False while it is away."""
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._away = False
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    @property
    def lag_s(self) -> float:
        """Age in seconds of the oldest write that isn't in Redis yet; 0 when all are."""
        writes = (each for each in chain(self._under_way, self._pending) if not isinstance(each, Read))
        oldest = next(writes, None)
        return 0.0 if oldest is None else self._monotonic() - oldest.asked_at

    def open(self, user_id: UserId, desktop_id: DesktopId, epoch: Epoch, stale: OfEpoch, behind: OfEpoch) -> None:
        """A connection is about to say its first message; `stale` is called at most once, before it closes."""
        self._when_stale[user_id, desktop_id, epoch] = stale
        if len(self._when_stale) > MOST_OPEN:
            del self._when_stale[next(iter(self._when_stale))]
        self._write(Open(user_id, desktop_id, epoch, self._monotonic(), behind))

    def append(self, user_id: UserId, desktop_id: DesktopId, offset: Offset, frame: bytes) -> None:
        """Keep a durable message, as it went to the phones."""
        self._write(Append(user_id, desktop_id, offset, frame, self._monotonic()))

    def close(self, user_id: UserId, desktop_id: DesktopId, offset: Offset) -> None:
        """The connection said nothing behind `offset`, and never will."""
        self._when_stale.pop((user_id, desktop_id, offset.epoch), None)
        self._write(Close(user_id, desktop_id, offset, self._monotonic()))

    def when_relieved(self, act: Callable[[], object]) -> None:
        """Call `act` once, later: when there is room again, or Redis is away."""
        self._when_relieved.append(act)

    def read(
        self, user_id: UserId, desktop_id: DesktopId, after: Offset, answer: Answer, *, newest: int | None = None
    ) -> None:
        """Read behind `after`; `answer` is called once, later: with None if Redis is away or too many wait."""
        if self._away or self._stopping or not self._running or self._pending.reads_full:
            self._loop.call_soon(_guarded, answer, None)
        else:
            self._ask(Read(user_id, desktop_id, after, answer, newest))

    async def start(self) -> None:
        """Start writing. Returns at once, whether Redis is there or not."""
        self._task = asyncio.create_task(self._run(), name="journal")
        self._task.add_done_callback(_ended)

    async def stop(self, deadline_s: float) -> None:
        """Write what is pending, if that is done within `deadline_s`, and end."""
        self._stopping = True
        self._wake.set()
        await finish(self._task, deadline_s=deadline_s)
        if self._timer is not None:
            self._timer.cancel()

    @property
    def _running(self) -> bool:
        return self._task is not None and not self._task.done()

    def _write(self, write: Write) -> None:
        if self._stopping and not self._running:
            self.dropped += 1
        else:
            self._ask(write)

    def _ask(self, asked: Asked) -> None:
        gone = self._pending.add(asked)
        if gone:
            self._give_up(gone)
        if not self.crowded and not self._away and self._pending.crowded:
            self.crowded = True
        if self._timer is None or self._pending.urgent:
            self._nudge()

    def _nudge(self) -> None:
        if self._stopping or self._pending.urgent:
            self._wake.set()
        elif self._timer is None:
            self._timer = self._loop.call_later(GATHER_S, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._wake.set()

    async def _run(self) -> None:
        try:
            while not self._stopping or self._pending:
                await self._wake.wait()
                self._wake.clear()
                if not await self._round_trip() and not await self._wait_for_redis():
                    return
                if self._pending:
                    self._nudge()
        finally:
            self._give_up_all()

    async def _round_trip(self) -> bool:
        """Do what is due; False if Redis can't be asked."""
        batch = self._under_way = self._pending.take()
        if not batch and not self._away:
            return True
        try:
            commands = [asked.command(self._scripts) for asked in batch] or [_PING]
            replies = await self._calls.ask(commands)
        except StoreAway as error:
            self._go_away(str(error))
            return False
        except Exception:
            log.exception("the journal met a bug; what it was about to do is given up")
            self._under_way = []
            self._give_up(batch)
            return True
        self._under_way = []
        self._come_back()
        if self.crowded and self._pending.relieved:
            self._relieve()
        for asked, reply in zip(batch, replies, strict=False):
            _guarded(self._settle, asked, reply)
        return True

    async def _wait_for_redis(self) -> bool:
        """Return when Redis is to be asked again; False when the hub stops, which has it asked but once more."""
        if self._stopping:
            return False
        while True:
            await asyncio.sleep(LOOK_S)
            if self._available() or self._stopping:
                self._wake.set()
                return True

    def _go_away(self, why: str) -> None:
        self._relieve()
        batch, self._under_way = self._under_way, []
        self._give_up(self._pending.put_back([asked for asked in batch if not isinstance(asked, Read)]))
        if not self._away:
            self._away = True
            self.outages += 1
            log.warning("journal: Redis is away, what desktops say waits: %s", why)
        for asked in chain(batch, self._pending.take_reads()):
            if isinstance(asked, Read):
                _guarded(asked.answer, None)

    def _relieve(self) -> None:
        self.crowded = False
        acts, self._when_relieved = self._when_relieved, []
        for act in acts:
            self._loop.call_soon(_guarded, act)

    def _come_back(self) -> None:
        if self._away:
            self._away = False
            log.info("journal: Redis is back, %d writes were done so far", self.written)

    def _settle(self, asked: Asked, reply: Reply) -> None:
        if isinstance(asked, Read):
            self.reads += 1
            asked.answer(read_page(reply))
        elif isinstance(reply, ResponseError):
            self._give_up([asked])
        elif (newer := read_epoch(reply)) is None:
            self.written += 1
            if isinstance(asked, Open) and isinstance(reply, int):
                asked.behind(Epoch(reply))
        else:
            self.stale += 1
            stale = self._when_stale.pop((asked.user_id, asked.desktop_id, asked.epoch), None)
            if stale is not None:
                stale(newer)

    def _give_up_all(self) -> None:
        before = self.dropped
        self._give_up(self._under_way)
        self._under_way = []
        while batch := self._pending.take():
            self._give_up(batch)
        if lost := self.dropped - before:
            log.warning("journal: %d writes were not done before the end", lost)

    def _give_up(self, gone: Iterable[Asked]) -> None:
        for asked in gone:
            if isinstance(asked, Read):
                self._loop.call_soon(_guarded, asked.answer, None)
            else:
                self.dropped += 1
                self._pending.lost(asked)


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (bug := task.exception()):
        log.error("the journal's task met a bug", exc_info=bug)
