"""One WebSocket connection to the hub, from the token to the close: frames to messages, failures to a `Parting`."""

import asyncio
import json
import logging
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.http11 import Response

from hub.client.closing import LOST, Parting
from hub.client.errors import NotConnected, TooBig
from hub.client.events import Welcome
from hub.client.message import Message, NotAMessage, decode, encode
from hub.client.world import World

log = logging.getLogger(__name__)

# At DEBUG, websockets writes request headers to its log, and so the token.
_frame_log = logging.getLogger("hub.client.frames")
_frame_log.setLevel(logging.INFO)

_MAX_INCOMING_BYTES = 64 * 1024 * 1024
_CLOSE_TIMEOUT_S = 2.0

_CONNECT_FAULTS = (OSError, TimeoutError, InvalidHandshake, ConnectionClosed)


class Unconnected(Exception):  # noqa: N818 - it names what happened
    """The connection didn't come about; `parting` says why."""

    def __init__(self, parting: Parting) -> None:
        super().__init__(parting.reason)
        self.parting = parting


class Link:
    """A connection that the hub has welcomed."""

    __slots__ = ("_heartbeat_ms", "_retry_after_s", "_socket", "_world", "welcome")

    def __init__(self, socket: ClientConnection, welcome: Welcome, world: World) -> None:
        self._socket = socket
        self._world = world
        self._heartbeat_ms = welcome.heartbeat_ms
        self._retry_after_s: float | None = None
        self.welcome = welcome

    async def send(self, envelope: bytes) -> None:
        """Send one encoded envelope.

        Raises:
            NotConnected: The link is broken; the message may or may not have arrived.
            TooBig: It is greater than the hub takes.
        """
        if len(envelope) > self.welcome.max_bytes:
            raise TooBig(f"{len(envelope)} bytes; the hub takes {self.welcome.max_bytes} at most")
        try:
            await self._socket.send(envelope, text=True)
        except ConnectionClosed as gone:
            raise NotConnected("the connection broke while sending") from gone

    async def messages(self) -> AsyncIterator[Message]:
        """Yield what comes until the connection closes, also after a `goodbye`; `heartbeat:ack` is kept back."""
        try:
            async for text in self._socket:
                message = _decoded(text)
                if message is not None and not self._noticed(message):
                    yield message
        except ConnectionClosed:
            log.debug("closed with %s", self._socket.close_code)

    def parting(self) -> Parting:
        """Say how it ended."""
        code = self._socket.close_code
        return Parting(LOST if code is None else code, self._socket.close_reason or "", self._retry_after_s)

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Send `heartbeat` as often as the hub asks for, inside the `async with`."""
        beats = asyncio.create_task(self._beat(), name="hub-heartbeat")
        try:
            yield
        finally:
            beats.cancel()
            await asyncio.gather(beats, return_exceptions=True)

    async def close(self) -> None:
        """Close with 1000; returns within 2 s even if the hub doesn't answer."""
        await self._socket.close()

    def abort(self) -> None:
        """Cut the connection without a word."""
        self._socket.transport.abort()

    async def _beat(self) -> None:
        while True:
            await self._world.sleep(self._heartbeat_ms / 1000)
            try:
                await self.send(encode("heartbeat", {}, self._world.wall_ms()))
            except NotConnected:
                return  # whoever reads learns of the close, and says it

    def _noticed(self, message: Message) -> bool:
        """Keep what the link needs to know; True if nobody else does."""
        match message:
            case Message(type="heartbeat:ack", payload={"next_ms": int(next_ms)}) if next_ms > 0:
                self._heartbeat_ms = next_ms
            case Message(type="goodbye", payload={"retry_after_ms": int(wait_ms)}):
                self._retry_after_s = wait_ms / 1000
        return message.type == "heartbeat:ack"


async def open_link(url: str, token: str, world: World, timeout_s: float) -> Link:
    """Connect, and wait for `welcome`.

    Raises:
        Unconnected: The hub refused, or nobody answered in `timeout_s`.
    """
    try:
        async with asyncio.timeout(timeout_s):
            socket = await connect(
                url,
                additional_headers={"Authorization": f"Bearer {token}"},
                compression=None,
                proxy=None if _is_loopback(url) else True,
                open_timeout=None,
                close_timeout=_CLOSE_TIMEOUT_S,
                max_size=_MAX_INCOMING_BYTES,
                logger=_frame_log,
            )
    except _CONNECT_FAULTS as fault:
        raise Unconnected(_refusal(fault)) from fault
    return Link(socket, await _welcomed(socket, timeout_s), world)


async def _welcomed(socket: ClientConnection, timeout_s: float) -> Welcome:
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                message = _decoded(await socket.recv())
                if message is not None and message.type == "welcome":
                    return Welcome.of(message.payload)
    except ConnectionClosed as gone:
        raise Unconnected(Parting(socket.close_code or LOST, socket.close_reason or "")) from gone
    except BaseException as fault:
        socket.transport.abort()
        if isinstance(fault, TimeoutError):
            raise Unconnected(Parting(LOST, f"no welcome in {timeout_s:g} s: is this a Tether Hub?")) from fault
        raise


def _decoded(text: str | bytes) -> Message | None:
    try:
        return decode(text)
    except NotAMessage as fault:
        log.warning("skipped what is no message: %s", fault)
        return None


def _refusal(fault: BaseException) -> Parting:
    match fault:
        case InvalidStatus(response=response):
            wait = response.headers.get("Retry-After", "")
            return Parting(response.status_code, _problem(response), float(wait) if wait.isdecimal() else None)
        case TimeoutError():
            return Parting(LOST, "nobody answered in time")
        case OSError(errno=int(number)) if number > 0 and not isinstance(fault, ssl.SSLError):
            return Parting(LOST, f"no connection: {os.strerror(number)}")
        case _:
            return Parting(LOST, f"no connection: {fault}")


def _problem(response: Response) -> str:
    """Return the `code` of an application/problem+json body, else the status in words."""
    plain = f"HTTP {response.status_code} {response.reason_phrase}"
    try:
        problem = json.loads(response.body or b"")
    except ValueError:
        return plain
    return str(problem.get("code", plain)) if isinstance(problem, dict) else plain


def _is_loopback(url: str) -> bool:
    """Tell whether `url` is on this machine, where a proxy from the environment has no business."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
