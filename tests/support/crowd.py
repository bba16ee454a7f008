"""A stream at full rate, many phones that read it and note what is missing and how long it took, some that sleep."""

import asyncio
import json
import re
import time
from contextlib import suppress
from typing import cast

from tests.support.clients import WAIT_S, Peer
from tests.support.hub_process import HubProcess
from tests.support.raw import TEXT, RawClient

_PIECE = re.compile(rb'"n":(\d+),"at":(\d+)')
_UPGRADE = (
    "GET /ws/mobile HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {token}\r\n\r\n"
)


PIECES_AN_ANSWER = 50


class Speaker:
    """A desktop that streams numbered pieces, and says the whole behind every fiftieth.

    Attributes:
        pieces: How many it has said.
        answers: How many whole answers.
    """

    def __init__(self, agent: Peer, rate: float, text: str) -> None:
        self.pieces = 0
        self.answers = 0
        self._agent = agent
        self._rate = rate
        self._text = text
        self._stopped = False

    async def speak(self) -> None:
        """So many pieces a second, until `stop`."""
        begun = time.monotonic()
        while not self._stopped:
            await asyncio.sleep(max(0.0, begun + self.pieces / self._rate - time.monotonic()))
            payload = f'{{"n":{self.pieces},"at":{time.monotonic_ns()},"text":"{self._text}"}}'
            await self._agent.socket.send(f'{{"type":"agent:stream","payload":{payload},"timestamp":1}}')
            self.pieces += 1
            if self.pieces % PIECES_AN_ANSWER == 0:
                await self._agent.send("agent:response", {"answer": self.answers})
                self.answers += 1

    def stop(self) -> None:
        self._stopped = True


class Sleeper:
    """A phone that stops reading now and then.

    Attributes:
        at: The offset of the last message, before anything was left out.
        answers: The whole answers that it got.
        gaps: How often it was told that something was left out.
    """

    def __init__(self, client: RawClient) -> None:
        self.at = "0-0"
        self.answers: list[int] = []
        self.gaps = 0
        self._client = client
        self._awake = asyncio.Event()
        self._awake.set()

    async def read(self) -> None:
        """Read while it is awake, until the hub hangs up or it is cancelled."""
        with suppress(ConnectionResetError):
            while await self._awake.wait():
                frame = await self._client.frame(within_s=60)
                if frame.opcode == TEXT:
                    self._take(frame.body)

    def sleep(self) -> None:
        self._awake.clear()

    def wake(self) -> None:
        self._awake.set()

    def _take(self, body: bytes) -> None:
        message = json.loads(body)
        if message["type"] == "resumed":
            self.gaps += 1
        elif "offset" in message and not self.gaps and message["type"].startswith("agent:"):
            self.at = message["offset"]
        if message["type"] == "agent:response":
            self.answers.append(message["payload"]["answer"])


class Listener(asyncio.Protocol):
    """One phone.

    Attributes:
        heard: How many pieces came, each the next one.
        wrong: What came instead of the next piece.
        delays_ms: How long each took from the desktop's process to this one.
        open: Set when it was welcomed.
    """

    def __init__(self, token: str) -> None:
        self.heard = 0
        self.wrong: list[str] = []
        self.delays_ms: list[float] = []
        self.open = asyncio.Event()
        self.transport: asyncio.Transport
        self._token = token
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self.transport.write(_UPGRADE.format(token=self._token).encode())

    def data_received(self, some: bytes) -> None:
        unread, now = self._unread + some, time.monotonic_ns()
        if not self.open.is_set():
            head, upgraded, unread = unread.partition(b"\r\n\r\n")
            if not upgraded:
                self._unread = head
                return
            self.open.set()
        start = 0
        while (frame := _frame_at(unread, start)) is not None:
            body, start = frame
            self._hear(body, now)
        self._unread = unread[start:]

    def connection_lost(self, error: Exception | None) -> None:
        self.open.set()
        self.wrong.append(f"the link ended: {error!r}")

    def _hear(self, body: bytes, now: int) -> None:
        found = _PIECE.search(body, 0, 400)
        if found is not None:
            if int(found[1]) != self.heard:
                self.wrong.append(f"piece {int(found[1])} behind {self.heard} pieces")
            self.heard = int(found[1]) + 1
            self.delays_ms.append((now - int(found[2])) / 1e6)
        elif b'"resumed"' in body[:200]:
            self.wrong.append("told of a gap")


def _frame_at(some: bytes, start: int) -> tuple[bytes, int] | None:
    """The body of a frame from the hub, and where the next one begins; None: it isn't all there."""
    if len(some) < start + 2:
        return None
    size, body = some[start + 1], start + 2
    if size > 125:
        body += 2 if size == 126 else 8
        size = int.from_bytes(some[start + 2 : body])
    end = body + size
    return (some[body:end], end) if len(some) >= end and body <= len(some) else None


async def crowd(hub: HubProcess, user_id: str, many: int) -> list[Listener]:
    """So many phones of one user, welcomed."""
    loop = asyncio.get_running_loop()
    listeners = []
    for _ in range(many):
        _, listener = await loop.create_connection(lambda: Listener(hub.mint.mobile(user_id)), "127.0.0.1", hub.port)
        listeners.append(listener)
    async with asyncio.timeout(WAIT_S):
        for each in listeners:
            await each.open.wait()
    return listeners
