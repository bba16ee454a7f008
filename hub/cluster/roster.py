"""Where each user is connected: this node's shares go to Redis, and the others' come back, in one step."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import chain
from typing import TypeAlias

from redis.exceptions import ResponseError

from actors.ids import NodeId, UserId
from actors.nodes import Share
from hub.cluster import keys
from hub.cluster.asked import MOST, Answer, Asked, Queue
from hub.cluster.complaints import Complaints
from hub.cluster.leases import Leases
from hub.cluster.renewals import Renewals
from hub.cluster.scripts import STRIKE
from hub.cluster.words import decode_share
from hub.store.calls import Calls, Reply, StoreAway
from hub.store.guard import guard
from hub.store.tasks import doze, finish

log = logging.getLogger("hub.cluster")
_guarded = guard(log, "what the roster answered met a bug")

BATCH = 128
"""So many users go in one round trip: some 2 ms of CPU, for which nobody else's message waits longer."""

SHARE_TTL_S = 600.0
"""How long a user's shares stay when nobody renews them."""

ROUNDS_PER_TTL = 4
SLICES = 100

LOOK_S = 0.25
LOOK_MOST_S = 4.0
"""How soon Redis is looked for while it is away: at first, and at most, if it went away again and again."""

_Fields: TypeAlias = dict[NodeId, bytes]
"""A user's hash as it is in Redis, but for this node's own share."""


