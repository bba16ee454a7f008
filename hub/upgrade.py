"""Sanic's HTTP protocol, extended by what a WebSocket hub needs: a deadline, a door, and a way out (ADR 0001).

Until the upgrade Sanic reads the request, routes it and answers it. `upgrade` then takes the socket away from Sanic,
which forgets the connection. Sanic's version is pinned; tests/unit/hub/test_upgrade.py fails when what is used of its
inside changes: `HttpProtocol`'s attributes `connections`, `recv_buffer`, `_http` and `close`, and that a handler with
the attribute `is_websocket` may return without a response.
"""

import asyncio
import logging
import select
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha1
from typing import Any, Protocol, cast

from sanic import Request
from sanic.http import Stage
from sanic.server import HttpProtocol

from actors.closing import CloseReason
from actors.turns import Turns
from hub.transport import HIGH_WATER, LOW_WATER, Client, WebSocketTransport

log = logging.getLogger("hub.upgrade")

_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_TICK_S = 0.01


class Exchange(Protocol):
    """Where connections change hands between the workers on an address (`hub.workers.balance`)."""

    @property
    def held(self) -> int:
        """How many connections are held back: here, with no protocol."""

    def open(self, sockets: Callable[[], int], protocol: Callable[[], "HubProtocol"]) -> None:
        """Begin: `sockets` returns how many have a protocol, `protocol` makes one for a connection that stays here."""

    def close(self) -> None:
        """Neither take connections from now on nor pass any on."""

    def entered(self) -> None:
        """Hear that a protocol that was made for it has its connection."""

    def takes(self, descriptor: int) -> bool:
        """Say whether a connection that was just accepted is taken over: then the caller is to close its own copy."""


class Door:
    """How many sockets may be open, and how long a stranger may stand in it.

    Args:
        max_sockets: With this many open no more are upgraded (503); HTTP is still answered, so that a full hub isn't
            taken for a dead one.
        spare_sockets: Beyond this many more nobody is answered, so that file descriptors never run out.
        handshake_s: From the accepted socket to the end of the request, in all.
        upgraded: Returns how many sockets were upgraded and are still open.
    """

    def __init__(self, max_sockets: int, spare_sockets: int, handshake_s: float, upgraded: Callable[[], int]) -> None:
        self.max_sockets = max_sockets
        self.spare_sockets = spare_sockets
        self.handshake_s = handshake_s
        self.upgraded = upgraded
        self.turned_away = 0
        """Clients who weren't answered."""
        self.exchange: Exchange | None = None
        """Where there are other workers."""


