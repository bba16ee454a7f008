"""A client without manners: bytes on a TCP socket, for what no WebSocket library would do."""

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from tests.support.clients import WAIT_S, Close
from tests.support.hub_process import HubProcess

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_READ = 65536
_UPGRADE = {
    "Host": "hub",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Frame(NamedTuple):
    """A frame from the hub."""

    opcode: int
    body: bytes

    @property
    def close(self) -> Close:
        assert self.opcode == CLOSE, self
        return Close(struct.unpack("!H", self.body[:2])[0], self.body[2:].decode())


MASK = b"\x37\xfa\x21\x3d"
"""That of the examples in RFC 6455, section 5.7."""


def frame(opcode: int, body: bytes = b"", *, fin: bool = True, reserved: int = 0, mask: bytes | None = None) -> bytes:
    """One client frame. `mask`: by default always the same one, so that tests are named alike in every process."""
    key = MASK if mask is None else mask
    return frame_head(opcode, len(body), fin=fin, reserved=reserved) + key + _masked(body, key)


def frame_head(opcode: int, size: int, *, fin: bool = True, reserved: int = 0) -> bytes:
    """The head of a masked frame, without its mask."""
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    if size < 126:
        return bytes((first, 0x80 | size))
    if size < 1 << 16:
        return bytes((first, 0xFE)) + struct.pack("!H", size)
    return bytes((first, 0xFF)) + struct.pack("!Q", size)


def _masked(body: bytes, key: bytes) -> bytes:
    whole = key * (len(body) // 4 + 1)
    return (int.from_bytes(body) ^ int.from_bytes(whole[: len(body)])).to_bytes(len(body))


class RawClient:
    """One TCP connection to the hub."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._unread = b""

    @property
    def buffered(self) -> bytes:
        """What was received behind what was read; it counts as read now."""
        taken, self._unread = self._unread, b""
        return taken

    async def send(self, some: bytes, within_s: float = WAIT_S) -> None:
        async with asyncio.timeout(within_s):
            await self._loop.sock_sendall(self._link, some)

    async def send_for(self, seconds: float, some: bytes) -> int:
        """Send again and again, as fast as it is taken, until the hub hangs up; return how many bytes were taken."""
        sent = 0
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(seconds):
                while True:
                    await self._loop.sock_sendall(self._link, some)
                    sent += len(some)
                    await asyncio.sleep(0)  # What is taken at once would keep everybody else waiting.
        return sent

    async def read(self, within_s: float = WAIT_S) -> bytes:
        """Some bytes; none when the hub has hung up."""
        async with asyncio.timeout(within_s):
            try:
                return await self._loop.sock_recv(self._link, _READ)
            except ConnectionError:
                return b""

    async def rest(self, within_s: float = WAIT_S) -> bytes:
        """All that comes until the hub hangs up."""
        deadline = time.monotonic() + within_s
        came = self.buffered
        while some := await self.read(deadline - time.monotonic()):
            came += some
        return came

    async def upgrade(self, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """Ask for the upgrade, and return the head of the answer."""
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {text}" for name, text in {**_UPGRADE, **(headers or {})}.items())]
        await self.send("\r\n".join([*lines, "", ""]).encode())
        return await self.head()

    async def head(self) -> bytes:
        """The head of an HTTP answer."""
        while b"\r\n\r\n" not in self._unread:
            some = await self.read()
            assert some, f"the hub has hung up after {self._unread!r}"
            self._unread += some
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        return head

    async def head_if_any(self) -> bytes:
        """The head of an HTTP answer, or nothing if the hub has hung up without one."""
        while b"\r\n\r\n" not in self._unread:
            some = await self.read()
            if not some:
                return b""
            self._unread += some
        return await self.head()

    async def frame(self, within_s: float = WAIT_S) -> Frame:
        """The next frame."""
        async with asyncio.timeout(within_s):
            start = await self._exactly(2)
            size = start[1]
            if size >= 126:
                size = int.from_bytes(await self._exactly(2 if size == 126 else 8))
            return Frame(start[0] & 0x0F, await self._exactly(size))

    async def say(self, kind: str, **payload: object) -> None:
        """Send a message of the contract."""
        text = json.dumps({"type": kind, "payload": payload, "timestamp": 1})
        await self.send(frame(TEXT, text.encode()))

    async def expect(self, kind: str, within_s: float = WAIT_S) -> dict[str, object]:
        """The next message of that type; what comes before it goes by."""
        deadline = time.monotonic() + within_s
        while True:
            came = await self.frame(deadline - time.monotonic())
            if came.opcode == TEXT and json.loads(came.body)["type"] == kind:
                whole: dict[str, object] = json.loads(came.body)
                return whole

    async def close_frame(self, within_s: float = WAIT_S) -> Close:
        """The hub's close; what comes before it goes by."""
        deadline = time.monotonic() + within_s
        while (came := await self.frame(deadline - time.monotonic())).opcode != CLOSE:
            pass
        return came.close

    async def hung_up(self, within_s: float = WAIT_S) -> float:
        """Wait until the hub has closed the socket, and return how long that took in seconds."""
        begun = time.monotonic()
        await self.rest(within_s)
        return time.monotonic() - begun

    async def _exactly(self, size: int) -> bytes:
        while len(self._unread) < size:
            some = await self.read()
            if not some:
                raise ConnectionResetError(f"the hub has hung up after {self._unread!r}")
            self._unread += some
        taken, self._unread = self._unread[:size], self._unread[size:]
        return taken


@asynccontextmanager
async def raw_client(port: int, *, receive_buffer: int | None = None) -> AsyncIterator[RawClient]:
    """A TCP connection. `receive_buffer`: SO_RCVBUF, for a client that takes little before it has read it."""
    link = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    link.setblocking(False)  # noqa: FBT003 - positional only
    try:
        if receive_buffer is not None:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        async with asyncio.timeout(WAIT_S):
            await asyncio.get_running_loop().sock_connect(link, ("127.0.0.1", port))
        yield RawClient(link)
    finally:
        link.close()


@asynccontextmanager
async def raw_desktop(
    hub: HubProcess, desktop_id: str, user_id: str, *, receive_buffer: int | None = None
) -> AsyncIterator[RawClient]:
    """An upgraded desktop whose `welcome` was read."""
    token = hub.mint.desktop(desktop_id, user_id)
    async with _upgraded(hub, "/ws/desktop", token, receive_buffer) as client:
        yield client


@asynccontextmanager
async def raw_mobile(hub: HubProcess, user_id: str, *, receive_buffer: int | None = None) -> AsyncIterator[RawClient]:
    """An upgraded phone whose `welcome` was read."""
    async with _upgraded(hub, "/ws/mobile", hub.mint.mobile(user_id), receive_buffer) as client:
        yield client


@asynccontextmanager
async def _upgraded(hub: HubProcess, path: str, token: str, receive_buffer: int | None) -> AsyncIterator[RawClient]:
    async with raw_client(hub.port, receive_buffer=receive_buffer) as client:
        head = await client.upgrade(path, {"Authorization": f"Bearer {token}"})
        assert head.startswith(b"HTTP/1.1 101 "), head
        await client.expect("welcome")
        yield client
