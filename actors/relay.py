"""The way of one desktop's frames to one other node, which has phones that listen to it (ADR 0011)."""

from collections.abc import Callable, Iterator

from actors.ids import DesktopId, Epoch, UserId
from actors.inbox import Offer
from actors.nodes import Ended, Listen, Pieces, Word
from actors.offsets import Offset
from actors.ring import Ring
from actors.turns import Turns

WORD_BYTES = 262_144
"""So many bytes of frames share a word, or one frame more."""


class Relay:
    """Gathers what the desktop says in one turn, and sends it as one word.

    Args:
        user_id: Whose desktop it is.
        desktop_id: Which.
        ring: Returns where the desktop's frames are; each is there before it is offered.
        turns: When to send.
        send: Takes the words.
    """

    __slots__ = ("_at", "_desktop_id", "_epoch", "_first", "_frames", "_ring", "_send", "_size", "_turns", "_user_id")

    def __init__(
        self,
        user_id: UserId,
        desktop_id: DesktopId,
        *,
        ring: Callable[[], Ring | None],
        turns: Turns,
        send: Callable[[Word], object],
    ) -> None:
        self._user_id = user_id
        self._desktop_id = desktop_id
        self._ring = ring
        self._turns = turns
        self._send = send
        self._frames: list[bytes] = []
        self._size = 0
        self._epoch = Epoch(0)
        self._first = 0
        self._at: Offset | None = None

    def offer(self, frame: bytes, now: float) -> Offer:
        """Take the frame that the desktop said just now."""
        ring = self._ring()
        if ring is None:
            return Offer.CLOSED
        if self._frames and (ring.epoch != self._epoch or self._size >= WORD_BYTES):
            self.flush()
        if not self._frames:
            self._epoch, self._first = ring.epoch, ring.seq
            self._turns.wake(self.flush)
        self._frames.append(frame)
        self._size += len(frame)
        return Offer.ACCEPTED

    def flush(self) -> None:
        """Send what was gathered."""
        if not self._frames:
            return
        frames, self._frames, self._size = tuple(self._frames), [], 0
        before, self._at = self._at, Offset(self._epoch, self._first + len(frames) - 1)
        if self._first > 1:
            before = Offset(self._epoch, self._first - 1)
        self._send(Pieces(self._user_id, self._desktop_id, self._epoch, self._first, frames, before))

    def answer(self, listen: Listen, silent: Epoch) -> None:
        """Send what the desktop said behind where the other node stands; `silent`: its epoch if it said nothing yet."""
        self.flush()
        ring = self._ring()
        if ring is None:
            self._at = Offset(silent, 0)
            self._send(Pieces(self._user_id, self._desktop_id, silent, 1, (), None, listen.ask))
            return
        head = self._at = ring.head
        after = head if listen.after is None else listen.after
        if after < head and not ring.covers(after):
            ring.cut_behind(after)
        start = after if ring.covers(after) else ring.start
        for epoch, first, frames in ring.stretches(start):
            for number, some in _shared_out(frames):
                self._piece(listen, start, epoch, first + number, some, last=False)
                start = Offset(epoch, first + number + len(some) - 1)
        self._piece(listen, start, head.epoch, head.seq + 1, (), last=True)

    def end(self, offset: Offset) -> None:
        """Tell that the desktop's connection has said its last."""
        self.flush()
        self._send(Ended(self._user_id, self._desktop_id, offset))

    def _piece(
        self, listen: Listen, before: Offset, epoch: int, first: int, frames: tuple[bytes, ...], *, last: bool
    ) -> None:
        self._send(
            Pieces(self._user_id, self._desktop_id, Epoch(epoch), first, frames, before, ask=listen.ask, last=last)
        )


def _shared_out(frames: list[bytes]) -> Iterator[tuple[int, tuple[bytes, ...]]]:
    """Share frames out to words, each with the number of frames before it."""
    begin = size = 0
    for index, frame in enumerate(frames):
        size += len(frame)
        if size >= WORD_BYTES:
            yield begin, tuple(frames[begin : index + 1])
            begin, size = index + 1, 0
    if begin < len(frames):
        yield begin, tuple(frames[begin:])
