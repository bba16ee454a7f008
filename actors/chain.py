"""Whether anything is missing: followed from one piece of evidence to the next (ADR 0009). Pure."""

from actors.offsets import BEGINNING, Offset
from actors.order import Followed, remember


class Chain:
    """Follows a desktop's messages from an offset on.

    Attributes:
        at: Up to where they were followed.
        whole: Whether not one number was missing so far.
        followed: Epochs of connections and of those that came behind them by the openings, the last ones.
    """

    __slots__ = ("at", "followed", "whole")

    def __init__(self, at: Offset) -> None:
        self.at = at
        self.whole = True
        self.followed: Followed = ()

    def opening(self, offset: Offset, after: Offset | None) -> None:
        """A connection began; the one before it ended at `after`, which None says is not known."""
        self.whole &= self._nothing_behind(after)
        self.followed = remember(self.followed, (self.at.epoch, offset.epoch))
        self.at = offset

    def message(self, offset: Offset) -> None:
        """The message at `offset`."""
        self.whole &= offset == (self.at.epoch, self.at.seq + 1)
        self.at = offset

    def stretch(self, reached: Offset, *, gapless: bool) -> None:
        """Everything that there is up to `reached`; `gapless`: from `at` on."""
        self.whole &= gapless
        self.at = reached

    def ends(self, head: Offset | None) -> None:
        """There is nothing behind `head`; None: nobody knows whether there is."""
        self.whole &= self._nothing_behind(head)
        self.at = head or self.at

    def _nothing_behind(self, end: Offset | None) -> bool:
        """Whether `end`, the last message of some connection, is no later than where we stand.

        The beginning of a connection that said nothing is a place, too (`desktop:online` tells it). Else we stand at a
        message; and that somebody has seen more than there ever was, is no evidence of anything.
        """
        return end == self.at or (end is not None and self.at.seq == 0 and BEGINNING < end < self.at)
