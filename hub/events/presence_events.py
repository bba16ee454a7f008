"""Reads presence changes from Redis for all who listen, with one task and one connection."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import ResponseError

from actors.offsets import BEGINNING, Offset, parse_offset
from hub.events import entries
from hub.events.listener import Listener
from hub.presence import keys
from hub.store.calls import Calls, Command, Reply, StoreAway
from hub.store.client import Client
from hub.store.tasks import finish

log = logging.getLogger("hub.events")

POLL_S = 0.25
PAGE = 128
"""So many entries are read at a time."""
PLACES = 8
"""From so many places in the stream in one round trip; those who are up to date share one."""
MOST_LISTENERS = 100

_ENDS: list[Command] = [("XRANGE", keys.STREAM, "-", "+", "COUNT", 1), ("XREVRANGE", keys.STREAM, "+", "-", "COUNT", 1)]


class PresenceEvents:
    """What listeners are given, in the order of the stream. While Redis is away they wait, and go on behind it.

    The task asks every 250 ms while anybody listens, and at once for who comes and who has more to read. A listener
    that doesn't take what it was given isn't read for. Make it inside the running loop.
    """

    def __init__(self, client: Client, *, timeout_s: float) -> None:
        """Read nothing yet. `client`: from `hub.store.client.connect`; a round trip takes at most `timeout_s`."""
        self._calls = Calls(client, timeout_s, ())
        self._listeners: dict[Listener, None] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def crowded(self) -> bool:
        """Whether nobody else may listen."""
        return len(self._listeners) >= MOST_LISTENERS

    async def start(self) -> None:
        """Start reading. Returns at once, whether Redis is there or not."""
        self._task = asyncio.create_task(self._run(), name="presence-events")

    def close(self) -> None:
        """End all listeners."""
        for listener in self._listeners:
            listener.end()

    async def stop(self) -> None:
        """End all listeners, and stop reading."""
        self.close()
        await finish(self._task)

    @contextmanager
    def listen(self, after: Offset | None) -> Iterator[Listener]:
        """Listen to what comes behind `after`, or, with None, from now on; nobody may while it is `crowded`."""
        listener = Listener(after, self._wake.set)
        self._listeners[listener] = None
        self._wake.set()
        try:
            yield listener
        finally:
            del self._listeners[listener]

    async def _run(self) -> None:
        while True:
            await self._sleep()
            try:
                await self._round()
            except StoreAway:
                continue  # The presence mirror tells the log.
            except Exception:
                log.exception("reading presence changes met a bug; it is tried again")

    async def _sleep(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_S if self._listeners else None):
                await self._wake.wait()
        self._wake.clear()

    async def _round(self) -> None:
        """Read on from where the listeners stand."""
        places = self._next_places()
        if not places:
            return
        reads: list[Command] = [
            ("XREAD", "COUNT", PAGE, "STREAMS", keys.STREAM, str(at)) for at in places if at is not None
        ]
        replies = await self._calls.ask([*reads, *_ENDS])
        if any(isinstance(reply, ResponseError) for reply in replies):
            return  # Another program uses the key for something else.
        *pages, oldest, newest = replies
        ends = _first_id(oldest), _first_id(newest)
        remaining = iter(pages)
        for at, listeners in places.items():
            events, reached, more = _read(at, None if at is None else next(remaining), ends)
            for listener in listeners:
                listener.give(events, reached, more=more)

    def _next_places(self) -> dict[Offset | None, list[Listener]]:
        """Return who is to be read for, by where they stand: those first who were served longest ago."""
        places: dict[Offset | None, list[Listener]] = {}
        for listener in self._listeners:
            if not listener.has_room:
                continue
            if listener.at in places or len(places) < PLACES:
                places.setdefault(listener.at, []).append(listener)
            else:
                self._wake.set()
        for served in [listener for listeners in places.values() for listener in listeners]:
            self._listeners[served] = self._listeners.pop(served)
        return places


def _read(at: Offset | None, page: Reply, ends: tuple[Offset, Offset]) -> tuple[bytes, Offset, bool]:
    """Return the events behind `at`, how far they go, and whether there may be more; `ends` of the stream."""
    oldest, newest = ends
    if at is None:
        return entries.place(newest), newest, False
    if at > newest:  # Redis has lost what was read up to there: all that it has came later.
        return entries.gap(at), BEGINNING, True
    found = page[0][1] if page else []
    events = b"".join(entries.presence(name.decode(), flat) for name, flat in found)
    if BEGINNING < at < oldest:
        events = entries.gap(at) + events
    return events, _id(found[-1][0]) if found else at, len(found) == PAGE


def _id(name: bytes) -> Offset:
    return parse_offset(name.decode()) or BEGINNING


def _first_id(found: Reply) -> Offset:
    return _id(found[0][0]) if found else BEGINNING
