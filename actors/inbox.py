"""A connection's inbox: what is on its way to the client, bounded by count and by bytes."""

from collections.abc import Callable
from enum import Enum, auto


class Offer(Enum):
    """What became of an offer: three answers, so that full and closed are never mixed up."""

    ACCEPTED = auto()
    FULL = auto()
    CLOSED = auto()


_ACCEPTED = Offer.ACCEPTED
_NOTHING_FITS = -1


class Inbox:
    """Frames in the order they were offered.

    Args:
        max_frames: How many may wait.
        max_bytes: How many bytes may wait.
        wake: Called once for each batch: by the offer that finds the inbox empty.
        overflow: Called by an offer that doesn't fit, before it returns.
    """

    __slots__ = ("_frames", "_max_bytes", "_max_frames", "_overflow", "_wake", "pending_bytes", "waiting_since")

    def __init__(
        self, max_frames: int, max_bytes: int, wake: Callable[[], object], overflow: Callable[[], object]
    ) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._wake = wake
        self._overflow = overflow
        self._frames: list[bytes] = []
        self.pending_bytes = 0
        """Bytes that wait to be taken."""
        self.waiting_since = 0.0
        """When the oldest frame arrived at the hub: monotonic seconds."""

    def __len__(self) -> int:
        return len(self._frames)

    def offer(self, frame: bytes, now: float) -> Offer:
        """Put a frame at the end. `now`: when it, or what caused it, arrived at the hub (monotonic seconds)."""
        frames = self._frames
        size = self.pending_bytes + len(frame)
        if size > self._max_bytes or len(frames) >= self._max_frames:
            return self._past_the_mark(frame, now)
        if not frames:
            self.waiting_since = now
            self._wake()
        self.pending_bytes = size
        frames.append(frame)
        return _ACCEPTED

    def has_room(self, frame: bytes) -> bool:
        """Tell whether `frame` fits behind what waits; an empty inbox is not asked to turn one away."""
        return not self._frames or (
            len(self._frames) < self._max_frames and self.pending_bytes + len(frame) <= self._max_bytes
        )

    def take_all(self) -> list[bytes]:
        """Take everything, in order."""
        frames = self._frames
        self._frames = []
        self.pending_bytes = 0
        return frames

    def close(self) -> list[bytes]:
        """Accept nothing any more, and return what was still waiting."""
        waiting = self.take_all()
        self._max_bytes = _NOTHING_FITS
        return waiting

    def _past_the_mark(self, frame: bytes, now: float) -> Offer:
        if self._max_bytes == _NOTHING_FITS:
            return Offer.CLOSED
        if self._make_room(len(frame)):
            return self.offer(frame, now)
        self._overflow()
        return Offer.FULL

    def _make_room(self, size: int) -> bool:
        """Tell whether a frame of `size` bytes fits after all; for an inbox that has a way to make it fit."""
        return False
