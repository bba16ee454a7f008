"""The names of the presence keys in Redis (docs/protocol.md, "Heartbeat and presence").

Other services read them. The user id stands in braces, so that all keys of one user share a cluster slot. Ids hold no
braces (`actors.ids.ID_PATTERN`), so names can't be forged.
"""

from actors.ids import DesktopId, NodeId, UserId

STREAM = "hub:presence"
"""Stream of changes: `desktop_id user_id state reason at`."""

TOLD = "hub:told:{hub:presence}"
"""Sorted set, beside the contract and in the stream's slot: names of the entries that were appended last."""

EVERY_RECORD = "hub:{*}:desktop:*"
"""The pattern of all records, for SCAN."""

EVERY_OWED = "hub:{*}:owed"
"""The pattern of all keys `owed`, for SCAN."""


def record(user_id: UserId, desktop_id: DesktopId) -> str:
    """Hash with the fields of `PresenceRecord`; there while the desktop is online."""
    return f"hub:{{{user_id}}}:desktop:{desktop_id}"


def desktops(user_id: UserId) -> str:
    """Sorted set: desktop id -> `last_seen` in milliseconds, also for those that are away."""
    return f"hub:{{{user_id}}}:desktops"


def owner(desktop_id: DesktopId) -> str:
    """String: the user that the desktop belongs to."""
    return f"hub:owner:{desktop_id}"


def known(user_id: UserId) -> str:
    """Hash, beside the contract: desktop id -> `{name, platform, reason}`, also for those that are away."""
    return f"hub:{{{user_id}}}:known"


def ended(user_id: UserId, desktop_id: DesktopId) -> str:
    """String, beside the contract: epoch of the connection that ended last; there for one TTL, as a fence."""
    return f"hub:{{{user_id}}}:ended:{desktop_id}"


def owed(user_id: UserId) -> str:
    """Hash, beside the contract: desktop id -> entries that may not be in the stream yet (`hub.presence.owed`)."""
    return f"hub:{{{user_id}}}:owed"


def user_of(owed_key: str) -> UserId:
    """Return the user whose entries a key `owed` holds."""
    return UserId(owed_key.removeprefix("hub:{").removesuffix("}:owed"))


def mark(node_id: NodeId) -> str:
    """String, beside the contract: there as long as Redis has what this life of the node wrote."""
    return f"hub:mark:{node_id}"
