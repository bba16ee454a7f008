"""Who lives: each node renews its lease in Redis every tenth of it, and looks at all others'."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from msgspec import DecodeError
from msgspec.json import decode, encode
from redis.exceptions import ResponseError

from actors.ids import NodeId
from hub.cluster import keys
from hub.cluster.scripts import BEAT
from hub.store.calls import Calls, Command, Reply, StoreAway
from hub.store.guard import guard
from hub.store.tasks import finish

log = logging.getLogger("hub.cluster")
_guarded = guard(log, "what the nodes' leases told met a bug")

BEATS_PER_LEASE = 10

CLAIM_S = 30.0
"""So long nobody else cleans up after a lost node; whoever does renews it with every beat."""


class Leases:
    """Beats, and judges who is gone.

    A node is gone if it isn't among the live ones of a look that began after it was known. Looks judge nobody until
    this node's own lease has been in place for one lease without interruption: when Redis was away or lost its data,
    every node needs a moment to write its lease again.

    Attributes:
        live: The others that lived at the last look.
        turn: How often this node's lease was found missing since its start.
        outages: How often Redis went away.
        cleaned: How many lost nodes this node has cleaned up after.
    """

    def __init__(
        self,
        calls: Calls,
        *,
        node_id: NodeId,
        lease_s: float,
        about: Callable[[], Mapping[str, Any]],
        gone: Callable[[NodeId], object],
        anew: Callable[[], object],
        clean: Callable[[NodeId], Awaitable[object]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Beat not yet.

        Args:
            calls: To Redis.
            node_id: This life of the node.
            lease_s: How long a node that doesn't beat is taken for alive.
            about: What this node tells about itself, to be made JSON of; asked at each beat.
            gone: Told once of each known node that isn't live any more.
            anew: Called when everything is to be entered anew: this node was taken for dead, or Redis was away.
            clean: Cleans up after a lost node; it may raise `StoreAway`, then another node does it later.
            monotonic: Seconds that never go back.
        """
        self.live: frozenset[NodeId] = frozenset()
        self.turn = 0
        self.outages = 0
        self.cleaned = 0
        self._calls = calls
        self._node_id = node_id
        self._lease_s = lease_s
        self._beat_s = lease_s / BEATS_PER_LEASE
        self._about = about
        self._gone = gone
        self._anew = anew
        self._clean = clean
        self._monotonic = monotonic
        self._steady_since: float | None = None
        self._had_lease = False
        self._away = False
        self._known: dict[NodeId, float] = {}
        self._told: dict[NodeId, dict[str, Any]] = {}
        self._beating = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._cleaning: tuple[NodeId, asyncio.Task[None]] | None = None

    def know(self, node_id: NodeId) -> None:
        """This node was heard of: if it doesn't live, `gone` is told."""
        self._known[node_id] = self._monotonic()

    def nodes(self) -> list[dict[str, Any]]:
        """Return this node and those that lived at the last look, each with what it tells about itself."""
        told = {**self._told, self._node_id: dict(self._about())}
        return [{"node_id": node_id, **told[node_id]} for node_id in sorted(told)]

    async def start(self) -> None:
        """Beat once, if Redis is there, and go on beating."""
        with contextlib.suppress(StoreAway):
            await self.look()
        self._task = asyncio.create_task(self._run(), name="cluster-leases")

    async def stop(self, stays_s: float = 0.0) -> None:
        """Give the lease back, if Redis is there: at once, or so that it runs out in `stays_s`."""
        await finish(self._task, self._cleaning and self._cleaning[1])
        with contextlib.suppress(StoreAway):
            if stays_s > 0:
                await self._ask(self._beat(lease_s=stays_s, cleaning=self._node_id))  # It claims nothing by that.
            else:
                await self._ask(("ZREM", keys.LEASES, self._node_id), ("HDEL", keys.ABOUT, self._node_id))

    async def look(self) -> None:
        """Beat, and see who lives now.

        Raises:
            StoreAway: If Redis can't be asked.
        """
        async with self._beating:
            began = self._monotonic()
            try:
                (reply,) = await self._ask(self._beat())
                if isinstance(reply, ResponseError):
                    raise StoreAway(f"a key of the nodes is of another type: {reply}")  # noqa: TRY301
            except StoreAway as error:
                self._go_away(str(error))
                raise
            self._learn(began, reply)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._beat_s)
            try:
                await self.look()
            except StoreAway:
                continue  # said already, and tried again
            except Exception:
                log.exception("the nodes' leases met a bug")

    def _beat(self, *, lease_s: float | None = None, cleaning: NodeId | None = None) -> Command:
        busy_with = cleaning or (self._cleaning[0] if self._cleaning else "")
        lasts = self._lease_s if lease_s is None else lease_s
        lease_ms, beat_ms, claim_ms = (int(each * 1000) for each in (lasts, self._beat_s, CLAIM_S))
        about = encode(self._about())
        return (*BEAT.on(*keys.OF_NODES), self._node_id, about, lease_ms, beat_ms, claim_ms, busy_with)

    def _learn(self, began: float, reply: Reply) -> None:
        held, claimed, ids, abouts = reply
        names = [NodeId(each.decode()) for each in ids]
        self._told = dict(_read_abouts(zip(names, abouts, strict=True)))
        self.live = frozenset(names) - {self._node_id}
        was_away, self._away = self._away, False
        was_lost = self._had_lease and not held
        self._had_lease = True
        if self._steady_since is None or not held:
            self._steady_since = began
        if was_away:
            log.info("cluster: Redis is back, %d other nodes live", len(self.live))
        if was_lost:
            self.turn += 1
            log.warning("cluster: this node was taken for dead, or Redis lost its data: everything is entered anew")
        if was_away or was_lost:
            _guarded(self._anew)
        self._judge(began, self._steady_since)
        if claimed:
            lost = NodeId(claimed.decode())
            self._cleaning = (lost, asyncio.create_task(self._clean_up(lost), name=f"cluster-clean-{lost}"))

    def _judge(self, began: float, steady_since: float) -> None:
        self._known.update(dict.fromkeys(self.live, began))
        if began - steady_since < self._lease_s:
            return
        for node_id in [each for each, since in self._known.items() if each not in self.live and since < began]:
            del self._known[node_id]
            log.warning("cluster: the node %s is gone", node_id)
            _guarded(self._gone, node_id)

    def _go_away(self, why: str) -> None:
        self._steady_since = None
        if not self._away:
            self._away = True
            self.outages += 1
            log.warning("cluster: Redis is away, who else lives isn't known: %s", why)

    async def _clean_up(self, lost: NodeId) -> None:
        try:
            await self._clean(lost)
            await self._ask(("ZREM", keys.LOST, lost), ("HDEL", keys.ABOUT, lost))
            self.cleaned += 1
            log.info("cluster: cleaned up after the node %s", lost)
        except StoreAway as error:
            log.warning("cluster: cleaning up after the node %s is left to another: %s", lost, error)
        except Exception:
            log.exception("cluster: cleaning up after the node %s met a bug", lost)
        finally:
            self._cleaning = None

    async def _ask(self, *commands: Command) -> list[Reply]:
        return await self._calls.ask(commands)


def _read_abouts(told: Iterable[tuple[NodeId, bytes | None]]) -> Iterable[tuple[NodeId, dict[str, Any]]]:
    for node_id, about in told:
        try:
            yield node_id, decode(about or b"{}", type=dict[str, Any])
        except (DecodeError, RecursionError):
            yield node_id, {}