class Roster:
    """One task does what is asked, in order, in batches; what comes while a round trip is under way waits for its end.

    What is asked for one user while he waits is one: the newest share is written, and all get the same answer. After
    an outage everything is to be entered anew, and the same when more is asked than can wait. Make it inside the
    running loop.

    Attributes:
        entered: Shares written, renewals included.
        struck: Shares of dead nodes that were taken away.
        outages: How often Redis went away, or too much waited.
    """

    entered: int = 0
    struck: int = 0
    outages: int = 0

    def __init__(
        self,
        calls: Calls,
        leases: Leases,
        *,
        node_id: NodeId,
        available: Callable[[], bool],
        renew: Callable[[], Iterable[tuple[UserId, Share]]],
        renewed: Callable[[UserId, Mapping[NodeId, Share]], object],
        anew: Callable[[], object],
        ttl_s: float = SHARE_TTL_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a roster; it asks Redis between `start` and `stop`.

        Args:
            calls: To Redis.
            leases: Who lives.
            node_id: This life of the node.
            available: Whether Redis is worth asking again after an outage.
            renew: Called each quarter of the TTL for all shares of this node; they are written spread over that time.
            renewed: Told what the others hold of a user whose share was renewed.
            anew: Called when everything is to be entered anew.
            ttl_s: How long a user's shares stay.
            monotonic: Seconds that never go back.
        """
        self._calls = calls
        self._leases = leases
        self._node_id = node_id
        self._available = available
        self._renew = renew
        self._renewed = renewed
        self._anew = anew
        self._ttl_ms = int(ttl_s * 1000)
        self._round_s = ttl_s / ROUNDS_PER_TTL
        self._monotonic = monotonic
        self._loop = asyncio.get_running_loop()
        self._queue = Queue()
        self._refused: list[Answer] = []
        self._under_way: dict[UserId, Asked] = {}
        self._complaints = Complaints(log, monotonic)
        self._renewals = Renewals(())
        self._round_at = monotonic()
        self._wake = asyncio.Event()
        self._away = False
        self._failed: list[UserId] = []
        self._owes_anew = False
        self._pause_s = LOOK_S
        self._back_at = -LOOK_MOST_S
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    @property
    def malformed(self) -> int:
        """Shares that can't be read: another program's, or of a release that writes them in another way."""
        return self._complaints.count

    @property
    def away(self) -> bool:
        """Whether everything is answered None."""
        return self._away

    def enter(self, user_id: UserId, share: Share | None, answer: Answer) -> None:
        """Write this node's share of a user and read the others' (see `actors.ports.Cluster.enter`)."""
        if share is not None:
            self._renewals.leave(user_id)
        if self._away or self._stopping or self._task is None or self._task.done():
            self._loop.call_soon(_guarded, answer, None)
            return
        if self._queue.full:
            self._refuse_all()
        self._queue.add(user_id, share, answer)
        self._wake.set()

    async def start(self) -> None:
        """Start asking. Returns at once, whether Redis is there or not."""
        self._round_at = self._monotonic()
        self._task = asyncio.create_task(self._run(), name="cluster-roster")

    async def stop(self, deadline_s: float) -> None:
        """Do what waits, if that is done within `deadline_s`, and end."""
        self._stopping = True
        self._wake.set()
        await finish(self._task, deadline_s=deadline_s)

    async def _run(self) -> None:
        try:
            while not self._stopping or self._queue:
                await self._sleep()
                self._renew_due()
                if self._queue and not await self._round_trip():
                    await self._wait_for_redis()
        finally:
            self._answer_none()

    async def _sleep(self) -> None:
        if not self._wake.is_set() and not self._queue:
            await doze(self._wake, self._round_s / SLICES)
        self._wake.clear()

    async def _round_trip(self) -> bool:
        """Do the oldest; False if Redis can't be asked."""
        batch = self._under_way = self._queue.take(BATCH)
        turn = self._leases.turn
        try:
            commands = [a.command(user, self._node_id, turn, self._ttl_ms) for user, a in batch.items()]
            replies = await self._calls.ask(commands)
            hashes = {user_id: self._read(reply) for user_id, reply in zip(batch, replies, strict=True)}
            await self._meet_strangers(hashes)
            self._settle(hashes)
            await self._strike_dead(hashes)
        except StoreAway as error:
            self._go_away(str(error))
            return False
        except Exception:
            log.exception("the roster met a bug")
            self._go_away("see above")
            return False
        return True

    def _read(self, reply: Reply) -> _Fields | None:
        if isinstance(reply, ResponseError):
            self._complaints.add(f"a key is of another type: {reply}")
            return None
        fields = {NodeId(name.decode(errors="replace")): value for name, value in zip(*[iter(reply)] * 2, strict=True)}
        fields.pop(self._node_id, None)
        return fields

    async def _meet_strangers(self, hashes: Mapping[UserId, _Fields | None]) -> None:
        """Look who lives, if any share is of a node that didn't live at the last look."""
        found = set(chain.from_iterable(fields for fields in hashes.values() if fields))
        if not found <= self._leases.live:
            await self._leases.look()

    def _settle(self, hashes: Mapping[UserId, _Fields | None]) -> None:
        batch, self._under_way = self._under_way, {}
        refused, self._refused = self._refused, []
        for user_id, asked in batch.items():
            self.entered += asked.share is not None
            fields = hashes[user_id]
            others = None if fields is None else self._shares(fields)
            for answer in asked.answers:
                _guarded(answer, others)
        for answer in refused:
            _guarded(answer, None)
        if self._owes_anew and not self._queue:
            self._owes_anew = False
            _guarded(self._anew)

    def _shares(self, fields: _Fields) -> dict[NodeId, Share]:
        shares = {}
        for node_id, raw in fields.items():
            if node_id in self._leases.live:
                share = decode_share(raw)
                if share is None:
                    self._complaints.add("a share of a user can't be read")
                elif not share.empty:
                    shares[node_id] = share
        return shares

    async def _strike_dead(self, hashes: Mapping[UserId, _Fields | None]) -> None:
        strikes = [
            (*STRIKE.on(keys.here(user_id)), node_id, raw)
            for user_id, fields in hashes.items()
            for node_id, raw in (fields or {}).items()
            if node_id not in self._leases.live
        ]
        self.struck += sum(reply == 1 for reply in await self._calls.ask(strikes))

    def _renew_due(self) -> None:
        if self._stopping:
            return
        now = self._monotonic()
        if now >= self._round_at + self._round_s:
            self._round_at = now
            _guarded(self._begin_round)
        part = min(1.0, (now - self._round_at) / self._round_s)
        for user_id, share in self._renewals.take(part):
            self.enter(user_id, share, partial(self._tell_renewed, user_id))

    def _begin_round(self) -> None:
        self._renewals = Renewals(self._renew())

    def _tell_renewed(self, user_id: UserId, others: Mapping[NodeId, Share] | None) -> None:
        if others is not None:
            self._renewed(user_id, others)

    def _refuse_all(self) -> None:
        """More is asked than Redis does: as in an outage, but behind what is under way."""
        self.outages += 1
        self._owes_anew = True
        log.warning("cluster: Redis is slower than what is asked of it, everything is entered anew")
        refused = list(_answers(self._queue.take(MOST)))
        if self._under_way:
            self._refused += refused
        else:
            for answer in refused:
                self._loop.call_soon(_guarded, answer, None)

    def _go_away(self, why: str) -> None:
        self.outages += 1
        log.warning("cluster: Redis is away, where others are connected isn't known: %s", why)
        lately = self._monotonic() - self._back_at < LOOK_MOST_S
        self._pause_s = min(2 * self._pause_s, LOOK_MOST_S) if lately else LOOK_S
        self._failed = list(self._under_way)
        self._away = self._owes_anew = True
        self._answer_none()

    def _answer_none(self) -> None:
        batch, self._under_way = self._under_way, {}
        refused, self._refused = self._refused, []
        waiting = self._queue.take(MOST)
        for answer in chain(_answers(batch), refused, _answers(waiting)):
            _guarded(answer, None)

    async def _wait_for_redis(self) -> None:
        """Return when Redis can be asked again and this node's lease is there, or when the hub stops."""
        while not self._stopping:
            self._wake.clear()
            await doze(self._wake, self._pause_s)
            if self._available() and await self._answers_again():
                self._come_back()
                return

    async def _answers_again(self) -> bool:
        """Ask once more what failed, without writing: in a cluster it may be one shard that is away."""
        try:
            await self._leases.look()
            await self._calls.ask([("HGETALL", keys.here(user_id)) for user_id in self._failed])
        except StoreAway:
            return False
        except Exception:
            log.exception("the roster met a bug")
            return False
        return True

    def _come_back(self) -> None:
        log.info("cluster: Redis is back, all users of this node are entered anew")
        self._away = self._owes_anew = False
        self._back_at = self._round_at = self._monotonic()
        self._renewals = Renewals(())
        _guarded(self._anew)


def _answers(batch: Mapping[UserId, Asked]) -> Iterable[Answer]:
    return chain.from_iterable(asked.answers for asked in batch.values())
