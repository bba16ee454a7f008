"""A phone's conversation: questions out, each with a future that learns how its answer ended."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import uuid4

from hub.cli.phone_view import PhoneView
from hub.cli.roster import Roster
from hub.client import Event, HubClient, Message

T = TypeVar("T")

_SNAPSHOT_S = 0.3
"""The hub tells the desktops one by one and doesn't say which is the last; this long they get to arrive."""


class PhoneSession:
    """Reads one `HubClient` of a mobile; shows what comes, and keeps track of what was asked."""

    def __init__(
        self, hub: HubClient, view: PhoneView, desktop_id: str | None = None, *, own_only: bool = False
    ) -> None:
        """Start with nothing asked.

        Args:
            hub: The phone's connection.
            view: Shows what comes.
            desktop_id: Whom to talk to; None: the only desktop that is online.
            own_only: Whether answers to other phones of this person stay unseen.
        """
        self._hub = hub
        self._view = view
        self._pending: dict[str, asyncio.Future[bool]] = {}
        self._own_only = own_only
        self.roster = Roster()
        self.desktop_id = desktop_id

    async def read(self) -> None:
        """Take in all that comes, until the client is closed.

        Raises:
            HubClosed: The hub doesn't want this client back.
        """
        async for event in self._hub.events():
            self.roster.note(event)
            if not self._is_for_others(event):
                self._view.show(event)
            self._settle(event)

    async def while_reading(self, doing: Coroutine[Any, Any, T]) -> T:
        """Run `doing` to its end while this session reads; if reading fails, so does this.

        Raises:
            HubClosed: As `read`; and what `doing` raises.
        """
        reading, acting = asyncio.create_task(self.read()), asyncio.create_task(doing)
        try:
            done, _ = await asyncio.wait([reading, acting], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reading, acting):
                task.cancel()
            await asyncio.gather(reading, acting, return_exceptions=True)
        if acting not in done:
            reading.result()  # raises: only a fault ends it before the client is closed
        return acting.result()

    async def ask(self, text: str) -> asyncio.Future[bool]:
        """Send `text`; the future tells whether an answer came and its program ended well.

        Raises:
            NoChoice: It isn't clear to whom.
            NotConnected: There is no connection.
            TooBig: The hub takes no message of that size.
        """
        desktop_id = self.roster.choose(self.desktop_id)
        message_id = uuid4().hex
        answered = self._pending[message_id] = asyncio.get_running_loop().create_future()
        try:
            await self._hub.send("user:message", {"desktop_id": desktop_id, "text": text}, message_id=message_id)
        except BaseException:
            del self._pending[message_id]
            raise
        return answered

    async def ask_when_possible(self, text: str) -> asyncio.Future[bool]:
        """As `ask`, but if no desktop was named, wait for one to be online first.

        Raises:
            NoChoice: Several are online.
        """
        if self.desktop_id is None and not self._pending:
            await self.roster.until(lambda: bool(self.roster.online))
            await asyncio.sleep(_SNAPSHOT_S)
        return await self.ask(text)

    async def all_answered(self) -> bool:
        """Wait until nothing is open; tell whether all of it ended well."""
        return all(await asyncio.gather(*self._pending.values()))

    def _is_for_others(self, event: Event) -> bool:
        return (
            self._own_only
            and isinstance(event, Message)
            and event.type.startswith("agent:")
            and event.payload.get("in_reply_to") not in self._pending
        )

    def _settle(self, event: Event) -> None:
        match event:
            case Message(type="agent:response", payload={"in_reply_to": str(message_id)} as payload):
                self._finish(message_id, well=payload.get("exit_code", 0) == 0)
            case Message(type="agent:status", payload={"reason": "busy", "in_reply_to": str(message_id)}):
                self._finish(message_id, well=False)
            case Message(type="error", payload={"message_id": str(message_id)}):
                self._finish(message_id, well=False)

    def _finish(self, message_id: str, *, well: bool) -> None:
        answered = self._pending.pop(message_id, None)
        if answered is not None and not answered.done():
            answered.set_result(well)
