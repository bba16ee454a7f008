"""One client connection of the load generator, and how thousands of them are opened."""

import contextlib
import json
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from tests.bench.frames import CLOSE, PING, PONG, BrokenStreamError, FrameReader, client_frame
from tests.bench.targets import HOST

_IN_FLIGHT = 64
# More than the window of a pair; large buffers would be mapped and unmapped at every call.
_READ_BYTES = 16_384
_OPEN_LIMIT_S = 30.0
_FATAL_TYPES = {"error", "goodbye"}


class LinkLostError(Exception):
    """A connection was refused, closed, or told an error, when none of this may happen."""


class Door(NamedTuple):
    """Where a client goes: its name for error texts, the request path, extra headers with their line ends."""

    name: str
    path: str
    headers: str


class Link:
    """A WebSocket client that reads what comes, answers pings, and takes nothing badly meant in silence."""

    __slots__ = ("_reader", "_recv", "name", "send", "socket")

    def __init__(self, name: str) -> None:
        self.name = name
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send: Callable[[bytes], int] = self.socket.send
        self._recv = self.socket.recv
        self._reader = FrameReader()

    def start(self, port: int) -> None:
        """Begins to connect; when the socket is writable, that is done."""
        with contextlib.suppress(BlockingIOError):
            self.socket.connect((HOST, port))

    def messages(self) -> list[bytes]:
        """The text messages that have come in; to be called when the socket is readable."""
        chunk = self._recv(_READ_BYTES)
        if not chunk:
            raise LinkLostError(f"{self.name}: the server has hung up")
        return self.take(chunk)

    def take(self, chunk: bytes) -> list[bytes]:
        """The text messages that these bytes complete."""
        messages = self._reader.feed(chunk)
        if self._reader.control:
            self._answer_control()
        return messages

    def marked(self, mark: bytes) -> list[bytes]:
        """As `messages`, but only those with the mark; an `error` or a `goodbye` among the others raises."""
        messages = self.messages()
        for message in messages:
            if mark not in message:
                return [each for each in messages if mark in each or check_harmless(self.name, each)]
        return messages

    def shake_hands(self, chunk: bytes) -> bytes | None:
        """What follows the server's answer to the upgrade; None while that is not whole."""
        head, end, rest = chunk.partition(b"\r\n\r\n")
        if not end:
            return None
        if not head.startswith(b"HTTP/1.1 101"):
            raise LinkLostError(f"{self.name}: refused: {chunk[:400].decode(errors='replace')}")
        return rest

    def _answer_control(self) -> None:
        for opcode, payload in self._reader.control:
            if opcode == CLOSE:
                raise LinkLostError(f"{self.name}: closed with {int.from_bytes(payload[:2], 'big')} {payload[2:]!r}")
            if opcode == PING:
                self.send(client_frame(payload, PONG))
        self._reader.control.clear()


def check_harmless(name: str, message: bytes) -> bool:
    """Raises for a message that says that something went wrong; False, for use in filters, for any other."""
    if json.loads(message).get("type") in _FATAL_TYPES:
        raise LinkLostError(f"{name}: {message.decode()}")
    return False


def upgrade_request(port: int, door: Door) -> bytes:
    """What a client says first at a door."""
    return (
        f"GET {door.path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{door.headers}\r\n"
    ).encode()


IsIn: TypeAlias = Callable[[Link, Sequence[bytes]], bool]
"""Whether a link that got these messages is where it wants to be; asked after the upgrade, and with all that comes."""


def upgraded(_link: Link, _messages: Sequence[bytes]) -> bool:
    """In at once: for servers that don't greet."""
    return True


def welcomed(link: Link, messages: Sequence[bytes]) -> bool:
    """In with `welcome`, which has to come first."""
    if messages and b'"welcome"' not in messages[0]:
        raise BrokenStreamError(f"{link.name}: greeted with {messages[0]!r} instead of welcome")
    return bool(messages)


class Opener:
    """Opens links, so many at a time, and counts each as open when it `is_in`."""

    def __init__(self, port: int, is_in: IsIn, at_once: int = _IN_FLIGHT, limit_s: float = _OPEN_LIMIT_S) -> None:
        self._port = port
        self._is_in = is_in
        self._at_once = at_once
        self._limit_s = limit_s
        self._poller = select.epoll()
        self._pending: dict[int, tuple[Link, bytes]] = {}
        self._received: dict[int, bytes | None] = {}

    def open(self, doors: Iterable[Door]) -> list[Link]:
        """Opens one link for each door, in this order."""
        waiting = iter(doors)
        links: list[Link] = []
        deadline = time.monotonic() + self._limit_s
        try:
            while self._fill(waiting, links):
                self._turn(deadline)
        except BaseException:
            close_all(links)
            raise
        finally:
            self._poller.close()
        return links

    def _turn(self, deadline: float) -> None:
        for descriptor, events in self._poller.poll(1.0):
            self._step(descriptor, events)
        if time.monotonic() > deadline:
            raise LinkLostError(f"{len(self._pending)} clients are not in within {self._limit_s:.0f} s")

    def _fill(self, waiting: Iterator[Door], links: list[Link]) -> bool:
        while len(self._pending) < self._at_once:
            following = next(waiting, None)
            if following is None:
                break
            links.append(self._start(following))
        return bool(self._pending)

    def _start(self, door: Door) -> Link:
        link = Link(door.name)
        link.start(self._port)
        self._pending[link.socket.fileno()] = (link, upgrade_request(self._port, door))
        self._received[link.socket.fileno()] = b""
        self._poller.register(link.socket, select.EPOLLOUT)
        return link

    def _step(self, descriptor: int, events: int) -> None:
        link, request = self._pending[descriptor]
        if events & select.EPOLLIN:
            self._read(descriptor, link)
        elif events & (select.EPOLLERR | select.EPOLLHUP):
            raise LinkLostError(f"{link.name}: the connection failed")
        else:
            link.send(request)
            self._poller.modify(descriptor, select.EPOLLIN)

    def _read(self, descriptor: int, link: Link) -> None:
        earlier = self._received[descriptor]
        if earlier is None:
            messages = link.messages()
        else:
            chunk = link.socket.recv(_READ_BYTES)
            if not chunk:
                raise LinkLostError(f"{link.name}: hung up during the handshake")
            rest = link.shake_hands(earlier + chunk)
            self._received[descriptor] = None if rest is not None else earlier + chunk
            messages = link.take(rest) if rest else []
        if self._received[descriptor] is None and self._is_in(link, messages):
            self._poller.unregister(descriptor)
            del self._pending[descriptor], self._received[descriptor]


def close_all(links: Iterable[Link]) -> None:
    """Closes the sockets, without a close handshake."""
    for link in links:
        link.socket.close()
