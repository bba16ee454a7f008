"""Going through all shares of this node, slice by slice."""

from collections.abc import Iterable

from actors.ids import UserId
from actors.nodes import Share


class Renewals:
    """The shares that are still to be renewed in this round. Makes no I/O.

    A share that changes meanwhile leaves the round: it is written by itself, and the one from before must not follow.
    """

    def __init__(self, shares: Iterable[tuple[UserId, Share]]) -> None:
        self._left = dict(shares)
        self._total = len(self._left)

    def leave(self, user_id: UserId) -> None:
        """Take a user out whose share has changed."""
        self._left.pop(user_id, None)

    def take(self, part: float) -> list[tuple[UserId, Share]]:
        """Take what is due when `part` (0 to 1) of the round's time is over."""
        due = len(self._left) - int(self._total * (1 - part))
        return [self._left.popitem() for _ in range(due)]
