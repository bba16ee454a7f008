"""A connection's inbox: what is on its way to the client, bounded by count and by bytes."""

from collections.abc import Callable
from enum import Enum, auto


class Offer(Enum):
    """What became of an offer: three answers, so that full and closed are never mixed up."""

    ACCEPTED = auto()
    FULL = auto()
    CLOSED = auto()


class Inbox:
    """Frames in the order they were offered.

    `wake` is called once for each batch: by the offer that finds the inbox empty.
    """

    __slots__ = ("_bytes", "_closed", "_frames", "_max_bytes", "_max_frames", "_wake", "waiting_since")

    def __init__(self, max_frames: int, max_bytes: int, wake: Callable[[], object]) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._wake = wake
        self._frames: list[bytes] = []
        self._bytes = 0
        self._closed = False
        self.waiting_since = 0.0
        """When the oldest frame arrived at the hub: monotonic seconds."""

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait to be taken."""
        return self._bytes

    def offer(self, frame: bytes, now: float) -> Offer:
        """Put a frame at the end. `now`: when it, or what caused it, arrived at the hub (monotonic seconds)."""
        if self._closed:
            return Offer.CLOSED
        frames = self._frames
        size = self._bytes + len(frame)
        if size > self._max_bytes or len(frames) >= self._max_frames:
            return Offer.FULL
        if not frames:
            self.waiting_since = now
            self._wake()
        self._bytes = size
        frames.append(frame)
        return Offer.ACCEPTED

    def take_all(self) -> list[bytes]:
        """Take everything, in order."""
        frames = self._frames
        self._frames = []
        self._bytes = 0
        return frames

    def close(self) -> list[bytes]:
        """Accept nothing any more, and return what was still waiting."""
        self._closed = True
        return self.take_all()
