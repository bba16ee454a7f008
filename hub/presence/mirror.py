"""Keeps the presence keys in Redis as the hub's memory is, through Redis' absences."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Iterable

from actors.ids import DesktopId, Epoch, NodeId, UserId
from actors.messages import KnownDesktop, PresenceChange, PresenceRecord
from hub.presence.known_loader import KnownLoader
from hub.presence.pending import PendingChanges, key_of
from hub.presence.rounds import Round
from hub.presence.store import LifeSigns, OwnerChanged, RedisPresenceStore
from hub.store.calls import StoreAway
from hub.store.guard import guard
from hub.store.tasks import doze, finish

log = logging.getLogger("hub.presence")
_guarded = guard(log, "being told of a desktop's former owner failed")

BATCH = 128
"""So many changes go in one round trip: some 3 ms of CPU, for which nobody else's message waits longer."""

BATCH_DELAY_S = 0.02

CLOCK_SAMPLES = 4
"""So often Redis' clock is asked at first: the first answer comes late, behind the connecting."""

PROBE_S = 0.25
PULSE_S = 1.0
ROUNDS_PER_TTL = 4
SLICES = 100


class PresenceMirror:
    """Adapter of `actors.ports.PresenceMirror` to Redis.

    One task writes, so changes arrive in their order. While Redis is away it is asked every 250 ms; once it takes
    writes again, what waited is written and every online desktop anew, in small batches with the loop's other work in
    between. The same happens when Redis has lost what this node wrote or is another process than before (checked every
    second), and when another node took this one for lost.

    Records are renewed four times a TTL, spread over that time. Make it inside the running loop.

    Attributes:
        written_changes: Changes that are in Redis.
        renewed: Records renewed.
        outages: How often Redis went away.
        mirrored_anew: How often everything was written anew.
        earlier_lives_cleared: Records of earlier lives of this node that were ended.
    """

    written_changes: int = 0
    renewed: int = 0
    outages: int = 0
    mirrored_anew: int = 0
    earlier_lives_cleared: int = 0

    def __init__(
        self,
        store: RedisPresenceStore,
        *,
        node_id: NodeId,
        ttl_s: float,
        online_records: Callable[[], Iterable[PresenceRecord]],
        learn_clock: Callable[[int], object] = lambda _: None,
        owner_changed: OwnerChanged = lambda *_: None,
        clears_earlier_lives: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a mirror; it writes between `start` and `stop`.

        Args:
            store: Where to.
            node_id: This life of the node, `NAME/RANDOM`.
            ttl_s: The store's TTL, for the renewals' pace.
            online_records: Called at each round for all desktops that are online here, each with its present
                `last_seen`. It must not take long: it runs between other connections' messages.
            learn_clock: Told what Redis' clock says, in microseconds since the epoch, whenever it was asked.
            owner_changed: Told when a desktop that is online here was another user's before, by what Redis held: its
                id, its connection's epoch here, and that user. Not told if just then Redis' answer was lost.
            clears_earlier_lives: Whether to end what earlier lives of the node's name left behind, once. Only for a
                node whose name nobody else has; where nodes hold leases, `RedisPresenceStore.clear_node` does it.
            monotonic: Seconds that never go back.
        """
        self._store = store
        self._node_id = node_id
        self._round_s = ttl_s / ROUNDS_PER_TTL
        self._online_records = online_records
        self._learn_clock = learn_clock
        self._owner_changed = owner_changed
        self._monotonic = monotonic
        self._pending = PendingChanges()
        self._round = Round(())
        self._round_at = monotonic()
        self._pulse_at = monotonic()
        self._loader = KnownLoader(store)
        self._wake = asyncio.Event()
        self._stopping = False
        self._state = "unasked"
        self._asked = asyncio.Event()
        self._run_id = ""
        self._cleared = not clears_earlier_lives
        self._writer: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def available(self) -> bool:
        """Whether Redis took the last write."""
        return self._state == "here"

    @property
    def lag_s(self) -> float:
        """Age in seconds of the oldest change that isn't in Redis yet; 0 when all are."""
        since = self._pending.waiting_since
        return 0.0 if since is None else self._monotonic() - since

    @property
    def dropped_entries(self) -> int:
        """Changes that were given up in an outage, as a later one of the same desktop waited, too."""
        return self._pending.dropped_entries

    @property
    def dropped_changes(self) -> int:
        """Changes that were given up because an outage lasted too long."""
        return self._pending.dropped_changes

    def record(self, change: PresenceChange) -> None:
        """Take a change; it is in Redis some 20 ms later. Never blocks, never raises."""
        self._round.leave(key_of(change.record))
        self._pending.add(change, self._monotonic())
        self._wake.set()

    def load_known(self, user_id: UserId, answer: Callable[[list[KnownDesktop] | None], None]) -> None:
        """Ask for the user's desktops of the past; `answer` is called once, soon, with None if Redis is away."""
        if self._state == "away" or self._stopping or not self._tasks:
            asyncio.get_running_loop().call_soon(answer, None)
        else:
            self._loader.ask(user_id, answer)

    async def settled(self, deadline_s: float) -> None:
        """Wait until Redis has taken a first write, or until it was found away; at most `deadline_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await self._asked.wait()

    async def start(self) -> None:
        """Start writing. Returns at once, whether Redis is there or not."""
        self._writer = self._own(self._run(), "presence-mirror")
        self._own(self._loader.run(), "presence-known")

    async def stop(self, deadline_s: float) -> None:
        """Write what is pending, if that is done within `deadline_s`, and end."""
        self._stopping = True
        self._wake.set()
        if self._writer is not None:
            await asyncio.wait([self._writer], timeout=deadline_s)
        await finish(*self._tasks)

    def _own(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (bug := task.exception()):
            log.error("a task of the presence mirror met a bug", exc_info=bug)

    async def _run(self) -> None:
        while not self._stopping or self._pending:
            try:
                await (self._turn() if self.available else self._come_back())
            except StoreAway as error:
                self._go_away(str(error))
            except Exception as error:
                if self._state != "away":
                    log.exception("the presence mirror met a bug; it starts anew")
                self._go_away(repr(error))
            if self._state == "away" and not await self._pause():
                return
        with contextlib.suppress(StoreAway):  # then whoever cleans up finds that nothing was owed
            await self._store.settle()

    async def _pause(self) -> bool:
        """Wait until Redis is to be asked again; False when the hub stops, which has it asked but once more."""
        if self._stopping:
            return False
        await asyncio.sleep(PROBE_S)
        return True

    def _go_away(self, why: str) -> None:
        self._pending.restore()
        self._asked.set()
        if self._state != "away":
            self._state = "away"
            self.outages += 1
            log.warning("presence: Redis is away, local routing goes on: %s", why)

    async def _come_back(self) -> None:
        """Write everything, if Redis is there and takes writes; the mark goes first, because it is the smallest."""
        for _ in range(CLOCK_SAMPLES):
            signs = await self._life_signs()
        await self._store.leave_mark(self._node_id)
        await self._mirror_anew(signs.run_id)
        if self._state == "away":
            log.info("presence: Redis is back, %d changes were mirrored so far", self.written_changes)
        self._state = "here"
        self._asked.set()
        if not self._cleared:
            self._cleared = True
            self._own(self._clear_earlier_lives(), "presence-clear")

    async def _mirror_anew(self, run_id: str) -> None:
        self._begin_round()
        await self._flush()
        while self._round:
            await self._write_round(BATCH, anew=True)
        await self._flush()
        self._run_id = run_id
        self.mirrored_anew += 1

    async def _turn(self) -> None:
        """Sleep until there is something to do, and do it."""
        await self._sleep()
        if self._pending:
            if not self._stopping:
                await asyncio.sleep(BATCH_DELAY_S)
            await self._flush()
        now = self._monotonic()
        if now >= self._pulse_at + PULSE_S:
            await self._feel_pulse()
        await self._renew(now)

    async def _sleep(self) -> None:
        if not self._wake.is_set():
            await doze(self._wake, min(PULSE_S, self._round_s / SLICES))
        self._wake.clear()

    async def _feel_pulse(self) -> None:
        signs = await self._life_signs()
        self._pulse_at = self._monotonic()
        if signs.kept and signs.run_id == self._run_id:
            return
        log.warning("presence: Redis hasn't kept what was written or is another process, all is mirrored anew")
        await self._store.leave_mark(self._node_id)
        await self._mirror_anew(signs.run_id)

    async def _life_signs(self) -> LifeSigns:
        signs = await self._store.life_signs(self._node_id)
        if signs.clock_us is not None:
            self._learn_clock(signs.clock_us)
        return signs

    async def _renew(self, now: float) -> None:
        if now >= self._round_at + self._round_s and not self._round:
            self._begin_round()
        share = min(1.0, (now - self._round_at) / self._round_s)
        while due := self._round.due(share):
            await self._write_round(min(due, BATCH), anew=False)

    def _begin_round(self) -> None:
        """Begin a round of all but those that a change waits for: a renewal before it would hide that it is one."""
        self._round = Round(each for each in self._online_records() if key_of(each) not in self._pending)
        self._round_at = self._monotonic()

    async def _write_round(self, most: int, *, anew: bool) -> None:
        records = self._round.take(most)
        await self._store.apply((), records, anew=anew, owner_changed=self._tell_owner_changed)
        self.renewed += len(records)
        await asyncio.sleep(0)

    async def _flush(self) -> None:
        while changes := self._pending.take(BATCH):
            await self._store.apply(changes, owner_changed=self._tell_owner_changed)
            self._pending.settle()
            for change in changes:
                self._round.leave(key_of(change.record))  # written just now
            self.written_changes += len(changes)
            await asyncio.sleep(0)

    def _tell_owner_changed(self, desktop_id: DesktopId, epoch: Epoch, previous: UserId) -> None:
        _guarded(self._owner_changed, desktop_id, epoch, previous)

    async def _clear_earlier_lives(self) -> None:
        name = self._node_id.rpartition("/")[0]
        try:
            self.earlier_lives_cleared += await self._store.clear_earlier_lives(name, self._node_id)
        except StoreAway:
            self._cleared = False  # again when Redis is back
