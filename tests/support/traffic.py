"""Clients that do what the contract asks, across the hub's deaths: phones that send again, desktops that return.

They note in which life of the hub everything happened, by the node id that `welcome` names.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, NamedTuple

from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.support.clients import Message, Peer, connection, new_name, welcomed
from tests.support.hub_process import HubProcess

RETURN_S = 40.0
"""How long a hub may take to come back."""
MOST_OPEN = 20
"""Messages of a phone that are on their way at once."""


class Said(NamedTuple):
    """A receipt, and in which life of the hub it was said."""

    life: int
    status: str
    latest: str | None


class Arrival(NamedTuple):
    """A message at a desktop, and in which life of the hub it came."""

    life: int
    message_id: str
    n: int


class Lives:
    """Numbers the lives of a hub, in their order."""

    def __init__(self) -> None:
        self._seen: list[str] = []

    def of(self, peer: Peer) -> int:
        """The number of the life that this connection belongs to."""
        node_id = peer.welcome["node_id"]
        if node_id not in self._seen:
            self._seen.append(node_id)
        return self._seen.index(node_id)


@asynccontextmanager
async def reached(hub: HubProcess, path: str, token: str) -> AsyncIterator[Peer]:
    """A connection to a hub that may be away for a while."""
    deadline = time.monotonic() + RETURN_S
    async with AsyncExitStack() as stack:
        while True:
            try:
                peer = await welcomed(await stack.enter_async_context(connection(hub, path, token=token)))
                break
            except (OSError, WebSocketException):
                assert time.monotonic() < deadline, "the hub does not come back"
                await asyncio.sleep(0.02)
        yield peer


@asynccontextmanager
async def beside(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run something without an end meanwhile; what fails in it fails here."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        yield
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def acking_desktop(hub: HubProcess, desktop_id: str, user_id: str) -> AsyncIterator[Peer]:
    """A desktop that was welcomed and is to acknowledge what it gets."""
    async with connection(hub, "/ws/desktop?ack=1", token=hub.mint.desktop(desktop_id, user_id)) as peer:
        yield await welcomed(peer)


async def come_before(phone: Peer, agent: Peer, desktop_id: str) -> list[str]:
    """The ids of all messages that reach a desktop before one that is sent to it now; Redis is to be there.

    The mailbox keeps its order, so what isn't among them doesn't come any more.
    """
    fence = new_name("fence")
    await phone.send("user:message", {"desktop_id": desktop_id}, message_id=fence)
    came: list[str] = []
    while (message_id := (await agent.expect("user:message")).whole["message_id"]) != fence:
        came.append(message_id)
    return came


class SendingPhone:
    """Has numbered messages for one desktop. After each reconnection it sends those without a receipt again, in order.

    Attributes:
        ids: The `message_id`s, in the order of sending.
        said: The receipts of each.
    """

    def __init__(self, hub: HubProcess, lives: Lives, user_id: str, desktop_id: str, name: str, many: int) -> None:
        self.ids = [f"{name}-{number}" for number in range(many)]
        self.said: dict[str, list[Said]] = {}
        self._hub = hub
        self._lives = lives
        self._desktop_id = desktop_id
        self._token = hub.mint.mobile(user_id, device_id=name)

    async def send_all(self) -> None:
        """Return when there is a receipt for every message."""
        while any(each not in self.said for each in self.ids):
            async with reached(self._hub, "/ws/mobile", self._token) as peer:
                with suppress(ConnectionClosed):
                    await self._exchange(peer, [each for each in self.ids if each not in self.said])

    async def ask_again(self) -> dict[str, str | None]:
        """Send all of them once more, and return what became of each so far."""
        for each in self.ids:
            self.said[each] = [said for said in self.said[each] if said.status != "duplicate"]
        async with reached(self._hub, "/ws/mobile", self._token) as peer:
            await self._exchange(peer, self.ids, "duplicate")
        return {each: self.said[each][-1].latest for each in self.ids}

    async def _exchange(self, peer: Peer, ids: list[str], wanted: str | None = None) -> None:
        """Send these, and read until each has a receipt."""
        life, waiting, open_ones = self._lives.of(peer), deque(ids), set[str]()
        while waiting or open_ones:
            while waiting and len(open_ones) < MOST_OPEN:
                open_ones.add(waiting[0])
                await peer.send("user:message", self._payload(waiting[0]), message_id=waiting.popleft())
            message = await peer.next()
            assert message.type != "error", message.text
            if message.type == "receipt":
                self._note(life, message)
                if wanted in {None, message.payload["status"]}:
                    open_ones.discard(message.payload["message_id"])

    def _payload(self, message_id: str) -> dict[str, Any]:
        return {"desktop_id": self._desktop_id, "n": self.ids.index(message_id)}

    def _note(self, life: int, message: Message) -> None:
        said = Said(life, message.payload["status"], message.payload.get("latest"))
        self.said.setdefault(message.payload["message_id"], []).append(said)


class ReturningDesktop:
    """Takes what comes, across the hub's deaths, and acknowledges it if it said so."""

    def __init__(self, hub: HubProcess, lives: Lives, user_id: str, desktop_id: str, *, acks: bool) -> None:
        self.arrivals: list[Arrival] = []
        self.acks = acks
        self._hub = hub
        self._lives = lives
        self._token = hub.mint.desktop(desktop_id, user_id)

    async def take(self) -> None:
        """Never returns."""
        while True:
            async with reached(self._hub, "/ws/desktop" + "?ack=1" * self.acks, self._token) as peer:
                life = self._lives.of(peer)
                with suppress(ConnectionClosed):
                    async for text in peer.socket:
                        await self._take(peer, life, text)

    async def _take(self, peer: Peer, life: int, text: str | bytes) -> None:
        assert isinstance(text, str)
        message = Message(text, json.loads(text))
        if message.type == "user:message":
            self.arrivals.append(Arrival(life, message.whole["message_id"], message.payload["n"]))
            if self.acks:
                await peer.send("ack", {"message_id": message.whole["message_id"]})

    def first_arrivals(self, of: SendingPhone) -> list[str]:
        """A phone's messages in the order in which they came first."""
        return list(dict.fromkeys(each.message_id for each in self.arrivals if each.message_id in set(of.ids)))
