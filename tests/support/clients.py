"""A desktop's and a phone's end of the line, on the `websockets` library: not the one that the hub parses with."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from tests.support.hub_process import HubProcess

WAIT_S = 15.0
"""How long a message may take on a machine that is busy with other things."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Message:
    """What came: as it stood on the wire, and read."""

    text: str
    whole: dict[str, Any]

    @property
    def type(self) -> str:
        return str(self.whole["type"])

    @property
    def payload(self) -> dict[str, Any]:
        payload: dict[str, Any] = self.whole["payload"]
        return payload

    @property
    def raw_payload(self) -> str:
        """The payload byte for byte."""
        start = self.text.index('"payload":') + len('"payload":')
        _, end = json.JSONDecoder().raw_decode(self.text[start:])
        return self.text[start : start + end]


@dataclass(frozen=True)
class Close:
    """How the connection ended."""

    code: int
    reason: str


def envelope(kind: str, payload: dict[str, Any] | None = None, **members: Any) -> str:
    return json.dumps({"type": kind, "payload": payload or {}, "timestamp": time.time_ns() // 1_000_000, **members})


class Peer:
    """One connection. Its first message has been read: `welcome`."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.welcome: dict[str, Any] = {}

    async def send(self, kind: str, payload: dict[str, Any] | None = None, **members: Any) -> None:
        await self.socket.send(envelope(kind, payload, **members))

    async def next(self, within_s: float = WAIT_S) -> Message:
        """The next message, whatever it is."""
        async with asyncio.timeout(within_s):
            text = await self.socket.recv()
        assert isinstance(text, str)
        return Message(text, json.loads(text))

    async def expect(self, kind: str, within_s: float = WAIT_S, **payload: Any) -> Message:
        """The next message of that type with these members in its payload; others before it go by."""
        went_by: list[str] = []
        deadline = time.monotonic() + within_s
        while True:
            try:
                message = await self.next(deadline - time.monotonic())
            except (TimeoutError, ConnectionClosed) as error:
                raise AssertionError(f"no {kind} {payload} came ({error!r}), but: {went_by}") from error
            if message.type == kind and payload.items() <= message.payload.items():
                return message
            went_by.append(message.text[:300])

    async def sync(self) -> list[Message]:
        """All that came before the answer to a heartbeat that is sent now."""
        await self.send("heartbeat")
        came: list[Message] = []
        while (message := await self.next()).type != "heartbeat:ack":
            came.append(message)
        return came

    async def closed(self, within_s: float = WAIT_S) -> Close:
        """Wait for the hub's close; what comes before it goes by."""
        return (await self.last_words(within_s))[1]

    async def last_words(self, within_s: float = WAIT_S) -> tuple[list[Message], Close]:
        """All messages that come up to the hub's close, and the close."""
        came: list[Message] = []
        deadline = time.monotonic() + within_s
        try:
            while True:
                came.append(await self.next(deadline - time.monotonic()))
        except ConnectionClosed as closed:
            if closed.rcvd is None:
                return came, Close(1006, "")
            return came, Close(closed.rcvd.code, closed.rcvd.reason)

    async def leave(self, reason: str | None = None) -> None:
        """Close in an orderly way, having said why or not."""
        if reason is not None:
            await self.send("goodbye", {"reason": reason})
            await self.closed()
        await self.socket.close()

    def break_off(self) -> None:
        """Cut the link without a word."""
        self.socket.transport.abort()


@asynccontextmanager
async def connection(
    hub: HubProcess,
    path: str,
    *,
    token: str | None = None,
    subprotocols: list[str] | None = None,
    origin: str | None = None,
) -> AsyncIterator[Peer]:
    """A connection with nothing read from it yet. `token` goes into the Authorization header."""
    async with connect(
        hub.url.replace("http", "ws", 1) + path,
        additional_headers={} if token is None else {"Authorization": f"Bearer {token}"},
        subprotocols=None if subprotocols is None else [Subprotocol(each) for each in subprotocols],
        origin=None if origin is None else Origin(origin),
        ssl=hub.tls if hub.url.startswith("https") else None,
        proxy=None,
        open_timeout=20,
        close_timeout=10,
        ping_interval=None,
        max_size=None,
        max_queue=None,
    ) as socket:
        yield Peer(socket)


@asynccontextmanager
async def desktop(hub: HubProcess, desktop_id: str, user_id: str, **claims: Any) -> AsyncIterator[Peer]:
    """A desktop that was welcomed."""
    async with connection(hub, "/ws/desktop", token=hub.mint.desktop(desktop_id, user_id, **claims)) as peer:
        yield await welcomed(peer)


@asynccontextmanager
async def mobile(hub: HubProcess, user_id: str, **claims: Any) -> AsyncIterator[Peer]:
    """A phone that was welcomed."""
    async with connection(hub, "/ws/mobile", token=hub.mint.mobile(user_id, **claims)) as peer:
        yield await welcomed(peer)


async def welcomed(peer: Peer) -> Peer:
    first = await peer.next()
    assert first.type == "welcome", first.text
    peer.welcome = first.payload
    return peer


def new_name(kind: str) -> str:
    """A name that nobody else has, so that tests can share a hub."""
    return f"{kind}-{next(_numbers)}"