class HubProtocol(HttpProtocol):
    """One accepted socket, up to its upgrade."""

    __slots__ = ("_began", "_deadline", "_link", "_outside", "_stays", "_upgraded")

    _link: asyncio.Transport

    def __init__(self, *, stays: bool = False, **sanics: Any) -> None:  # noqa: ANN401 - what Sanic's takes
        """Make one for a socket that is about to be opened. `stays`: it isn't passed on to another worker."""
        super().__init__(**sanics)
        self._stays = stays

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came: let it in, pass it on, or hang up."""
        door: Door = self.app.ctx.door
        self._link = self.transport = cast("asyncio.Transport", transport)
        self._upgraded = False
        self._began: float = self.loop.time()
        self._deadline: asyncio.TimerHandle | None = None
        if self._stays and door.exchange is not None:
            door.exchange.entered()
        self._outside = self._sockets >= door.max_sockets + door.spare_sockets
        if self._outside:
            door.turned_away += 1
        elif door.exchange is not None and not self._stays:
            # Nothing has been read yet; reading begins after this call.
            self._outside = door.exchange.takes(self._link.get_extra_info("socket").fileno())
        if self._outside:
            self._link.abort()
            return
        self._deadline = self.loop.call_later(door.handshake_s, self._too_late)
        super().connection_made(transport)

    @property
    def crowded(self) -> bool:
        """Whether there is no room for one more WebSocket; this connection counts."""
        return bool(self._sockets > self.app.ctx.door.max_sockets)

    @property
    def _sockets(self) -> int:
        door: Door = self.app.ctx.door
        return len(self.connections) + door.upgraded() + (0 if door.exchange is None else door.exchange.held)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request came."""
        if self._outside:
            return
        if self._served and self.http is not None and self.http.stage is Stage.IDLE:
            self._began = self.loop.time()
            if self._deadline is None:
                self._deadline = self.loop.call_later(self.app.ctx.door.handshake_s, self._too_late)
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone before it was upgraded."""
        self._on_time()
        if not self._outside:
            super().connection_lost(exc)

    def abort(self) -> None:
        """Cut the link. Sanic's own also forgets the transport, over which its request then stumbles."""
        self._link.abort()

    @property
    def hung_up(self) -> bool:
        """Whether the client is known to have closed, though its request is only read now.

        Then it has given up, perhaps connected to another node; it must not be taken for somebody who came just now.
        """
        poll = select.poll()
        poll.register(self._link.get_extra_info("socket").fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

    def close(self, timeout: float | None = None) -> None:
        """Sanic is done with the connection; after an upgrade it isn't Sanic's to close."""
        if self._upgraded:
            timer = cast("asyncio.TimerHandle | None", self._callback_check_timeouts)
            if timer is not None:
                timer.cancel()
            return
        super().close(timeout)

    def upgrade(
        self,
        key: str,
        subprotocol: str | None,
        client: Client,
        max_bytes: int,
        turns: Turns,
        start: Callable[[WebSocketTransport], object],
    ) -> None:
        """Answer 101 and give the socket to a WebSocket transport.

        Args:
            key: The request's `Sec-WebSocket-Key`.
            subprotocol: What to answer as `Sec-WebSocket-Protocol`, if anything.
            client: Who is told what happens on the socket.
            max_bytes: The longest message that is taken.
            turns: Has its turns run at the end of each read.
            start: Called with the transport before the first frame is read.
        """
        transport = self._link
        transport.write(_accepted(key, subprotocol))
        self._on_time()
        self._upgraded = True
        self.connections.discard(self)
        transport.set_write_buffer_limits(high=HIGH_WATER, low=LOW_WATER)
        socket = WebSocketTransport(transport, client, max_bytes, turns)
        try:
            turns.reading = True  # So that the welcome leaves with the 101.
            start(socket)
            turns.run()
            socket.read_on(bytes(self.recv_buffer))
            if socket.writable:
                transport.resume_reading()  # Sanic pauses when much arrives before the handler is done.
        except Exception:
            log.exception("a bug in a connection: it is closed with 1011")
            socket.fail(CloseReason.HUB_FAULT)
            turns.run()

    def _on_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    @property
    def _served(self) -> bool:
        """Whether a request was read on this connection before."""
        return bool(self.state["requests_count"])

    def _too_late(self) -> None:
        """The request's time is up; each byte would start Sanic's own time anew."""
        self._deadline = None
        http = self.http
        if http is not None:
            if http.stage is Stage.RESPONSE or (http.stage is Stage.HANDLER and not http.request_body):
                return  # The request is here; what takes so long is the answer.
            if http.stage is Stage.IDLE and self._served:
                return  # Between two requests: Sanic's keep-alive time.
            left = self._began + self.app.ctx.door.handshake_s - self.loop.time()
            if left > _TICK_S:
                self._deadline = self.loop.call_later(left, self._too_late)
                return
        self._link.abort()


def protocol_of(request: Request) -> HubProtocol:
    """Return the protocol that a request came in through."""
    protocol = request.transport.get_protocol()
    assert isinstance(protocol, HubProtocol)  # noqa: S101 - app.py serves with no other one
    return protocol


def _accepted(key: str, subprotocol: str | None) -> bytes:
    accept = b64encode(sha1(f"{key}{_MAGIC}".encode(), usedforsecurity=False).digest()).decode()
    chosen = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n{chosen}\r\n"
    ).encode()
