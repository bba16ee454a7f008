"""Hearing what other nodes say, and noticing what was lost on the way."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from itertools import chain

from actors.ids import NodeId
from actors.nodes import Word
from hub.cluster.complaints import Complaints
from hub.cluster.numbers import Numbers
from hub.cluster.words import decode_batch
from hub.store.calls import StoreAway
from hub.store.guard import guard
from hub.store.subscription import Subscription
from hub.store.tasks import finish

log = logging.getLogger("hub.cluster")
_guarded = guard(log, "a word of another node met a bug")

TURN_S = 0.001
"""After so long everybody else has a turn."""

LOOK_S = 0.25
"""How soon listening is tried again."""


class Listener:
    """One task reads this node's channel and hands out the words, those of one node in its order.

    Attributes:
        heard: Batches that came, pulses included.
        heard_words: Words that came.
        unknown: Words that only a newer release knows.
        missed: How often something of a node was lost.
        outages: How often listening was cut.
    """

    heard: int = 0
    heard_words: int = 0
    unknown: int = 0
    missed: int = 0
    outages: int = 0

    def __init__(
        self,
        subscription: Subscription,
        *,
        know: Callable[[NodeId], object],
        hear: Callable[[NodeId, Word], object],
        missed: Callable[[NodeId | None], object],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a listener; it listens between `start` and `stop`.

        Args:
            subscription: To this node's channel.
            know: Told of each node that says something, before its words.
            hear: Told each word.
            missed: Told that something of a node was lost, before what came behind it; None: of any node.
            monotonic: Seconds that never go back.
        """
        self._subscription = subscription
        self._know = know
        self._hear = hear
        self._missed = missed
        self._monotonic = monotonic
        self._numbers = Numbers()
        self._complaints = Complaints(log, monotonic)
        self._open = False
        self._task: asyncio.Task[None] | None = None

    @property
    def malformed(self) -> int:
        """Batches that can't be read."""
        return self._complaints.count

    def forget(self, node_id: NodeId) -> None:
        """The node is gone."""
        self._numbers.forget(node_id)

    async def start(self) -> None:
        """Listen, if Redis is there, and go on listening."""
        try:
            await self._subscription.open()
        except StoreAway as error:
            self._cut(str(error))
        else:
            self._open = True
        self._task = asyncio.create_task(self._run(), name="cluster-listener")

    async def stop(self) -> None:
        """Listen no more."""
        await finish(self._task)
        await self._subscription.close()

    async def _run(self) -> None:
        while True:
            try:
                if not self._open:
                    await self._reopen()
                await self._listen()
            except StoreAway as error:
                await self._pause(str(error))
            except Exception:
                log.exception("listening to other nodes met a bug")
                await self._pause("see above")

    async def _reopen(self) -> None:
        await self._subscription.open()
        self._open = True
        log.info("cluster: other nodes are heard again")
        self._miss(None)

    async def _pause(self, why: str) -> None:
        """Wait before the next try, but not before the first."""
        await self._subscription.close()
        if self._open:
            self._cut(why)
        else:
            await asyncio.sleep(LOOK_S)

    def _cut(self, why: str) -> None:
        self._open = False
        self.outages += 1
        log.warning("cluster: nothing is heard of other nodes: %s", why)

    async def _listen(self) -> None:
        while True:
            payloads = await self._subscription.read()
            turn_ends = self._monotonic() + TURN_S
            for word in chain.from_iterable(map(self._words, payloads)):
                _guarded(self._hear, *word)
                if self._monotonic() >= turn_ends:
                    await asyncio.sleep(0)
                    turn_ends = self._monotonic() + TURN_S

    def _words(self, payload: bytes) -> Iterator[tuple[NodeId, Word]]:
        """Read a batch and yield its words, unless they came before; tells first if something is missing."""
        batch = decode_batch(payload)
        if batch is None:
            self._complaints.add("what another node said can't be read")
            return
        self.heard += 1
        self.unknown += batch.unknown
        self._know(batch.sender)
        arrival = self._numbers.take(batch.sender, batch.number, pulse=batch.pulse)
        if arrival.gap:
            self._miss(batch.sender)
        if arrival.new:
            for word in batch.words:
                self.heard_words += 1
                yield batch.sender, word

    def _miss(self, node_id: NodeId | None) -> None:
        self.missed += 1
        _guarded(self._missed, node_id)
