"""Which of the owner's desktops are online, as a phone is told; and which of them a message is for."""

import asyncio
from collections.abc import Callable
from typing import Any

from hub.client import Disconnected, Event, Message


class NoChoice(Exception):  # noqa: N818 - an expected answer
    """No desktop could be chosen; the text says why, and what to do."""


class Roster:
    """Follows `desktop:online` and `desktop:offline`; forgets all when the connection is lost."""

    def __init__(self) -> None:
        self.online: dict[str, dict[str, Any]] = {}
        self._changed = asyncio.Event()

    def note(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case Message(type="desktop:online", payload={"desktop_id": str(desktop_id)} as payload):
                self.online[desktop_id] = payload
            case Message(type="desktop:offline", payload={"desktop_id": str(desktop_id)}):
                self.online.pop(desktop_id, None)
            case Disconnected():
                self.online.clear()
            case _:
                return
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; it is looked at after every change."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def choose(self, wanted: str | None) -> str:
        """Return the desktop to talk to: the one that is wanted, else the only one that is online.

        Raises:
            NoChoice: None is online, or several are.
        """
        if wanted is not None:
            return wanted
        if not self.online:
            raise NoChoice("no desktop is online")
        if len(self.online) > 1:
            raise NoChoice(f"several desktops are online, choose one: {', '.join(sorted(self.online))}")
        return next(iter(self.online))
