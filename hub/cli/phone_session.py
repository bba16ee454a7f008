"""A phone's conversation: questions out, each with a future that learns how its answer ended."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import uuid4

from hub.cli.phone_view import PhoneView
from hub.cli.roster import Roster
from hub.cli.wording import outcome
from hub.client import Event, HubClient, HubClosed, Message, NotConnected, Refused, TooBig, TooManyPosts
from hub.client.outbox import WORTH_ANOTHER_TRY

log = logging.getLogger(__name__)

T = TypeVar("T")

_SNAPSHOT_S = 0.3
"""The hub tells the desktops one by one and doesn't say which is the last; this long they get to arrive."""


class PhoneSession:
    """Reads one `HubClient` of a mobile; shows what comes, and keeps track of what was asked."""

    def __init__(
        self,
        hub: HubClient,
        view: PhoneView,
        desktop_id: str | None = None,
        *,
        own_only: bool = False,
        post_timeout_s: float = 60.0,
    ) -> None:
        """Start with nothing asked.

        Args:
            hub: The phone's connection.
            view: Shows what comes.
            desktop_id: Whom to talk to; None: the only desktop that is online.
            own_only: Whether what isn't about this session's own questions stays unseen.
            post_timeout_s: How long the hub may take to say that it has a question, in seconds.
        """
        self._hub = hub
        self._view = view
        self._pending: dict[str, asyncio.Future[bool]] = {}
        self._posts: set[asyncio.Task[None]] = set()
        self._own_only = own_only
        self._post_timeout_s = post_timeout_s
        self.roster = Roster()
        self.desktop_id = desktop_id

    async def read(self) -> None:
        """Take in all that comes, until the client is closed.

        Raises:
            HubClosed: The hub doesn't want this client back.
        """
        async for event in self._hub.events():
            self.roster.note(event)
            if self._is_to_be_seen(event):
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
            tasks = [reading, acting, *self._posts]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if acting not in done:
            reading.result()  # raises: only a fault ends it before the client is closed
        return acting.result()

    def ask(self, text: str) -> asyncio.Future[bool]:
        """Send `text`, now or when there is a connection; the future tells whether it was answered well.

        Raises:
            NoChoice: It isn't clear to whom.
        """
        payload = {"desktop_id": self.roster.choose(self.desktop_id), "text": text}
        message_id = uuid4().hex
        answered = self._pending[message_id] = asyncio.get_running_loop().create_future()
        post = asyncio.create_task(self._post(payload, message_id))
        self._posts.add(post)
        post.add_done_callback(self._posts.discard)
        return answered

    async def ask_when_possible(self, text: str) -> asyncio.Future[bool]:
        """As `ask`, but if no desktop was named, wait for one to be online first.

        Raises:
            NoChoice: Several are online.
        """
        if self.desktop_id is None and not self._pending:
            await self.roster.until(lambda: bool(self.roster.online))
            await asyncio.sleep(_SNAPSHOT_S)
        return self.ask(text)

    @property
    def waits(self) -> bool:
        """Whether something that was asked is unanswered."""
        return bool(self._pending)

    async def all_answered(self) -> bool:
        """Wait until nothing is open; tell whether all of it ended well."""
        return all(await asyncio.gather(*self._pending.values()))

    async def _post(self, payload: dict[str, str], message_id: str) -> None:
        try:
            await self._hub.post("user:message", payload, message_id=message_id, timeout_s=self._post_timeout_s)
        except (NotConnected, TooBig, TooManyPosts) as fault:
            self._view.note(f"not sent: {fault}")
            self._finish(message_id, well=False)
        except (Refused, HubClosed) as fault:
            log.debug("not sent: %s", type(fault).__name__)  # whoever reads learns of it, and says it

    def _is_to_be_seen(self, event: Event) -> bool:
        match event:
            case Message(type="agent:response" | "agent:stream" | "agent:status", payload=payload) if self._own_only:
                return self._is_own(payload.get("in_reply_to"))
            case Message(type="receipt", payload=payload):
                concerns = self._is_own(payload.get("message_id")) or not self._own_only
                return concerns and not self._is_on_its_way(payload)
            case Message(type="error", payload=payload):
                return not self._is_tried_again(payload)
        return True

    def _is_own(self, question: object) -> bool:
        return isinstance(question, str) and question in self._pending

    def _is_tried_again(self, error: dict[str, Any]) -> bool:
        return self._is_own(error.get("message_id")) and str(error.get("code")) in WORTH_ANOTHER_TRY

    def _is_on_its_way(self, receipt: dict[str, Any]) -> bool:
        return outcome(receipt) == "stored" and str(receipt.get("desktop_id")) in self.roster.online

    def _settle(self, event: Event) -> None:
        match event:
            case Message(type="agent:response", payload={"in_reply_to": str(message_id)} as payload):
                self._finish(message_id, well=payload.get("exit_code", 0) == 0)
            case Message(type="agent:status", payload={"reason": "busy", "in_reply_to": str(message_id)}):
                self._finish(message_id, well=False)
            case Message(type="error", payload={"message_id": str(message_id)} as payload):
                if not self._is_tried_again(payload):
                    self._finish(message_id, well=False)
            case Message(type="receipt", payload={"message_id": str(message_id)} as payload):
                if outcome(payload) == "expired":
                    self._finish(message_id, well=False)

    def _finish(self, message_id: str, *, well: bool) -> None:
        answered = self._pending.pop(message_id, None)
        if answered is not None and not answered.done():
            answered.set_result(well)
