"""Clients that come back when their connection is lost, after the delays that the hub's own client waits."""

import heapq
import random
import re
import select
import time
from collections import Counter
from collections.abc import Sequence
from itertools import count

from hub.client.backoff import Backoff
from tests.bench.links import Door, Link, LinkLostError, upgrade_request
from tests.bench.workers import Seats

_READ_BYTES = 16_384
_TRY_S = 10.0
"""So long a client waits for `welcome` before it tries again."""
_MOST_EVENTS = 256
CUT = "cut"
_NO_WELCOME = "no welcome"
_CLOSED = re.compile(r": closed with (\d+) ")


class _Client:
    """Who is connected, on the way, or waits for its next try."""

    __slots__ = ("backoff", "door", "link", "received", "sent")

    def __init__(self, door: Door, link: Link) -> None:
        self.door = door
        self.link: Link | None = link
        self.backoff = Backoff(chance=random.random)
        self.sent = True
        self.received: bytes | None = None
        """What came of the answer to the upgrade; None: it is over."""


class Crowd:
    """All clients on one poller, driven from one thread.

    Args:
        port: Where they come back.
        doors: Of every client.
        links: Their open connections, in the same order; closed with the crowd.
        seats: Which node welcomed each.

    Attributes:
        lost: Connections that broke after their `welcome`, by how: `cut`, or the close code.
        tries: How often anybody knocked again.
    """

    def __init__(self, port: int, doors: Sequence[Door], links: Sequence[Link], seats: Seats) -> None:
        self.lost: Counter[str] = Counter()
        self.tries = 0
        self._port = port
        self._seats = seats
        self._poller = select.epoll()
        self._clients: dict[int, _Client] = {}
        self._waiting: list[tuple[float, int, _Client]] = []
        self._on_their_way: dict[_Client, float] = {}
        self._order = count()
        for door, link in zip(doors, links, strict=True):
            self._clients[link.socket.fileno()] = _Client(door, link)
            self._poller.register(link.socket, select.EPOLLIN)

    @property
    def away(self) -> int:
        """How many aren't connected, or not welcomed yet."""
        return len(self._waiting) + len(self._on_their_way)

    def turn(self, patience_s: float) -> None:
        """Reads what there is, and lets those knock whose time has come."""
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            self._knock(heapq.heappop(self._waiting)[2], now)
        while self._on_their_way and next(iter(self._on_their_way.values())) <= now:
            self._lose(next(iter(self._on_their_way)), _NO_WELCOME)
        if self._waiting:
            patience_s = min(patience_s, max(0.0, self._waiting[0][0] - now))
        for descriptor, events in self._poller.poll(patience_s, _MOST_EVENTS):
            client = self._clients.get(descriptor)
            if client is not None:
                self._step(client, events)

    def close(self) -> None:
        """Closes all connections."""
        self._poller.close()
        for client in self._clients.values():
            if client.link is not None:
                client.link.socket.close()

    def _step(self, client: _Client, events: int) -> None:
        try:
            if client in self._on_their_way:
                self._approach(client, events)
            elif client.link is not None:
                client.link.messages()
        except OSError:
            self._lose(client, CUT)
        except LinkLostError as error:
            closed = _CLOSED.search(str(error))
            self._lose(client, closed[1] if closed else CUT)

    def _approach(self, client: _Client, events: int) -> None:
        link = client.link
        if link is None:
            return
        if not client.sent:
            link.send(upgrade_request(self._port, client.door))
            client.sent = True
            self._poller.modify(link.socket, select.EPOLLIN)
        elif events & (select.EPOLLIN | select.EPOLLERR | select.EPOLLHUP) and self._is_welcome(client, link):
            del self._on_their_way[client]

    def _is_welcome(self, client: _Client, link: Link) -> bool:
        if client.received is None:
            return self._seats(link, link.messages())
        chunk = link.socket.recv(_READ_BYTES)
        if not chunk:
            raise LinkLostError(f"{link.name}: hung up during the handshake")
        client.received += chunk
        rest = link.shake_hands(client.received)
        if rest is None:
            return False
        client.received = None
        return self._seats(link, link.take(rest) if rest else [])

    def _lose(self, client: _Client, how: str) -> None:
        """The link is gone, or never came to be: wait, and try again."""
        if self._on_their_way.pop(client, None) is None:
            self.lost[how] += 1
        if client.link is not None:
            del self._clients[client.link.socket.fileno()]
            client.link.socket.close()
            client.link = None
        due = time.monotonic() + client.backoff.next_delay()
        heapq.heappush(self._waiting, (due, next(self._order), client))

    def _knock(self, client: _Client, now: float) -> None:
        self.tries += 1
        client.link = link = Link(client.door.name)
        client.sent, client.received = False, b""
        self._clients[link.socket.fileno()] = client
        self._on_their_way[client] = now + _TRY_S
        link.start(self._port)
        self._poller.register(link.socket, select.EPOLLOUT)
