"""What a node knows of the order of one desktop's connections: what came behind what, and what else there was."""

from typing import TypeAlias, TypeVar

from actors.ids import Epoch

Followed: TypeAlias = tuple[tuple[int, int], ...]
"""Epochs of connections, each with that of the one that came behind it."""

REMEMBERED = 8
"""So many of each: what proves that one was missed comes from other nodes or the journal, soon after or before."""

T = TypeVar("T")


def remember(known: tuple[T, ...], one: T) -> tuple[T, ...]:
    """Return what is known with one more, of which the oldest is forgotten past `REMEMBERED`."""
    return (*known[1 - REMEMBERED :], one)


class Order:
    """Of one desktop. A proof may come before what it belies, or behind it."""

    __slots__ = ("_followed", "_known")

    def __init__(self) -> None:
        self._followed: Followed = ()
        self._known: tuple[int, ...] = ()

    def followed(self, before: int, behind: int) -> bool:
        """Phones heard one connection and then this one. Return whether there was another in between."""
        if any(before < epoch < behind for epoch in self._known):
            return True
        self.seems_to_follow(before, behind)
        return False

    def seems_to_follow(self, before: int, behind: int) -> None:
        """A phone goes on with this connection, and what is known by now speaks for that."""
        if before < behind and (before, behind) not in self._followed:
            self._followed = remember(self._followed, (before, behind))

    def there_was(self, epoch: int) -> Epoch | None:
        """There was a connection of this epoch. Return the newest that phones heard without it, if they did."""
        self._known = remember(self._known, epoch)
        belied = [pair for pair in self._followed if pair[0] < epoch < pair[1]]
        self._followed = tuple(pair for pair in self._followed if pair not in belied)
        return max((Epoch(behind) for _, behind in belied), default=None)
