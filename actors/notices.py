"""What phones are told about a desktop, and where it stands."""

from typing import Any

from actors.messages import DesktopOffline, DesktopOnline, Notice
from actors.offsets import Offset
from actors.registry import Desktop, Standing


def online(desktop: Desktop[Any, Any]) -> DesktopOnline:
    """Return that the desktop is there."""
    return DesktopOnline(desktop.desktop_id, desktop.name, desktop.platform, desktop.since, desktop.last_seen)


def offline(desktop: Desktop[Any, Any]) -> DesktopOffline:
    """Return that the desktop is away, and why."""
    return DesktopOffline(desktop.desktop_id, desktop.name, desktop.platform, desktop.last_seen, desktop.reason)


def standing(desktop: Desktop[Any, Any], now_ms: int) -> Notice:
    """Return how it is at `now_ms`, milliseconds since the epoch."""
    if desktop.standing is Standing.AWAY:
        return offline(desktop)
    if desktop.standing is Standing.CONNECTED:
        desktop.last_seen = now_ms
    return online(desktop)


def place(desktop: Desktop[Any, Any]) -> Offset | None:
    """Return where the desktop stands in what it says, if this node knows."""
    ring = desktop.ring
    if ring is not None and ring.epoch >= desktop.epoch:
        return ring.head
    if desktop.copy is not None and not desktop.copy.heard:
        return None
    return Offset(desktop.epoch, 0) if desktop.epoch else None
