"""What waits to be said to other nodes, and the numbers of what was said. Makes no I/O."""

from dataclasses import dataclass, field

from actors.ids import NodeId
from hub.cluster.words import encode_batch

MOST_BYTES = 8_388_608
MOST_WORDS = 65_536
"""What may wait for one node; a word that is larger than that goes alone."""

TRIP_BYTES = 8_388_608
"""About so much goes in one round trip."""

MOST_NUMBERED = 16_384
"""Nodes whose number is remembered. A number must not begin again while its node may live, and nodes that are gone
are known by nothing here: the newest stay."""


@dataclass(slots=True)
class _Waiting:
    words: list[bytes] = field(default_factory=list)
    size: int = 0


@dataclass(slots=True)
class Parcel:
    """A batch for one node. `words`: how many; 0: a pulse."""

    node_id: NodeId
    payload: bytes
    words: int


class Outbox:
    """Words wait here for each node, in order, bounded.

    Every batch has a number, one more than the last to that node. Words that are dropped use up a number, too, so that
    the node notices, at the next batch or at the pulse: that is due whenever something was said or dropped.

    Attributes:
        dropped: Words that were given up, because too much waited or Redis was away.
        pulses: Nodes that are to be told how far this one is.
    """

    def __init__(self, sender: NodeId) -> None:
        """Make one; `sender`: this node."""
        self.dropped = 0
        self.pulses: set[NodeId] = set()
        self._sender = sender
        self._waiting: dict[NodeId, _Waiting] = {}
        self._numbers: dict[NodeId, int] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, node_id: NodeId, word: bytes) -> None:
        """Put a word behind all others for that node."""
        waiting = self._waiting.get(node_id)
        if waiting is None:
            waiting = self._waiting[node_id] = _Waiting()
        elif waiting.size + len(word) > MOST_BYTES or len(waiting.words) >= MOST_WORDS:
            self._drop(node_id, len(waiting.words))
            waiting.words, waiting.size = [], 0
        waiting.words.append(word)
        waiting.size += len(word)

    def refuse(self, node_id: NodeId) -> None:
        """Give up a word at once."""
        self._drop(node_id, 1)

    def drop_all(self) -> None:
        """Give up what waits."""
        waiting, self._waiting = self._waiting, {}
        for node_id, each in waiting.items():
            self._drop(node_id, len(each.words))

    def take(self) -> list[Parcel]:
        """Take what goes in one round trip, the longest waiting nodes first."""
        parcels, size = [], 0
        while self._waiting and size < TRIP_BYTES:
            node_id = next(iter(self._waiting))
            waiting = self._waiting.pop(node_id)
            size += waiting.size
            payload = encode_batch(self._sender, self._next_number(node_id), waiting.words)
            parcels.append(Parcel(node_id, payload, len(waiting.words)))
        return parcels

    def take_pulses(self) -> list[Parcel]:
        """Take the pulses that are due; a node for which words wait gets its pulse behind them."""
        due = self.pulses - self._waiting.keys()
        self.pulses -= due
        return [
            Parcel(each, encode_batch(self._sender, self._numbers[each], ()), 0) for each in due & self._numbers.keys()
        ]

    def _drop(self, node_id: NodeId, words: int) -> None:
        self.dropped += words
        self._next_number(node_id)

    def _next_number(self, node_id: NodeId) -> int:
        number = self._numbers.pop(node_id, 0) + 1
        self._numbers[node_id] = number
        if len(self._numbers) > MOST_NUMBERED:
            del self._numbers[next(iter(self._numbers))]
        self.pulses.add(node_id)
        return number
