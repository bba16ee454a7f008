"""Which of the owner's desktops are online, as a phone is told; and which of them a message is for."""

import asyncio
from collections.abc import Callable
from typing import Any

from hub.client import Connected, Event, Message


class NoChoice(Exception):  # noqa: N818 - an expected answer
    """No desktop could be chosen; the text says why, and what to do."""


class Roster:
    """Follows `desktop:online` and `desktop:offline`.

    What was last known stays while there is no connection; a new connection tells it all anew.
    """

    def __init__(self) -> None:
        self.online: dict[str, dict[str, Any]] = {}
        self._last: str | None = None
        self._changed = asyncio.Event()

    def note(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case Message(type="desktop:online", payload={"desktop_id": str(desktop_id)} as payload):
                self.online[desktop_id] = payload
            case Message(type="desktop:offline", payload={"desktop_id": str(desktop_id)}):
                self.online.pop(desktop_id, None)
            case Connected():
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

        If none is, it is the one that was chosen last: the hub keeps the message for it.

        Raises:
            NoChoice: None is online and none was chosen before, or several are online.
        """
        self._last = wanted or self._only_one()
        return self._last

    def _only_one(self) -> str:
        if len(self.online) > 1:
            raise NoChoice(f"several desktops are online, choose one: {', '.join(sorted(self.online))}")
        desktop_id = next(iter(self.online), self._last)
        if desktop_id is None:
            raise NoChoice("no desktop is online")
        return desktop_id
