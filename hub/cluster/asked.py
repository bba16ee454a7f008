"""What the roster is asked for, until Redis has answered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from actors.ids import NodeId, UserId
from actors.nodes import Share
from hub.cluster import keys
from hub.cluster.scripts import ENTER
from hub.cluster.words import encode_share
from hub.store.calls import Command

Answer: TypeAlias = Callable[[Mapping[NodeId, Share] | None], object]

MOST = 65_536
"""So many may wait; the sockets of a node are fewer."""


@dataclass(slots=True)
class Asked:
    """What is asked for one user. `share`: the newest; None: it is only read."""

    share: Share | None = None
    answers: list[Answer] = field(default_factory=list)

    def command(self, user_id: UserId, node_id: NodeId, turn: int, ttl_ms: int) -> Command:
        """Return the command that does it; `turn` as `encode_share` takes it."""
        key = keys.here(user_id)
        if self.share is None:
            return ("HGETALL", key)
        return (*ENTER.on(key), node_id, encode_share(self.share, turn), self.share.version, ttl_ms)


class Queue:
    """Users in the order of asking; what is asked for one of them while he waits is done in one. Makes no I/O."""

    def __init__(self) -> None:
        self._waiting: dict[UserId, Asked] = {}
        self._answers = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def full(self) -> bool:
        """Whether no more may wait."""
        return self._answers >= MOST

    def add(self, user_id: UserId, share: Share | None, answer: Answer) -> None:
        """Put it behind all others, or to what waits for the same user."""
        asked = self._waiting.setdefault(user_id, Asked())
        if share is not None:
            asked.share = share
        asked.answers.append(answer)
        self._answers += 1

    def take(self, most: int) -> dict[UserId, Asked]:
        """Take the oldest."""
        users = [user_id for user_id, _ in zip(self._waiting, range(most), strict=False)]
        taken = {user_id: self._waiting.pop(user_id) for user_id in users}
        self._answers -= sum(len(asked.answers) for asked in taken.values())
        return taken
