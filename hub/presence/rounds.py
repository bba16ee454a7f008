"""Going through all desktops that are online, slice by slice."""

from collections.abc import Iterable

from actors.messages import PresenceRecord
from hub.presence.pending import Key, key_of


class Round:
    """The desktops whose record is still to be renewed in this round. Makes no I/O.

    A desktop that changes meanwhile leaves the round: its change is written by itself, and a renewal from before
    must not follow it.
    """

    __slots__ = ("_left", "_total")

    def __init__(self, records: Iterable[PresenceRecord]) -> None:
        self._left = {key_of(record): record for record in records}
        self._total = len(self._left)

    def __bool__(self) -> bool:
        return bool(self._left)

    def leave(self, key: Key) -> None:
        """Take a desktop out that has changed."""
        self._left.pop(key, None)

    def due(self, share: float) -> int:
        """Return how many are to be written by now, when `share` (0 to 1) of the round's time is over."""
        return max(0, len(self._left) - int(self._total * (1 - share)))

    def take(self, most: int) -> list[PresenceRecord]:
        """Take at most `most` of them, in the same order in every round that holds the same ones."""
        return [self._left.popitem()[1] for _ in range(min(most, len(self._left)))]
