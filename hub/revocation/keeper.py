"""Keeps a node's revocations as the stream has them, and the stream as nodes were told."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from actors.clock import Clock
from hub.revocation.entries import read_revocation
from hub.revocation.known import MOST, KnownRevocations, Revocation, Target
from hub.revocation.stream import PAGE, Entry, RevocationStream
from hub.store.calls import StoreAway
from hub.store.tasks import finish

log = logging.getLogger("hub.revocation")

READ_EVERY_S = 0.25
"""So late another node learns of a revocation, at most, and the time of one round trip."""

FORGET_EVERY_S = 60.0

START_S = 10.0
"""The longest that a start waits for all revocations to be read: 100,000 take some 2 s of CPU."""

WRITTEN_AT_ONCE = 128


@dataclass(frozen=True, slots=True)
class Revoked:
    """What became of a revocation.

    Attributes:
        revocation_id: Its name, in the log and in the stream.
        closed: Connections closed on this node.
        expires_at: Until when tokens are refused, in milliseconds since the epoch, the clocks' leeway left out.
        written: Whether it is in Redis. If not, it holds on this node, and is written when Redis is back.
    """

    revocation_id: str
    closed: int
    expires_at: int
    written: bool


class RevocationKeeper:
    """Reads the stream from where it stopped, every `READ_EVERY_S`, and writes what isn't there.

    What was revoked here is kept until it is read back from the stream, and all that is known here when the stream
    turns out to be another one than before (data lost, failed over). So it is written again by whoever notices first.
    Applying a revocation twice changes nothing.

    Make it inside the running loop.

    Attributes:
        up_to_date: Whether all that the stream holds is known here, as of the last read.
    """

    def __init__(
        self,
        stream: RevocationStream,
        known: KnownRevocations,
        *,
        longest_s: float,
        leeway_s: float,
        clock: Clock,
        close: Callable[[Collection[Target]], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a keeper; it reads and writes between `start` and `stop`.

        Args:
            stream: Shared by all nodes.
            known: What handshakes ask.
            longest_s: The longest that a revocation holds.
            leeway_s: So much longer than its `exp` a token is accepted, and so much longer a revocation holds.
            clock: For when tokens were revoked, and until when.
            close: Ends the connections that revocations of these targets concern; returns how many.
            monotonic: Seconds that never go back.
        """
        self._stream = stream
        self._known = known
        self._longest_ms = int(longest_s * 1000)
        self._leeway_ms = int(leeway_s * 1000)
        self._clock = clock
        self._close = close
        self._monotonic = monotonic
        self._unwritten: dict[Target, Revocation] = {}
        self._last: Entry | None = None
        self._forgot_at = monotonic()
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._takes_writes = True
        self.up_to_date = False

    @property
    def in_force(self) -> int:
        """How many revocations there are."""
        return len(self._known)

    @property
    def dropped(self) -> int:
        """How many were forgotten too soon, because there were too many."""
        return self._known.dropped

    @property
    def unwritten(self) -> int:
        """How many hold here and weren't found in Redis yet."""
        return len(self._unwritten)

    async def start(self) -> None:
        """Read all revocations, or go on without if Redis is away: then they are read when it is back."""
        self._task = asyncio.create_task(self._run(), name="revocations")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await self._asked.wait()

    async def stop(self) -> None:
        """End; what Redis never took is lost, and was answered so."""
        await finish(self._task)
        if self._unwritten and not self._takes_writes:
            log.warning("%d revocations never reached Redis: they are to be asked for again", len(self._unwritten))

    async def revoke(self, target: Target, expires_at: int | None) -> Revoked:
        """Refuse a token, or all that were issued up to now for somebody, and close what they opened.

        Here at once, on the other nodes within `READ_EVERY_S`.

        Args:
            target: What is revoked.
            expires_at: When the last of the tokens runs out, in milliseconds since the epoch; None if that isn't known.
        """
        now = self._clock.wall_ms()
        latest = now + self._longest_ms
        until = latest if expires_at is None else min(expires_at, latest)
        revocation = Revocation(secrets.token_hex(8), target, at=now, until=until + self._leeway_ms)
        closed = self._apply([revocation])
        written = await self._write([self._keep(revocation)])
        tags = {"revocation_id": revocation.revocation_id, "of": target[0], "closed": closed, "written": written}
        log.info("revoked", extra=tags)
        return Revoked(revocation.revocation_id, closed, until, written)

    async def _write(self, revocations: Sequence[Revocation]) -> bool:
        try:
            await self._stream.append(revocations)
        except StoreAway:
            self._takes_writes = False
        else:
            self._takes_writes = True
        return self._takes_writes

    def _keep(self, revocation: Revocation) -> Revocation:
        """Keep it until it is read back; return what has to be in the stream for its target."""
        older = self._unwritten.get(revocation.target)
        whole = revocation if older is None else older.joined(revocation)
        self._unwritten[whole.target] = whole
        if len(self._unwritten) > MOST:
            del self._unwritten[next(iter(self._unwritten))]
        return whole

    def _apply(self, revocations: Iterable[Revocation]) -> int:
        """Let revocations hold here; return how many connections were closed."""
        changed = [each.target for each in revocations if self._known.add(each)]
        return self._close(changed) if changed else 0

    # -- the task ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            more = False
            try:
                more = await self._turn()
            except StoreAway as error:
                self._go_away(str(error))
            except Exception as error:
                if self._was_here:
                    log.exception("the revocations met a bug; they are read on")
                self._go_away(repr(error))
            self._asked.set()
            self._forget()
            if not more:
                await asyncio.sleep(READ_EVERY_S)

    async def _turn(self) -> bool:
        """Read what is new, then write what wasn't found; tell whether there is more to write."""
        while await self._read_on():
            pass
        if not self.up_to_date:
            log.info("all revocations in Redis are known", extra={"in_force": self.in_force})
        self.up_to_date = True
        page = list(islice(self._unwritten.values(), WRITTEN_AT_ONCE))
        return bool(page) and await self._write(page) and len(self._unwritten) > len(page)

    async def _read_on(self) -> bool:
        """Read a page, the last one known first; tell whether there may be another page."""
        page = await self._stream.read(None if self._last is None else self._last[0])
        if self._last is not None and (not page or page[0] != self._last):
            self._begin_anew()
            return True
        self._take(page)
        return len(page) == PAGE

    def _begin_anew(self) -> None:
        """The stream isn't the one that was read: read all of it, and write what it lacks."""
        self._last = None
        self._unwritten = self._known.by_target() | self._unwritten

    def _take(self, page: list[Entry]) -> None:
        came = [each for _, fields in page if (each := read_revocation(fields)) is not None]
        for each in came:
            waiting = self._unwritten.get(each.target)
            if waiting is not None and each.implies(waiting):
                del self._unwritten[each.target]
        self._apply(came)
        if page:
            self._last = page[-1]

    def _forget(self) -> None:
        if self._monotonic() >= self._forgot_at + FORGET_EVERY_S:
            self._forgot_at = self._monotonic()
            self._known.forget_what_is_over()

    @property
    def _was_here(self) -> bool:
        """Whether Redis' absence is news."""
        return self.up_to_date or not self._asked.is_set()

    def _go_away(self, why: str) -> None:
        if self._was_here:
            log.warning("revocations: Redis is away, those of other nodes are not known meanwhile: %s", why)
        self.up_to_date = False
