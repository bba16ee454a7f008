"""The client: one object that stays connected, sends, and gives what comes (docs/client.md)."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any
from uuid import uuid4

from hub.client.acks import Acks
from hub.client.address import Role, asking, endpoint
from hub.client.errors import NotConnected
from hub.client.events import Event, Welcome
from hub.client.link import Link
from hub.client.message import Message, encode
from hub.client.offsets import Offsets
from hub.client.outbox import Receipt
from hub.client.upkeep import TokenSource, Upkeep
from hub.client.world import World


class HubClient:
    """A desktop's or a mobile's connection to the hub, kept up across restarts, lost links and expired tokens.

    Used as `async with`; iterate over it to the end, since reading is what keeps it going. What the reader doesn't
    take waits here (256 messages), then in the socket. Messages come in the order in which the hub sent them. A mobile
    asks by itself for what it missed while it had no connection; its reader gets every message of a desktop once, and
    a message `resumed` that says whether the hub still had all of it. Delivery of `send` is at most once; `post` sends
    until the hub has said that it has the message.

    `async for message in hub` gives messages, `hub.events()` also gives `Connected` and `Disconnected`.

    Raises, from iterating, `send`, `post` and `ready`:
        HubClosed: Coming back is pointless: closed with 40xx, or no valid token is to be had.
        Exception: What the token source raised.
    """

    def __init__(
        self,
        url: str,
        role: Role,
        token: str | TokenSource,
        *,
        resume: Mapping[str, str] | None = None,
        acks: bool = False,
        send_wait_s: float = 10.0,
        open_timeout_s: float = 10.0,
        world: World | None = None,
    ) -> None:
        """Connect nothing yet.

        Args:
            url: Where the hub is: `ws://127.0.0.1:8080`; `wss`, `http` and `https` do, too.
            role: Which side this is; a Desktop Token goes with "desktop", a User Token with "mobile".
            token: The token, or who gives it.
            resume: Of a mobile: up to where it has what each desktop said, as `offsets` gave it in an earlier life. The
                newest 50 count.
            acks: Of a desktop: every `user:message` and `session:create` is to be acknowledged with `ack`; until then
                the hub keeps it and sends it again after a reconnection or to the next life of this program.
            send_wait_s: How long `send` waits for a connection, in seconds.
            open_timeout_s: How long one try to connect may take, and how long `welcome`, in seconds.
            world: Time and chance; the machine's by default.

        Raises:
            ValueError: `url` isn't a WebSocket URL, or `resume` isn't made of desktops and offsets.
        """
        self._world = world or World()
        self._send_wait_s = send_wait_s
        self._given = Offsets(resume)
        self._acks = Acks() if acks else None
        self._upkeep = Upkeep(
            asking(endpoint(url, role), {"ack": "1"} if acks else {}),
            _constant(token) if isinstance(token, str) else token,
            Offsets(resume),
            self._acks,
            open_timeout_s,
            self._world,
        )
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "HubClient":
        """Start connecting; doesn't wait for it (`ready` does)."""
        self._task = asyncio.create_task(self._upkeep.run(), name="hub-client")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    def __aiter__(self) -> AsyncIterator[Message]:
        """Iterate over the messages; ends when this side closes."""
        return self._messages()

    async def events(self) -> AsyncIterator[Event]:
        """Iterate over the messages and what happens to the connection; ends when this side closes."""
        while (event := await self._upkeep.mailbox.get()) is not None:
            self._given.follow(event)
            yield event

    @property
    def offsets(self) -> Mapping[str, str]:
        """Up to where the reader has what each desktop said: for `resume` in a next life; the 50 heard of last."""
        return self._given.known()

    async def ready(self, timeout_s: float | None = None) -> Welcome:
        """Wait for a connection, `send_wait_s` unless told otherwise, and return what the hub said in `welcome`.

        Raises:
            NotConnected: There was none in time.
            HubClosed: There will be none.
        """
        return (await self._upkeep.connected(self._wait_s(timeout_s))).welcome

    async def send(
        self,
        kind: str,
        payload: Mapping[str, Any],
        *,
        message_id: str | None = None,
        valid_for_s: float | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Send one message, after waiting for a connection if there is none.

        Args:
            kind: The message's type, such as `user:message`.
            payload: A JSON object.
            message_id: A name of your own, 1 to 128 characters; receipts and errors about the message carry it.
            valid_for_s: How long from now on the hub may hand it over, in seconds; for ever unless told otherwise.
            timeout_s: How long to wait for a connection, in seconds; `send_wait_s` unless told otherwise.

        Raises:
            NotConnected: There was no connection in time, or it broke meanwhile.
            HubClosed: There will be none.
            TooBig: The message is greater than the hub takes.
            TypeError, ValueError: The payload isn't JSON.
        """
        envelope = self._encoded(kind, payload, message_id, valid_for_s)
        await (await self._upkeep.connected(self._wait_s(timeout_s))).send(envelope)

    async def post(
        self,
        kind: str,
        payload: Mapping[str, Any],
        *,
        message_id: str | None = None,
        valid_for_s: float | None = None,
        timeout_s: float = 60.0,
    ) -> Receipt:
        """Send a mobile's message, the same bytes again after every reconnection, until the hub says that it has it.

        The hub takes a message of one `message_id` once, so sending it again is safe. Receipts come to whoever reads:
        somebody has to, meanwhile. The reader gets them, too, and the later ones about the same message. At most 1,000
        posts are open at once, 32 of them on the wire.

        Args:
            kind: `user:message` or `session:create`.
            payload: A JSON object with the `desktop_id` that it is for.
            message_id: A name of your own; a random one unless told otherwise.
            valid_for_s: As for `send`.
            timeout_s: How long to try, in seconds, waiting for a connection included.

        Raises:
            Refused: The hub doesn't take it, or could not hand it over in time, for good.
            NotConnected: The hub didn't say in time that it has it, or this client was closed. It may have it.
            HubClosed: There will be no connection any more. The hub may have it.
            TooBig: The message is greater than the hub takes.
            TooManyPosts: 1,000 are open.
            TypeError, ValueError: The payload isn't JSON, or a message of that `message_id` is being posted.
        """
        message_id = message_id or uuid4().hex
        envelope = self._encoded(kind, payload, message_id, valid_for_s)
        return await self._upkeep.outbox.deliver(message_id, envelope, timeout_s)

    async def ack(self, message: Message) -> None:
        """Acknowledge a desktop's message: the hub needn't keep it any more.

        Without a connection, too: then the message comes again, is acknowledged again, and isn't given twice. A message
        without `message_id` needs no acknowledging.

        Raises:
            ValueError: This client was made without `acks`.
        """
        if self._acks is None:
            raise ValueError("a client made without acks=True acknowledges nothing")
        if message.message_id is not None:
            self._acks.note(message.message_id)
            await self._upkeep.acknowledge(message.message_id)

    def drop(self) -> None:
        """Cut the connection at once, if there is one, and come back: for who learns first that the link is dead."""
        if self._upkeep.link is not None:
            self._upkeep.link.abort()

    async def close(self, reason: str | None = None) -> None:
        """End the connection with 1000, for good; what has arrived can still be read. May be called twice.

        Args:
            reason: If given, said in a `goodbye` first; the owner's phones see it in `desktop:offline`. The hub takes
                a lower-case word of at most 32 letters, digits and underscores.
        """
        link = self._upkeep.end(NotConnected("this client was closed"))
        if link is not None:
            await self._part(link, reason)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _part(self, link: Link, reason: str | None) -> None:
        if reason is not None:
            await self._farewell(link, reason)
        await link.close()

    async def _farewell(self, link: Link, reason: str) -> None:
        goodbye = encode("goodbye", {"reason": reason}, self._world.wall_ms())
        await asyncio.gather(link.send(goodbye), return_exceptions=True)  # it may be gone already: then no farewell

    def _encoded(
        self, kind: str, payload: Mapping[str, Any], message_id: str | None, valid_for_s: float | None
    ) -> bytes:
        now_ms = self._world.wall_ms()
        valid_until = None if valid_for_s is None else now_ms + int(valid_for_s * 1000)
        return encode(kind, payload, now_ms, message_id, valid_until)

    def _wait_s(self, timeout_s: float | None) -> float:
        return self._send_wait_s if timeout_s is None else timeout_s

    async def _messages(self) -> AsyncIterator[Message]:
        async for event in self.events():
            if isinstance(event, Message):
                yield event


def _constant(token: str) -> TokenSource:
    async def source() -> str:
        return token

    return source
