"""What the presence store takes and tells."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from actors.ids import ConnectionId, DesktopId, NodeId, UserId

PresenceState: TypeAlias = Literal["online", "offline", "unknown"]
"""`unknown`: Redis could not be asked. A desktop that nobody has ever seen is `offline`."""


@dataclass(frozen=True, slots=True)
class PresenceAnswer:
    """Where one desktop is. Times in milliseconds since the epoch; None is what isn't known or never was.

    `as_of` is when Redis was asked; `last_seen` is None for a desktop that was never seen.
    """

    desktop_id: DesktopId
    state: PresenceState
    as_of: int
    user_id: UserId | None = None
    last_seen: int | None = None
    node_id: NodeId | None = None
    connection_id: ConnectionId | None = None
    name: str | None = None
    platform: str | None = None
    since: int | None = None


@dataclass(frozen=True, slots=True)
class UserPresence:
    """Where a user's desktops are, the one seen last first.

    `state` is `online` if any of them is, and `unknown`, with no desktops, if Redis could not be asked.
    """

    user_id: UserId
    state: PresenceState
    as_of: int
    desktops: tuple[PresenceAnswer, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One entry of the stream `hub:presence`. `at` in milliseconds since the epoch; `reason` is empty for `online`."""

    desktop_id: DesktopId
    user_id: UserId
    state: Literal["online", "offline"]
    reason: str
    at: int
