"""A phone's inbox: past its first mark it leaves out what a slow reader can do without, and says so (ADR 0010)."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from actors.ids import DesktopId
from actors.inbox import Inbox
from actors.messages import Label
from actors.offsets import Offset

_STREAM = "agent:stream"
_STATUS = "agent:status"
_NOTICE = "a gap notice of this inbox"


class _Piece(NamedTuple):
    """What a waiting frame is. Of a gap notice: whom it is about, and the offset that it tells."""

    kind: str
    desktop_id: DesktopId
    offset: Offset


class SheddingInbox(Inbox):
    """An inbox with two marks: the bounds given, and half of them, past which it sheds down to a quarter.

    It leaves out `agent:stream`, the oldest first, then each `agent:status` that a newer one of its desktop in the
    inbox replaces. Where the first loss of a desktop was stands a gap notice; no second one follows before shedding
    ends. It ends with the `take_all` that finds less than an eighth of both bounds; behind what that takes come the
    notices once more, one for each desktop that lost something.

    Shedding costs a walk over the inbox, so it is done again only when an eighth of a bound has been added since, and
    no frame's label is read twice. A frame of up to half of `max_bytes` always fits an empty inbox.

    The time of an oldest frame that is left out stays in `waiting_since`: how long the reader has let them wait.

    Args:
        max_frames: How many may wait.
        max_bytes: How many bytes may wait.
        wake: Called by the offer that finds the inbox empty.
        overflow: Called by an offer that doesn't fit, before it returns.
        label: Reads back what a frame is. One that isn't a message of a desktop with its offset is never left out.
        gap: Makes the frame of a gap notice: behind this offset of the desktop something is missing.
    """

    __slots__ = (
        "_gap",
        "_label",
        "_last_bytes",
        "_last_frames",
        "_pieces",
        "_told",
        "_untold",
        "shed",
        "shedding",
    )

    def __init__(
        self,
        max_frames: int,
        max_bytes: int,
        wake: Callable[[], object],
        overflow: Callable[[], object],
        *,
        label: Callable[[bytes], Label],
        gap: Callable[[DesktopId, Offset], bytes],
    ) -> None:
        # Inbox compares an offer with the mark that comes next, so that below the first one nothing costs more.
        super().__init__(max_frames // 2, max_bytes // 2, wake, overflow)
        self._last_frames = max_frames
        self._last_bytes = max_bytes
        self._label = label
        self._gap = gap
        self._pieces: list[_Piece | None] = []  # Of the oldest frames, as far as they were looked at.
        self._told: dict[DesktopId, Offset] = {}  # Gaps whose notice was taken.
        self._untold: dict[DesktopId, Offset] = {}  # Gaps whose notice waits.
        self.shed = 0
        """Frames left out so far."""
        self.shedding = False
        """Whether the first mark was passed and the reader has not caught up since."""

    def take_all(self) -> list[bytes]:
        """Take everything, in order; at the end of shedding, with the notices that say so."""
        if self.shedding:
            return self._take_while_shedding()
        # As Inbox.take_all, without the call: every batch for a phone comes this way.
        frames = self._frames
        self._frames = []
        self.pending_bytes = 0
        return frames

    def close(self) -> list[bytes]:
        """Accept nothing any more, and return what was still waiting."""
        waiting = super().close()
        self.shedding = False
        return waiting

    def _take_while_shedding(self) -> list[bytes]:
        caught_up = 8 * len(self._frames) < self._last_frames and 8 * self.pending_bytes < self._last_bytes
        frames = super().take_all()
        self._pieces = []
        self._told |= self._untold
        self._untold = {}
        self._max_frames, self._max_bytes = self._last_frames // 2, self._last_bytes // 2
        if caught_up:
            frames += [self._gap(desktop_id, offset) for desktop_id, offset in self._told.items()]
            self._told = {}
            self.shedding = False
        return frames

    def _make_room(self, size: int) -> bool:
        due_by_bytes = self._max_bytes < self._last_bytes and self.pending_bytes + size > self._max_bytes
        due_by_frames = self._max_frames < self._last_frames and len(self._frames) >= self._max_frames
        if not due_by_bytes and not due_by_frames:
            return False
        self.shedding = True
        self._shed()
        frames, pending = len(self._frames) + 1, self.pending_bytes + size
        self._max_frames = _next_mark(frames, self._last_frames)
        self._max_bytes = _next_mark(pending, self._last_bytes)
        return self._fit_into(1, frames, pending)

    def _shed(self) -> None:
        going = self._choose()
        if not going:
            return
        kept = list(self._without(going))
        frames = [frame for frame, _ in kept] + self._frames[len(self._pieces) :]
        size = sum(map(len, frames))
        if size > self._last_bytes:  # Notices may be longer than what they stand for.
            return
        self._frames = frames
        self.pending_bytes = size
        self._pieces = [piece for _, piece in kept]
        self._untold = {piece.desktop_id: piece.offset for _, piece in kept if piece and piece.kind == _NOTICE}
        self.shed += len(going)

    def _choose(self) -> set[int]:
        """Choose what goes, as places in the inbox, until what stays is at a quarter, new notices included.

        Desktops with a gap are remembered until shedding ends: as many as the first mark has frames. Nothing of
        further ones goes. So the notices of the end fit behind what is taken with them.
        """
        going: set[int] = set()
        gaps = {*self._told, *self._untold}
        frames, size = len(self._frames), self.pending_bytes
        candidates = self._candidates()
        while not self._fit_into(4, frames, size) and (candidate := next(candidates, None)):
            place, piece = candidate
            if piece.desktop_id not in gaps:
                if len(gaps) >= self._last_frames // 2:
                    continue
                gaps.add(piece.desktop_id)
                frames += 1
                size += len(self._gap(piece.desktop_id, piece.offset))
            going.add(place)
            frames -= 1
            size -= len(self._frames[place])
        return going

    def _candidates(self) -> Iterator[tuple[int, _Piece]]:
        """What may go, in the order in which it goes. Looks no further into the inbox than it is asked for."""
        statuses: list[tuple[int, _Piece]] = []
        newest: dict[DesktopId, int] = {}
        for place in range(len(self._frames)):
            piece = self._piece(place)
            if piece is None:
                continue
            if piece.kind == _STREAM:
                yield place, piece
            elif piece.kind == _STATUS:
                statuses.append((place, piece))
                newest[piece.desktop_id] = place
        for place, piece in statuses:
            if place != newest[piece.desktop_id]:
                yield place, piece

    def _piece(self, place: int) -> _Piece | None:
        """What waits at `place`: looked at before, or the first that wasn't. None: it stays whatever happens."""
        if place == len(self._pieces):
            label = self._label(self._frames[place])
            if label.desktop_id is None or label.offset is None:
                self._pieces.append(None)
            else:
                self._pieces.append(_Piece(label.type, label.desktop_id, label.offset))
        return self._pieces[place]

    def _without(self, going: set[int]) -> Iterator[tuple[bytes, _Piece | None]]:
        """What was looked at, without what goes. A notice that waits moves, if something before it goes now."""
        told = set(self._told)
        reached: dict[DesktopId, Offset] = {}
        for place, piece in enumerate(self._pieces):
            frame = self._frames[place]
            if piece is None:
                yield frame, None
            elif place not in going and piece.kind != _NOTICE:
                reached[piece.desktop_id] = piece.offset
                yield frame, piece
            elif piece.desktop_id not in told:
                told.add(piece.desktop_id)
                yield (frame, piece) if piece.kind == _NOTICE else self._notice(piece, reached.get(piece.desktop_id))

    def _notice(self, lost: _Piece, reached: Offset | None) -> tuple[bytes, _Piece]:
        """Make the notice that stands where `lost` was; `reached`: up to where its desktop is read before that."""
        before = reached or Offset(lost.offset.epoch, lost.offset.seq - 1)
        return self._gap(lost.desktop_id, before), _Piece(_NOTICE, lost.desktop_id, before)

    def _fit_into(self, part: int, frames: int, size: int) -> bool:
        """Tell whether so many frames and bytes fit into one `part`-th of the bounds."""
        return part * frames <= self._last_frames and part * size <= self._last_bytes


def _next_mark(reached: int, last: int) -> int:
    """Return where to shed again: an eighth further, at the first mark at the earliest."""
    return min(last, max(last // 2, reached + last // 8))
