"""The client: one object that stays connected, sends, and gives what comes (docs/client.md)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from hub.client.backoff import Backoff
from hub.client.closing import Parting, stop_text
from hub.client.errors import HubClosed, NotConnected
from hub.client.events import Connected, Disconnected, Event, Welcome
from hub.client.link import Link, Unconnected, open_link
from hub.client.mailbox import Mailbox
from hub.client.message import Message, encode
from hub.client.reconnection import Reconnection
from hub.client.world import World

Role: TypeAlias = Literal["desktop", "mobile"]

TokenSource: TypeAlias = Callable[[], Awaitable[str]]
"""Asked for a token before every connection, so it can hand out a fresh one each time."""

_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_MAILBOX_BOUND = 256


class HubClient:
    """A desktop's or a mobile's connection to the hub, kept up across restarts, lost links and expired tokens.

    Used as `async with`; iterate over it to the end, since reading is what keeps it going. What the reader doesn't
    take waits here (256 messages), then in the socket. Messages come in the order in which the hub sent them; what was
    sent while there was no connection did not arrive. Delivery of `send` is at most once.

    `async for message in hub` gives messages, `hub.events()` also gives `Connected` and `Disconnected`.

    Raises, from iterating, `send` and `ready`:
        HubClosed: Coming back is pointless: closed with 40xx, or no valid token is to be had.
        Exception: What the token source raised.
    """

    def __init__(
        self,
        url: str,
        role: Role,
        token: str | TokenSource,
        *,
        send_wait_s: float = 10.0,
        open_timeout_s: float = 10.0,
        world: World | None = None,
    ) -> None:
        """Connect nothing yet.

        Args:
            url: Where the hub is: `ws://127.0.0.1:8080`; `wss`, `http` and `https` do, too.
            role: Which side this is; a Desktop Token goes with "desktop", a User Token with "mobile".
            token: The token, or who gives it.
            send_wait_s: How long `send` waits for a connection, in seconds.
            open_timeout_s: How long one try to connect may take, and how long `welcome`, in seconds.
            world: Time and chance; the machine's by default.

        Raises:
            ValueError: `url` isn't a WebSocket URL.
        """
        self._url = endpoint(url, role)
        self._token_source: TokenSource = _constant(token) if isinstance(token, str) else token
        self._send_wait_s = send_wait_s
        self._open_timeout_s = open_timeout_s
        self._world = world or World()
        self._reconnection = Reconnection(Backoff(chance=self._world.chance))
        self._mailbox: Mailbox[Event] = Mailbox(_MAILBOX_BOUND)
        self._settled = asyncio.Event()
        self._link: Link | None = None
        self._fault: BaseException | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "HubClient":
        """Start connecting; doesn't wait for it (`ready` does)."""
        self._task = asyncio.create_task(self._run(), name="hub-client")
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
        while (event := await self._mailbox.get()) is not None:
            yield event

    async def ready(self, timeout_s: float | None = None) -> Welcome:
        """Wait for a connection, `send_wait_s` unless told otherwise, and return what the hub said in `welcome`.

        Raises:
            NotConnected: There was none in time.
            HubClosed: There will be none.
        """
        return (await self._connected(timeout_s)).welcome

    async def send(
        self,
        kind: str,
        payload: Mapping[str, Any],
        *,
        message_id: str | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Send one message, after waiting for a connection if there is none.

        Args:
            kind: The message's type, such as `user:message`.
            payload: A JSON object.
            message_id: A name of your own, 1 to 128 characters; errors about the message carry it.
            timeout_s: How long to wait for a connection, in seconds; `send_wait_s` unless told otherwise.

        Raises:
            NotConnected: There was no connection in time, or it broke meanwhile.
            HubClosed: There will be none.
            TooBig: The message is greater than the hub takes.
            TypeError, ValueError: The payload isn't JSON.
        """
        envelope = encode(kind, payload, self._world.wall_ms(), message_id)
        await (await self._connected(timeout_s)).send(envelope)

    async def close(self, reason: str | None = None) -> None:
        """End the connection with 1000, for good; what has arrived can still be read. May be called twice.

        Args:
            reason: If given, said in a `goodbye` first; the owner's phones see it in `desktop:offline`. The hub takes
                a lower-case word of at most 32 letters, digits and underscores.
        """
        self._end(NotConnected("this client was closed"))
        self._mailbox.close()
        link, self._link = self._link, None
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

    async def _messages(self) -> AsyncIterator[Message]:
        async for event in self.events():
            if isinstance(event, Message):
                yield event

    async def _connected(self, timeout_s: float | None) -> Link:
        wait_s = self._send_wait_s if timeout_s is None else timeout_s
        try:
            async with asyncio.timeout(wait_s):
                await self._settled.wait()
        except TimeoutError:
            raise NotConnected(f"no connection to the hub in {wait_s:g} s") from None
        if self._link is None:
            raise self._fault or NotConnected("the connection was lost")
        return self._link

    async def _run(self) -> None:
        try:
            token = await self._token_source()
            while True:
                parting, lived_s = await self._live(token)
                if self._fault is not None:
                    return  # closed by this side, which is no reason to come back
                plan = self._reconnection.plan(parting, lived_s)
                if plan.new_token:
                    token = await self._other_token(token, parting)
                await self._mailbox.put(Disconnected(parting.code, parting.reason or parting.name, plan.delay_s))
                await self._world.sleep(plan.delay_s)
                if not plan.new_token:
                    token = await self._token_source()
        except Exception as fault:  # noqa: BLE001 - the reader and the senders get it, whatever it is
            self._end(fault)
            self._mailbox.close(fault)

    async def _live(self, token: str) -> tuple[Parting, float | None]:
        """Hold one connection to its end; return how it ended, and the seconds since its `welcome`, if it had one."""
        try:
            link = await open_link(self._url, token, self._world, self._open_timeout_s)
        except Unconnected as failure:
            return failure.parting, None
        since = self._world.monotonic()
        try:
            await self._read(link)
        finally:
            self._lose()
            await link.close()
        return link.parting(), self._world.monotonic() - since

    async def _read(self, link: Link) -> None:
        self._link = link
        self._settled.set()
        await self._mailbox.put(Connected(link.welcome))
        async with link.beating():
            async for message in link.messages():
                await self._mailbox.put(message)

    def _lose(self) -> None:
        self._link = None
        if self._fault is None:
            self._settled.clear()

    async def _other_token(self, last: str, parting: Parting) -> str:
        token = await self._token_source()
        if token == last:
            raise HubClosed(parting.code, parting.name, f"{stop_text(parting.code)}, and there is no other one")
        return token

    def _end(self, fault: BaseException) -> None:
        if self._fault is None:
            self._fault = fault
        self._settled.set()


def endpoint(url: str, role: Role) -> str:
    """Return the WebSocket URL for `role` at the hub that `url` names.

    Raises:
        ValueError: `url` names no hub.
    """
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise ValueError(f"{url!r} is no address of a hub: something like ws://127.0.0.1:8080 is")
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, f"{parts.path.rstrip('/')}/ws/{role}", parts.query, ""))


def _constant(token: str) -> TokenSource:
    async def source() -> str:
        return token

    return source
