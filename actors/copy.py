"""A desktop that is connected to another node: what came of it from there, and whether anything is missing (ADR 0011).

Pure: it takes pieces and says what is to be done with them.
"""

from dataclasses import dataclass
from typing import Final

from actors.ids import Epoch, NodeId
from actors.nodes import Pieces
from actors.offsets import BEGINNING, Offset
from actors.ring import Ring
from actors.routes import MobileRoute


@dataclass(frozen=True, slots=True)
class Taken:
    """What pieces brought.

    Attributes:
        frames: For the phones that listen, in order.
        first: The place of the first of them.
        missed_from: The phones that listen have everything up to here, and then something is missing.
        ask: Whether something is missing that the other node may still have.
        heard: Whether an answer is complete by this.
    """

    frames: tuple[bytes, ...] = ()
    first: Offset = BEGINNING
    missed_from: Offset | None = None
    ask: bool = False
    heard: bool = False


NOTHING: Final = Taken()


class Copy:
    """What this node has of a desktop that is connected to another one.

    Attributes:
        node_id: Which.
        epoch: Of the connection there.
        ring: The frames; None before there was any.
        at: Up to here the phones that listen have everything; None: they are to hear what is said from now on.
        ended: Whether the connection before this one is known to have said nothing behind `at`.
        heard: Whether the node has answered, so that what is said there comes here by itself.
        ahead: Phones that came with more than the others have while the node didn't answer, and up to where.
    """

    __slots__ = (
        "_answering",
        "_max_bytes",
        "_max_frames",
        "_over",
        "ahead",
        "at",
        "ended",
        "epoch",
        "heard",
        "node_id",
        "ring",
    )

    def __init__(
        self,
        node_id: NodeId,
        epoch: Epoch,
        *,
        bounds: tuple[int, int],
        ring: Ring | None = None,
        at: Offset | None = None,
        ended: bool = False,
    ) -> None:
        self.node_id = node_id
        self.epoch = epoch
        self.ring = ring
        self.at = at
        self.ended = ended
        self.heard = False
        self.ahead: dict[MobileRoute, Offset] = {}
        self._over = 0
        self._max_frames, self._max_bytes = bounds
        self._answering = 0

    def covers(self, after: Offset) -> bool:
        """Tell whether everything behind `after` is here, and will be."""
        return self.heard and self.ring is not None and self.ring.covers(after)

    @property
    def finished(self) -> bool:
        """Whether the connection there is known to have said nothing behind `at`."""
        return self.ended and self._over >= self.epoch

    def end(self, offset: Offset) -> None:
        """A connection there has said its last, at `offset`."""
        self._over = max(self._over, offset.epoch)
        silent = self.at is not None and offset.seq == 0 and offset > self.at
        self.ended = offset == self.at or (self.ended and silent)

    def take(self, pieces: Pieces) -> Taken:
        """Take what the other node sent."""
        if pieces.ask:
            return self._answer(pieces)
        if not self.heard:
            return NOTHING  # The answer that is on its way brings these, too.
        return self._live(pieces)

    def _live(self, pieces: Pieces) -> Taken:
        at = self._head()
        if self._follows(at, pieces) or _overlaps(at, pieces):
            return Taken(*self._append(pieces))
        last = Offset(pieces.epoch, pieces.first + len(pieces.frames) - 1)
        return NOTHING if last <= at else Taken(ask=True)

    def _answer(self, pieces: Pieces) -> Taken:
        missed_from = None
        if pieces.ask != self._answering:
            self._answering = pieces.ask
            missed_from = self._begin(pieces)
        frames, first = self._append(pieces)
        if pieces.last:
            self.heard, self._answering = True, 0
            if self.at is None:
                self.at = self._head()
        return Taken(frames, first, missed_from, heard=pieces.last)

    def _begin(self, pieces: Pieces) -> Offset | None:
        """Keep what is here if the answer continues it; begin anew if not. Return where a gap begins."""
        start = pieces.before or Offset(pieces.epoch, pieces.first - 1)
        ring, at = self.ring, self.at
        if ring is not None and start <= ring.head and ring.covers(start):
            return None
        if at is not None and self._follows(at, pieces):
            return None
        self.ring = None
        if pieces.first > 1:
            self._ring_for(pieces.epoch, pieces.first - 1)
        if at is None or at >= start:
            return None
        self.at = start
        return at

    def _follows(self, at: Offset, pieces: Pieces) -> bool:
        """Whether nothing can be missing between `at` and the pieces."""
        if pieces.epoch == at.epoch:
            return pieces.first == at.seq + 1
        new = pieces.epoch > at.epoch and pieces.first == 1
        return new and (pieces.before == at or (self.ended and pieces.before in (None, (pieces.epoch, 0))))

    def _append(self, pieces: Pieces) -> tuple[tuple[bytes, ...], Offset]:
        """Put those that are new into the ring, and return those that are new to the phones, and where they begin."""
        epoch, first, frames = pieces.epoch, pieces.first, pieces.frames
        head = None if self.ring is None else self.ring.head
        known = 0 if head is None or head < (epoch, first) else len(frames)
        if head is not None and head.epoch == epoch:
            known = min(len(frames), max(0, head.seq + 1 - first))
        if known < len(frames):
            ring = self._ring_for(epoch, first + known - 1)
            for frame in frames[known:]:
                ring.append(frame)
        at = self.at
        if at is None or at >= self._head():
            return (), BEGINNING
        heard = max(0, at.seq + 1 - first) if at.epoch == epoch else 0
        self.at = self._head()
        passed = max(known, heard) if at.epoch <= epoch else len(frames)
        return frames[passed:], Offset(epoch, first + passed)

    def _ring_for(self, epoch: Epoch, at: int) -> Ring:
        if self.ring is None:
            self.ring = Ring(self._max_frames, self._max_bytes)
        if self.ring.epoch != epoch:
            self.ring.open(epoch, at)
            self.ended = False
        return self.ring

    def _head(self) -> Offset:
        """Where the desktop stands, as far as this node has heard."""
        if self.ring is not None:
            return self.ring.head
        return self.at or Offset(self.epoch, 0)


def _overlaps(at: Offset, pieces: Pieces) -> bool:
    return pieces.epoch == at.epoch and pieces.first <= at.seq < pieces.first + len(pieces.frames) - 1
