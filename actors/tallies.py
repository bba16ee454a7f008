"""What the actors count. Plain integers, since a metrics library's counters cost more than routing a message does."""

from bisect import bisect_left
from collections import Counter
from typing import Final

LATENCY_BOUNDS_S: Final = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    10.0,
)


class LatencyHistogram:
    """Counts of times by upper bound; the last bucket has none."""

    __slots__ = ("buckets", "total_s")

    def __init__(self) -> None:
        self.buckets = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self.total_s = 0.0

    def observe(self, seconds: float, times: int) -> None:
        """Count `times` messages that took `seconds` each."""
        self.buckets[bisect_left(LATENCY_BOUNDS_S, seconds)] += times
        self.total_s += seconds * times


class Tallies:
    """Everything that one node's actors count.

    Attributes:
        relayed: Frames offered to a receiver's inbox or for another node, by message type.
        from_nodes: Frames of other nodes' desktops, offered to a phone's inbox.
        unheard: Messages of a desktop while no phone of its owner was connected, by type.
        outcomes: Everything else that became of a client's message, by (type or "-", outcome).
        receipts: Receipts told or kept for later, by status.
        replays: Replays that ended, by whether they were complete.
        gaps: Notices to slow readers that something was left out.
        closes: Ended connections, by (kind, reason label).
        handover: From a message's arrival to the hand-over of its batch to the receiver's socket.
    """

    __slots__ = ("closes", "from_nodes", "gaps", "handover", "outcomes", "receipts", "relayed", "replays", "unheard")

    def __init__(self) -> None:
        self.relayed: Counter[str] = Counter()
        self.from_nodes = 0
        self.unheard: Counter[str] = Counter()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.receipts: Counter[str] = Counter()
        self.replays: Counter[bool] = Counter()
        self.gaps = 0
        self.closes: Counter[tuple[str, str]] = Counter()
        self.handover = LatencyHistogram()
