"""How far each node has come with what it says to this one. Makes no I/O."""

from typing import NamedTuple

from actors.ids import NodeId

MOST = 16_384
"""Nodes that are remembered; those heard last stay. Of one that is forgotten something may have been lost."""


class Arrival(NamedTuple):
    """What a batch is. `new`: its words didn't come before; `gap`: something before it is missing."""

    new: bool
    gap: bool


class Numbers:
    """The number of each node's last batch; the first has 1."""

    def __init__(self) -> None:
        self._last: dict[NodeId, int] = {}

    def take(self, sender: NodeId, number: int, *, pulse: bool) -> Arrival:
        """Take note of a batch, or of a pulse, which has the number of the last batch."""
        last = self._last.pop(sender, 0)
        self._last[sender] = max(last, number)
        if len(self._last) > MOST:
            del self._last[next(iter(self._last))]
        if pulse:
            return Arrival(new=False, gap=number > last)
        return Arrival(new=number > last, gap=number > last + 1)

    def forget(self, sender: NodeId) -> None:
        """Forget a node."""
        self._last.pop(sender, None)
