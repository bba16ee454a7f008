"""Saying words to other nodes: one publish a node for all that one turn of the loop has for it."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from actors.ids import NodeId
from actors.nodes import Shared, Word
from hub.cluster import keys
from hub.cluster.outbox import Outbox, Parcel
from hub.cluster.words import encode_word
from hub.store.calls import Calls, StoreAway
from hub.store.tasks import doze, finish

log = logging.getLogger("hub.cluster")

PULSE_S = 1.0
"""So long after something was said, a pulse tells the node how far this one is, in case the last of it was lost."""

MOST_KEPT = 1_024
"""So many words are said again at most, the newest ones."""

LOOK_S = 0.25
"""How often Redis is looked for while it is away."""


class Speaker:
    """One task publishes; what comes while a round trip is under way goes with the next one, right behind it.

    When a publish fails or Redis is away, what waited is dropped: the other nodes notice by the numbers, and ask for
    what they need. What tells of connections that are over can't be asked for: it is said when Redis is back, perhaps
    for the second time. Make it inside the running loop.

    Attributes:
        published: Batches that Redis took, pulses included.
        published_words: Words in them.
        published_bytes: Bytes of them.
        unheard: Batches with words that nobody listened to: the node isn't subscribed at the moment, or is dead.
        outages: How often Redis went away.
    """

    published: int = 0
    published_words: int = 0
    published_bytes: int = 0
    unheard: int = 0
    outages: int = 0

    def __init__(self, calls: Calls, *, node_id: NodeId, available: Callable[[], bool]) -> None:
        """Make a speaker; it publishes between `start` and `stop`.

        Args:
            calls: To Redis.
            node_id: This life of the node.
            available: Whether Redis is worth asking again after an outage.
        """
        self._calls = calls
        self._available = available
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(node_id)
        self._kept: deque[tuple[NodeId, Shared]] = deque(maxlen=MOST_KEPT)
        self._latest: tuple[Word | None, bytes] = (None, b"")
        self._wake = asyncio.Event()
        self._pulse: asyncio.TimerHandle | None = None
        self._pulse_due = False
        self._away = False
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    @property
    def dropped(self) -> int:
        """Words that were given up, because too much waited or Redis was away."""
        return self._outbox.dropped

    def send(self, node_id: NodeId, word: Word) -> None:
        """Say something to another node, with all that this turn of the loop has for it."""
        if isinstance(word, Shared) and word.gone:
            self._kept.append((node_id, word))
        if self._away or self._task is None or self._task.done():
            self._outbox.refuse(node_id)
            return
        try:
            encoded = self._encode(word)
        except Exception:
            log.exception("a word can't be encoded")
            self._outbox.refuse(node_id)
            return
        self._outbox.add(node_id, encoded)
        self._wake.set()

    async def start(self) -> None:
        """Start publishing. Returns at once, whether Redis is there or not."""
        self._task = asyncio.create_task(self._run(), name="cluster-speaker")

    async def stop(self, deadline_s: float) -> None:
        """Publish what waits and the last pulses, if that is done within `deadline_s`, and end."""
        self._stopping = True
        self._wake.set()
        await finish(self._task, deadline_s=deadline_s)
        if self._pulse is not None:
            self._pulse.cancel()

    def _encode(self, word: Word) -> bytes:
        """Encode a word, once if it goes to several nodes."""
        if word is not self._latest[0]:
            self._latest = (word, encode_word(word))
        return self._latest[1]

    async def _run(self) -> None:
        while not self._stopping or self._outbox:
            await self._wake.wait()
            self._wake.clear()
            await self._publish_all()
        if not self._away:
            self._pulse_due = True
            await self._publish_all()

    async def _publish_all(self) -> None:
        """Publish until nothing waits, or wait until Redis is there again."""
        try:
            while self._outbox or self._pulse_due:
                self._latest = (None, b"")
                await self._publish(self._outbox.take())
                if self._pulse_due:
                    self._pulse_due = False
                    await self._publish(self._outbox.take_pulses())
                self._plan_pulses()
            self._kept.clear()
        except StoreAway as error:
            self._go_away(str(error))
        except Exception:
            log.exception("the words to other nodes met a bug")
            self._go_away("see above")
        if self._away:
            await self._wait_for_redis()

    async def _publish(self, parcels: list[Parcel]) -> None:
        try:
            replies = await self._calls.ask([("SPUBLISH", keys.channel(p.node_id), p.payload) for p in parcels])
        except StoreAway:
            self._outbox.pulses.update(parcel.node_id for parcel in parcels)
            raise
        for parcel, reply in zip(parcels, replies, strict=True):
            self.published += 1
            self.published_words += parcel.words
            self.published_bytes += len(parcel.payload)
            self.unheard += reply == 0 and parcel.words > 0

    def _plan_pulses(self) -> None:
        if self._pulse is None and self._outbox.pulses:
            self._pulse = self._loop.call_later(PULSE_S, self._time_for_pulses)

    def _time_for_pulses(self) -> None:
        self._pulse = None
        self._pulse_due = True
        self._wake.set()

    def _go_away(self, why: str) -> None:
        self.outages += 1
        self._away = True
        self._outbox.drop_all()
        log.warning("cluster: Redis is away, nothing is said to other nodes: %s", why)

    async def _wait_for_redis(self) -> None:
        """Return when the pulses for what was dropped are published, or when the hub stops."""
        while not self._stopping:
            self._wake.clear()
            await doze(self._wake, LOOK_S)
            if self._available() and await self._answers_again():
                self._away = False
                self._plan_pulses()
                log.info("cluster: Redis is back, other nodes are spoken to")
                kept, self._kept = self._kept, deque(maxlen=MOST_KEPT)
                for node_id, word in kept:
                    self.send(node_id, word)
                return

    async def _answers_again(self) -> bool:
        try:
            await self._calls.ask([("PING",)])
            await self._publish(self._outbox.take_pulses())
        except StoreAway:
            return False
        except Exception:
            log.exception("the words to other nodes met a bug")
            return False
        return True
