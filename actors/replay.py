"""Gives a phone that comes back what it missed of one desktop, and then lets it listen (ADR 0009)."""

from collections.abc import Callable, Sequence
from functools import partial

from actors.chain import Chain
from actors.ids import DesktopId, UserId
from actors.journal import JournalPage, Opening
from actors.messages import Resumed
from actors.offsets import BEGINNING, Offset
from actors.order import Followed
from actors.ports import Journal
from actors.ring import Ring

PIECE_FRAMES = 128
PIECE_BYTES = 65_536
"""At most so much goes out at once: other connections have their turns in between."""


class Replay:
    """One desktop's replay for one phone, which doesn't hear that desktop meanwhile.

    First the journal, as far as the ring doesn't reach back; then the ring. When its end is reached the phone becomes
    a listener in the same turn, so that nothing overtakes and nothing falls between.

    Args:
        journal: Where durable messages are.
        user_id: The phone's user.
        desktop_id: The desktop.
        after: Up to where the phone has seen it.
        newest: So many messages from the journal at most.
        piece: How many frames and bytes the phone's inbox has room for beside what else comes.
        ring: Returns what the desktop's ring is now; None: it has said nothing since this node knows it.
        silent: Tells of a desktop without a ring whether it is known to have said nothing behind a place.
        guard: Calls what it is given; a bug in that ends the phone's connection.
        send: Takes frames, in order, and calls back once they are written.
        done: Called once, at the end: the phone is to listen from now on, behind `resumed`; with what it was told by
            the journal to be one connection behind the other; None if something is missing.
    """

    __slots__ = (
        "_asked_at",
        "_chain",
        "_desktop_id",
        "_done",
        "_guard",
        "_journal",
        "_newest",
        "_piece_bytes",
        "_piece_frames",
        "_read_up_to",
        "_ring",
        "_send",
        "_silent",
        "_user_id",
    )

    def __init__(
        self,
        journal: Journal,
        user_id: UserId,
        desktop_id: DesktopId,
        after: Offset,
        newest: int,
        *,
        piece: tuple[int, int],
        ring: Callable[[], Ring | None],
        silent: Callable[[Offset], bool],
        guard: Callable[[Callable[[], object]], object],
        send: Callable[[Sequence[bytes], Callable[[], None]], None],
        done: Callable[[Sequence[bytes], Resumed, Followed | None], None],
    ) -> None:
        self._journal = journal
        self._user_id = user_id
        self._desktop_id = desktop_id
        self._newest: int | None = newest
        self._piece_frames = min(PIECE_FRAMES, piece[0])
        self._piece_bytes = min(PIECE_BYTES, piece[1])
        self._ring = ring
        self._silent = silent
        self._guard = guard
        self._send = send
        self._done = done
        self._chain = Chain(after)
        self._asked_at = BEGINNING
        self._read_up_to: Offset | None = None

    def go_on(self) -> None:
        """Send the next piece; it goes on by itself from there."""
        ring = self._ring()
        if ring is not None and (ring.covers(self._chain.at) or self._journal_is_read(ring.start)):
            self._from_ring(ring)
        elif ring is None and (self._read_up_to == BEGINNING or self._silent(self._chain.at)):
            self._end(())
        else:
            self._asked_at = BEGINNING if ring is None else ring.head
            newest, self._newest = self._newest, None
            self._journal.read(self._user_id, self._desktop_id, self._chain.at, self._answered, newest=newest)

    def _answered(self, page: JournalPage | None) -> None:
        self._guard(partial(self._take, page))

    def _journal_is_read(self, start: Offset) -> bool:
        """Whether there is nothing more to be had from the journal up to `start`."""
        return self._read_up_to is not None and start <= self._read_up_to

    def _from_ring(self, ring: Ring) -> None:
        gapless = ring.covers(self._chain.at)
        frames, reached = ring.read(self._chain.at, self._piece_frames, self._piece_bytes)
        self._chain.stretch(reached, gapless=gapless)
        if reached == ring.head or not frames:
            self._end(frames)
        else:
            self._send(frames, self.go_on)

    def _take(self, page: JournalPage | None) -> None:
        if page is None:
            self._chain.ends(None)
            self._read_up_to = self._asked_at
            self.go_on()
            return
        frames = self._follow(page)
        if frames:
            self._pass_on(frames)
        else:
            self.go_on()

    def _pass_on(self, frames: Sequence[bytes]) -> None:
        """Send what came from the journal, and go on."""
        if not frames:
            self._look_again()
            return
        count, size = 1, len(frames[0])
        while count < min(len(frames), self._piece_frames) and size + len(frames[count]) <= self._piece_bytes:
            size += len(frames[count])
            count += 1
        self._send(frames[:count], partial(self._pass_on, frames[count:]))

    def _look_again(self) -> None:
        """The phone took its time: a desktop without a ring may have come, spoken and gone meanwhile."""
        if self._read_up_to == BEGINNING:
            self._read_up_to = None
        self.go_on()

    def _follow(self, page: JournalPage) -> list[bytes]:
        """Take from the page what lies before the ring."""
        frames = []
        for entry in page.entries:
            ring = self._ring()
            if ring is not None and (ring.covers(self._chain.at) or entry.offset > ring.start):
                # Not with this entry: the ring may lose it before the phone is there.
                self._read_up_to = Offset(entry.offset.epoch, entry.offset.seq - 1)
                break
            if isinstance(entry, Opening):
                self._chain.opening(entry.offset, entry.after)
            else:
                self._chain.message(entry.offset)
                frames.append(entry.frame)
        else:
            ring = self._ring()
            if not page.more and (ring is not None or self._asked_at == BEGINNING):
                self._read_up_to = self._asked_at
                if ring is None:
                    self._chain.ends(page.head)
            # Else the ring went away meanwhile, and where that ended the journal is told only now: it is asked again.
        return frames

    def _end(self, frames: Sequence[bytes]) -> None:
        chain = self._chain
        resumed = Resumed(self._desktop_id, chain.whole, chain.at)
        self._done(frames, resumed, chain.followed if chain.whole else None)
