"""The other nodes, as the actors know them: one object for who holds whom, what is said, and who lives."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from actors.ids import NodeId, UserId
from actors.nodes import Share, Word
from hub.cluster import keys, scripts
from hub.cluster.asked import Answer
from hub.cluster.leases import Leases
from hub.cluster.listener import Listener
from hub.cluster.roster import BATCH, SHARE_TTL_S, Roster
from hub.cluster.speaker import Speaker
from hub.store.calls import Calls
from hub.store.client import Client
from hub.store.guard import guard
from hub.store.subscription import Subscription

log = logging.getLogger("hub.cluster")
_guarded = guard(log, "entering everything anew met a bug")

LEASE_S = 10.0
TIMEOUT_S = 0.45

ASKING_CONNECTIONS = 2
"""The roster and the leases; speaking takes one more, and listening one of its own beside the pool."""


class Neighbourhood:
    """Adapter of `actors.ports.Cluster` to Redis. Make it inside the running loop.

    What the callbacks get is told between other callbacks of the loop, never within a call of this object's methods.
    `renewed` and the answers of `enter` hold shares of nodes that live only.
    """

    def __init__(
        self,
        client: Client,
        *,
        node_id: NodeId,
        hear: Callable[[NodeId, Word], object],
        missed: Callable[[NodeId | None], object],
        gone: Callable[[NodeId], object],
        anew: Callable[[], object],
        renew: Callable[[], Iterable[tuple[UserId, Share]]],
        renewed: Callable[[UserId, Mapping[NodeId, Share]], object],
        about: Callable[[], Mapping[str, Any]],
        clean: Callable[[NodeId], Awaitable[object]],
        available: Callable[[], bool],
        lease_s: float = LEASE_S,
        timeout_s: float = TIMEOUT_S,
        share_ttl_s: float = SHARE_TTL_S,
    ) -> None:
        """Make it; nothing is asked before `start`.

        Args:
            client: From `hub.store.client.connect`; closed by who made it.
            node_id: This life of the node: an id that no node had before.
            hear: Told each word, those of one node in the order in which it sent them.
            missed: Told that words of a node were lost, before those that came behind them; None: of any node.
            gone: Told once of each node that was known and doesn't live any more.
            anew: Called when everything is to be entered anew.
            renew: Asked for all shares of this node, four times a `share_ttl_s`. It must not take long.
            renewed: Told what the others hold of a user whose share was renewed.
            about: What this node tells about itself, to be made JSON of; asked with each beat, ten times a lease.
            clean: Cleans up after a lost node, in one node of all; it may raise `StoreAway`, and may be repeated.
            available: Whether Redis is worth asking again after an outage.
            lease_s: How long a node that can't be reached is taken for alive.
            timeout_s: How long a round trip may take.
            share_ttl_s: How long a user's shares stay when nobody renews them.
        """
        asking = Calls(client, timeout_s, scripts.ALL, ASKING_CONNECTIONS, chunk=BATCH)
        self._loop = asyncio.get_running_loop()
        self._gone = gone
        self._missed = missed
        self._anew = anew
        self._anew_due = False
        self.leases = Leases(
            asking,
            node_id=node_id,
            lease_s=lease_s,
            about=about,
            gone=self._part,
            anew=self._enter_anew,
            clean=clean,
        )
        self.roster = Roster(
            asking,
            self.leases,
            node_id=node_id,
            available=available,
            renew=renew,
            renewed=renewed,
            anew=self._enter_anew,
            ttl_s=share_ttl_s,
        )
        self.speaker = Speaker(Calls(client, timeout_s, ()), node_id=node_id, available=available)
        self.listener = Listener(
            Subscription(client, keys.channel(node_id), timeout_s),
            know=self.leases.know,
            hear=hear,
            missed=self._miss,
        )

    def enter(self, user_id: UserId, share: Share | None, answer: Answer) -> None:
        """Write this node's share of a user and read the others' (see `actors.ports.Cluster.enter`)."""
        self.roster.enter(user_id, share, answer)

    def send(self, node_id: NodeId, word: Word) -> None:
        """Tell another node something, soon (see `actors.ports.Cluster.send`)."""
        self.speaker.send(node_id, word)

    def nodes(self) -> list[dict[str, Any]]:
        """Return this node and those that lived at the last look: `node_id` and what each tells about itself."""
        return self.leases.nodes()

    @property
    def nodes_known(self) -> int:
        """How many other nodes lived at the last look."""
        return len(self.leases.live)

    def counts(self) -> dict[str, int]:
        """Return what happened since the start, for metrics; what each means is said where it is counted."""
        return {
            "entered": self.roster.entered,
            "struck": self.roster.struck,
            "published": self.speaker.published,
            "published_words": self.speaker.published_words,
            "published_bytes": self.speaker.published_bytes,
            "unheard": self.speaker.unheard,
            "dropped_words": self.speaker.dropped,
            "heard": self.listener.heard,
            "heard_words": self.listener.heard_words,
            "unknown_words": self.listener.unknown,
            "missed": self.listener.missed,
            "malformed": self.listener.malformed + self.roster.malformed,
            "cuts": self.listener.outages,
            "outages": self.leases.outages,
            "taken_for_dead": self.leases.turn,
            "cleaned": self.leases.cleaned,
        }

    async def start(self) -> None:
        """Listen, and be known as alive, if Redis is there: bounded by `timeout_s` each."""
        await self.listener.start()
        await self.leases.start()
        await self.roster.start()
        await self.speaker.start()

    async def stop(self, deadline_s: float, stays_s: float = 0.0) -> None:
        """Write and say what waits, if that is done within `deadline_s`; then leave the others.

        What this node holds still counts for `stays_s`: desktops that have that long to come back elsewhere.
        """
        ends_at = self._loop.time() + deadline_s
        await self.roster.stop(deadline_s)
        await self.speaker.stop(max(0.0, ends_at - self._loop.time()))
        await self.listener.stop()
        await self.leases.stop(stays_s)

    def _part(self, node_id: NodeId) -> None:
        self.listener.forget(node_id)
        self._gone(node_id)

    def _miss(self, node_id: NodeId | None) -> None:
        """After a cut of the subscription Redis may be another process than before, which has lost its newest data."""
        self._missed(node_id)
        if node_id is None:
            self._enter_anew()

    def _enter_anew(self) -> None:
        """Have everything entered anew, once for all who find that at the same time; not before Redis is back."""
        if not self._anew_due and not self.roster.away:
            self._anew_due = True
            self._loop.call_soon(self._call_anew)

    def _call_anew(self) -> None:
        self._anew_due = False
        _guarded(self._anew)
