"""A desktop's and a phone's end of the line, on the `websockets` library: not the one that the hub parses with."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Mapping
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
    def message_id(self) -> str | None:
        message_id: str | None = self.whole.get("message_id")
        return message_id

    @property
    def offset(self) -> tuple[int, int]:
        """Where it stands in what its desktop says: epoch and number."""
        epoch, seq = self.offset_text.split("-")
        return int(epoch), int(seq)

    @property
    def offset_text(self) -> str:
        """The same as it stood on the wire."""
        return str(self.whole.get("offset") or self.payload["offset"])

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
        return (await self.up_to(kind, within_s, **payload))[-1]

    async def up_to(self, kind: str, within_s: float = WAIT_S, **payload: Any) -> list[Message]:
        """All messages up to the next one of that type with these members in its payload, and that one."""
        came: list[Message] = []
        deadline = time.monotonic() + within_s
        while True:
            try:
                came.append(await self.next(deadline - time.monotonic()))
            except (TimeoutError, ConnectionClosed) as error:
                went_by = [message.text[:300] for message in came]
                raise AssertionError(f"no {kind} {payload} came ({error!r}), but: {went_by}") from error
            if came[-1].type == kind and payload.items() <= came[-1].payload.items():
                return came

    async def receipt(self, message_id: str) -> str:
        """What the next receipt for that message says."""
        return str((await self.expect("receipt", message_id=message_id)).payload["status"])

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
async def desktop(
    hub: HubProcess, desktop_id: str, user_id: str, *, acks: bool = False, **claims: Any
) -> AsyncIterator[Peer]:
    """A desktop that was welcomed. `acks`: it says `ack` for what it has taken."""
    path = "/ws/desktop?ack=1" if acks else "/ws/desktop"
    async with connection(hub, path, token=hub.mint.desktop(desktop_id, user_id, **claims)) as peer:
        yield await welcomed(peer)


@asynccontextmanager
async def mobile(
    hub: HubProcess, user_id: str, *, resume: Mapping[str, str] | None = None, **claims: Any
) -> AsyncIterator[Peer]:
    """A phone that was welcomed. `resume`: up to which offset it has seen which desktop."""
    places = ",".join(f"{desktop_id}:{offset}" for desktop_id, offset in (resume or {}).items())
    path = f"/ws/mobile?resume={places}" if places else "/ws/mobile"
    async with connection(hub, path, token=hub.mint.mobile(user_id, **claims)) as peer:
        yield await welcomed(peer)


async def absent_desktop(hub: HubProcess, user_id: str, phone: Peer) -> str:
    """A desktop of this user that was there once; return its id. The phone has been told that it is away."""
    desktop_id = new_name("d")
    async with desktop(hub, desktop_id, user_id):
        pass
    await phone.expect("desktop:offline", desktop_id=desktop_id)
    return desktop_id


async def say(phone: Peer, desktop_id: str, message_id: str, text: str = "hello", **members: Any) -> None:
    """Send a message to a desktop."""
    await phone.send("user:message", {"desktop_id": desktop_id, "text": text}, message_id=message_id, **members)


async def handed_over(agent: Peer, phone: Peer, desktop_id: str) -> list[Message]:
    """The phones' messages that the desktop got up to now: all that stands before one that is sent now."""
    last = new_name("last")
    await say(phone, desktop_id, last, text=last)
    return [
        message
        for message in await agent.up_to("user:message", text=last)
        if message.type in {"user:message", "session:create"} and message.message_id != last
    ]


async def welcomed(peer: Peer) -> Peer:
    first = await peer.next()
    assert first.type == "welcome", first.text
    peer.welcome = first.payload
    return peer


def new_name(kind: str) -> str:
    """A name that nobody else has, so that tests can share a hub."""
    return f"{kind}-{next(_numbers)}"
