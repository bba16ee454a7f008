"""A WebSocket transport on a real socket pair, and both ends of it in a test's hands."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from actors.closing import CloseReason
from actors.turns import Turns
from hub.transport import HIGH_WATER, LOW_WATER, WebSocketTransport
from tests.support.raw import Frame

WAIT_S = 5.0
_SMALL = 4096


class Listener:
    """A transport's client that remembers what it was told, and closes when it has to."""

    def __init__(self, deadline_s: float = 1.0) -> None:
        self.texts: list[str] = []
        self.binaries: list[bytes] = []
        self.told: list[str] = []
        self.transport: WebSocketTransport
        self.deadline_s = deadline_s
        self.bug: Exception | None = None
        self.closing_bug: Exception | None = None

    def receive(self, text: str) -> None:
        if self.bug is not None:
            raise self.bug
        self.texts.append(text)

    def receive_binary(self, body: bytes) -> None:
        self.binaries.append(body)

    def heard(self) -> None:
        self.told.append("heard")

    def write_stalled(self) -> None:
        self.told.append("stalled")

    def writable_again(self) -> None:
        self.told.append("writable")

    def peer_closed(self) -> None:
        self.told.append("peer_closed")

    def link_lost(self) -> None:
        self.told.append("link_lost")

    def close(self, reason: CloseReason, *, deadline_s: float | None = None) -> None:
        self.told.append(reason.label)
        if self.closing_bug is not None:
            raise self.closing_bug
        self.transport.close(reason, deadline_s=self.deadline_s if deadline_s is None else deadline_s)


class Line:
    """The hub's end, and the peer's end as a plain socket."""

    def __init__(self, hub: asyncio.Transport, peer: socket.socket, listener: Listener, max_bytes: int) -> None:
        self.hub = hub
        self.peer = peer
        self.listener = listener
        self.turns = Turns(asyncio.get_running_loop())
        self.socket = listener.transport = WebSocketTransport(hub, listener, max_bytes, self.turns)
        self._loop = asyncio.get_running_loop()
        self._unread = b""

    async def send(self, some: bytes) -> None:
        async with asyncio.timeout(WAIT_S):
            await self._loop.sock_sendall(self.peer, some)

    async def until(self, told: str) -> None:
        """Wait until the listener was told so."""
        async with asyncio.timeout(WAIT_S):
            while told not in self.listener.told:
                await asyncio.sleep(0.001)

    async def sync(self) -> None:
        """Wait until the hub has read all that was sent, which it shows by answering a ping."""
        await self.send(b"\x89\x84\0\0\0\0sync")
        while await self.frame() != Frame(0xA, b"sync"):
            pass

    async def frame(self) -> Frame:
        """The next frame of the hub."""
        start = await self._exactly(2)
        size = start[1]
        if size >= 126:
            size = int.from_bytes(await self._exactly(2 if size == 126 else 8))
        return Frame(start[0] & 0x0F, await self._exactly(size))

    async def rest(self) -> bytes:
        """All that comes until the hub hangs up."""
        async with asyncio.timeout(WAIT_S):
            while some := await self._loop.sock_recv(self.peer, 65536):
                self._unread += some
        return self._unread

    async def _exactly(self, size: int) -> bytes:
        async with asyncio.timeout(WAIT_S):
            while len(self._unread) < size:
                some = await self._loop.sock_recv(self.peer, 65536)
                assert some, f"the hub has hung up after {self._unread!r}"
                self._unread += some
        taken, self._unread = self._unread[:size], self._unread[size:]
        return taken


@asynccontextmanager
async def line(max_bytes: int = 100_000, *, start: bool = True, deadline_s: float = 1.0) -> AsyncIterator[Line]:
    """Connect both ends; the hub's has small buffers, so that it stalls soon."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.settimeout(0)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SMALL)
    hub, _ = await asyncio.get_running_loop().connect_accepted_socket(asyncio.Protocol, ours)
    assert isinstance(hub, asyncio.Transport)
    hub.set_write_buffer_limits(high=HIGH_WATER, low=LOW_WATER)
    made = Line(hub, theirs, Listener(deadline_s), max_bytes)
    try:
        if start:
            made.socket.read_on(b"")
        yield made
    finally:
        hub.abort()
        theirs.close()
        await asyncio.sleep(0)
