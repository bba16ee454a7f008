"""What other nodes hold of one user, as this node knows it (ADR 0011)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, TypeAlias

from actors.ids import NodeId
from actors.nodes import Gone, Share
from actors.registry import User
from actors.routes import DesktopRoute, MobileRoute

Joined: TypeAlias = DesktopRoute | MobileRoute
"""A connection that has joined."""

NODE_LOST: Final = "node_lost"
MOVED: Final = "moved"
"""Reason of a desktop that is gone from one node because it is on another: nobody is told that it is away."""


class Look(Enum):
    """Whether it is known what other nodes hold of a user. `BLIND`: the store was away."""

    ASKED = auto()
    SEEN = auto()
    BLIND = auto()


@dataclass(slots=True)
class Elsewhere:
    """What other nodes hold of a user who has somebody here.

    Attributes:
        look: Whether the others were asked.
        shares: What each holds; those that hold nothing any more stay, for their version.
        entering: Connections of which the store doesn't know yet, or hasn't answered.
        newcomers: Connections that came since what this node holds was entered.
        gone: Desktops that went since then.
        waiting: Whoever waits for the first answer.
    """

    look: Look = Look.ASKED
    shares: dict[NodeId, Share] = field(default_factory=dict)
    entering: dict[Joined, None] = field(default_factory=dict)
    newcomers: list[Joined] = field(default_factory=list)
    gone: list[Gone] = field(default_factory=list)
    waiting: list[Callable[[], object]] = field(default_factory=list)

    def knows(self, node_id: NodeId, share: Share) -> bool:
        """Whether the share says nothing new."""
        known = self.shares.get(node_id)
        return known is not None and known.version >= share.version

    def phones_with(self, user: User[DesktopRoute, MobileRoute]) -> int:
        """How many phones a user has on all nodes; a device that moves counts once."""
        devices = set(user.devices).union(*(share.devices for share in self.shares.values()))
        nameless = sum(share.nameless for share in self.shares.values())
        return len(devices) + nameless + len(user.mobiles) - len(user.devices)
