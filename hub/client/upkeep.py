"""One connection kept up: made, read into the mailbox, and made again, until there is no point in it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

from hub.client.acks import Acks
from hub.client.address import asking
from hub.client.backoff import Backoff
from hub.client.closing import Parting, stop_text
from hub.client.errors import HubClosed, NotConnected
from hub.client.events import Connected, Disconnected, Event
from hub.client.link import Link, Unconnected, open_link
from hub.client.mailbox import Mailbox
from hub.client.message import Message, encode
from hub.client.offsets import Offsets
from hub.client.outbox import Outbox
from hub.client.reconnection import Reconnection
from hub.client.world import World

TokenSource: TypeAlias = Callable[[], Awaitable[str]]
"""Asked for a token before every connection, so it can hand out a fresh one each time."""

_MAILBOX_BOUND = 256

_CATCHING_UP = Parting(4202, "coming back to ask for what was missed")


class Upkeep:
    """Runs as one task, `run`.

    Attributes:
        mailbox: What has arrived: messages and changes of the connection, each message once.
        outbox: What is posted.
        link: The connection, while there is one.
    """

    def __init__(
        self,
        url: str,
        token_source: TokenSource,
        arrived: Offsets,
        acks: Acks | None,
        open_timeout_s: float,
        world: World,
    ) -> None:
        """Connect nothing yet.

        Args:
            url: The WebSocket URL, without what is asked for in `resume`.
            token_source: Who gives the tokens.
            arrived: Up to where messages of each desktop have arrived.
            acks: What was given and acknowledged, if this side acknowledges.
            open_timeout_s: How long one try to connect may take, and how long `welcome`, in seconds.
            world: Time and chance.
        """
        self._url = url
        self._token_source = token_source
        self._arrived = arrived
        self._acks = acks
        self._open_timeout_s = open_timeout_s
        self._world = world
        self._reconnection = Reconnection(Backoff(chance=world.chance))
        self._settled = asyncio.Event()
        self._fault: BaseException | None = None
        self.mailbox: Mailbox[Event] = Mailbox(_MAILBOX_BOUND)
        self.outbox = Outbox(self.connected, world.sleep)
        self.link: Link | None = None

    async def connected(self, timeout_s: float) -> Link:
        """Wait for a connection.

        Raises:
            NotConnected: There was none in time, or there will be none since this side has ended it.
            HubClosed: There will be none.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while self.link is None:
                    if self._fault is not None:
                        raise self._fault
                    await self._settled.wait()
        except TimeoutError:
            raise NotConnected(f"no connection to the hub in {timeout_s:g} s") from None
        return self.link

    async def acknowledge(self, message_id: str) -> None:
        """Tell the hub that a message was taken, if there is a connection; if not, the message comes again."""
        if self.link is not None:
            with suppress(NotConnected):
                await self.link.send(encode("ack", {"message_id": message_id}, self._world.wall_ms()))

    def end(self, fault: BaseException) -> Link | None:
        """Come back no more: who waits for a connection gets `fault`. Return the connection, for closing it."""
        self._fail(fault)
        self.mailbox.close()
        link, self.link = self.link, None
        return link

    async def run(self) -> None:
        """Stay connected until `end`, or until the hub doesn't want this client back."""
        try:
            token = await self._token_source()
            while True:
                parting, lived_s = await self._live(token)
                if self._fault is not None:
                    return  # closed by this side, which is no reason to come back
                plan = self._reconnection.plan(parting, lived_s)
                if plan.new_token:
                    token = await self._other_token(token, parting)
                await self.mailbox.put(Disconnected(parting.code, parting.reason or parting.name, plan.delay_s))
                await self._world.sleep(plan.delay_s)
                if not plan.new_token:
                    token = await self._token_source()
        except Exception as fault:  # noqa: BLE001 - the reader and the senders get it, whatever it is
            self._fail(fault)
            self.mailbox.close(fault)

    async def _live(self, token: str) -> tuple[Parting, float | None]:
        """Hold one connection to its end; return how it ended, and the seconds since its `welcome`, if it had one."""
        resume = self._arrived.resume()
        url = asking(self._url, {"resume": resume} if resume else {})
        try:
            link = await open_link(url, token, self._world, self._open_timeout_s)
        except Unconnected as failure:
            return failure.parting, None
        since = self._world.monotonic()
        try:
            caught_up = await self._read(link)
        finally:
            self._lose()
            await link.close()
        return link.parting() if caught_up else _CATCHING_UP, self._world.monotonic() - since

    async def _read(self, link: Link) -> bool:
        """Read to the end of the connection; False if something was missed that the next one has to ask for."""
        self.link = link
        self._settled.set()
        self._arrived.connected()
        await self.mailbox.put(Connected(link.welcome))
        async with link.beating():
            async for message in link.messages():
                if self._arrived.overtakes(message):
                    return False  # unread: the next connection brings it again, and what it overtook
                self.outbox.note(message)
                if await self._admits(message):
                    await self.mailbox.put(message)
        return True

    async def _admits(self, message: Message) -> bool:
        """Tell whether the reader is to have `message`; what it has acknowledged is acknowledged again."""
        if self._acks is None:
            return self._arrived.admits(message)
        if self._acks.admits(message):
            return True
        if message.message_id is not None and self._acks.has(message.message_id):
            await self.acknowledge(message.message_id)
        return False

    def _lose(self) -> None:
        self.link = None
        if self._fault is None:
            self._settled.clear()
        self.outbox.lost()

    async def _other_token(self, last: str, parting: Parting) -> str:
        token = await self._token_source()
        if token == last:
            raise HubClosed(parting.code, parting.name, f"{stop_text(parting.code)}, and there is no other one")
        return token

    def _fail(self, fault: BaseException) -> None:
        if self._fault is None:
            self._fault = fault
        self._settled.set()
        self.outbox.lost()
