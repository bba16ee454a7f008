"""An echo endpoint of the hub's own transport: the same upgrade, parser and frames, with raised size limits."""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from struct import pack
from typing import Any
from unittest.mock import patch

from sanic import HTTPResponse, Request, Sanic

from actors.closing import CloseReason
from actors.turns import Turns
from hub.frames import text_frame
from hub.transport import WebSocketTransport
from hub.upgrade import Door, HubProtocol, protocol_of

MAX_BYTES = 16 << 20
MAX_FRAGMENTS = 1 << 20
"""The cases of group 9 send 16 MiB, and 4 MiB in 64 bytes each."""

_CLOSE_S = 2.0


class Echo:
    """Sends back what comes, as it came."""

    def __init__(self) -> None:
        self._transport: WebSocketTransport

    def start(self, transport: WebSocketTransport) -> None:
        """Nobody is greeted here."""
        self._transport = transport

    def receive(self, text: str) -> None:
        """Send the text back."""
        self._transport.write([text_frame(text.encode())])

    def receive_binary(self, body: bytes) -> None:
        """Send the bytes back."""
        self._transport.write(_binary_frames(body))

    def close(self, reason: CloseReason, *, deadline_s: float | None = None) -> None:
        """The transport found a fault."""
        self._transport.close(reason, deadline_s=_CLOSE_S if deadline_s is None else deadline_s)

    def _nothing(self) -> None:
        """An echo has nothing to do about it."""

    heard = write_stalled = writable_again = peer_closed = link_lost = _nothing


def _binary_frames(body: bytes) -> Sequence[bytes]:
    """The hub itself never sends any."""
    size = len(body)
    if size < 126:
        return [bytes((0x82, size)), body]
    return [b"\x82\x7e" + pack("!H", size) if size < 1 << 16 else b"\x82\x7f" + pack("!Q", size), body]


@asynccontextmanager
async def echo_endpoint() -> AsyncIterator[int]:
    """Serve on a free port of this machine, and yield it."""
    app: Sanic[Any, Any] = Sanic(f"echo-{secrets.token_hex(4)}", configure_logging=False)
    app.config.update({"ACCESS_LOG": False})
    app.ctx.door = Door(1000, 0, 10.0, lambda: 0)
    turns = Turns(asyncio.get_running_loop())

    async def echo(request: Request, **_: str) -> HTTPResponse | None:
        client = Echo()
        protocol_of(request).upgrade(request.headers["sec-websocket-key"], None, client, MAX_BYTES, turns, client.start)
        return None

    echo.is_websocket = True  # type: ignore[attr-defined]
    app.add_route(echo, "/", methods=["GET"])
    app.add_route(echo, "/<path:path>", methods=["GET"], name="any")
    with socket.create_server(("127.0.0.1", 0)) as listener, patch("hub.transport.MAX_FRAGMENTS", MAX_FRAGMENTS):
        listener.setblocking(False)  # noqa: FBT003 - positional only
        server: Any = await app.create_server(sock=listener, protocol=HubProtocol, return_asyncio_server=True)
        await server.startup()
        await server.start_serving()
        yield listener.getsockname()[1]
        server.server.close()
