"""Listening to one sharded Pub/Sub channel, on a connection of its own.

What comes is read from the connection's stream past redis-py's own reader: one pass over what has come gives all
messages, and waiting for the next ones costs one `read`. It reaches into redis-py's connection for that
(`_reader`, `_writer`), guarded by tests/unit/hub/store/test_subscription.py.
"""

import asyncio
from typing import Any

import hiredis

from hub.store.calls import StoreAway, bounded, servers_of
from hub.store.client import Client
from hub.store.exchange import Connection, pack

READ_BYTES = 1 << 17
"""So much is read at once; asyncio's stream holds no more."""

SILENCE_S = 1.0
"""After so long a silence the server is asked whether it is there, and after as long again it is taken for dead."""

PAUSE_S = 0.02
"""Between two attempts to open, while a cluster's nodes don't agree yet on where the channel is."""

_PING = pack(("PING",)).encode()
_NOTHING_MORE = object()


class Subscription:
    """Messages of one channel, from `open` to `close`. What is published while it isn't open is lost.

    One task reads at a time. After `StoreAway` it may be opened again.
    """

    def __init__(self, client: Client, channel: str, timeout_s: float) -> None:
        """Subscribe to nothing yet.

        Args:
            client: From `hub.store.client.connect`; the connection is none of its pool's.
            channel: Its name; in a cluster it lies in the slot of that name.
            timeout_s: How long opening may take.
        """
        self._servers = servers_of(client)
        self._channel = channel
        self._timeout_s = timeout_s
        self._connection: Connection | None = None
        self._parser = _new_parser()
        self._came: list[bytes] = []
        self._home: object = None
        self._heard = False
        self._asked = False
        self._watch: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Subscribe; returns when the server has confirmed it.

        Raises:
            StoreAway: If that can't be done in time.
        """
        try:
            async with bounded(self._timeout_s):
                await self._subscribe()
        except BaseException:
            await self._give_up()
            raise

    async def read(self) -> list[bytes]:
        """Wait for at least one message, and return all that have come, in the order published.

        Raises:
            StoreAway: If the link is lost, or the server ends the subscription, as it does when the slot moves.
        """
        while not self._came:
            self._take(await self._replies())
        came, self._came = self._came, []
        return came

    async def close(self) -> None:
        """End it. Harmless when it isn't open."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._came = []
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def _give_up(self) -> None:
        self._servers.doubt()
        await self.close()

    async def _subscribe(self) -> None:
        while True:
            if await self._subscribe_there():
                break
            await asyncio.sleep(PAUSE_S)
        self._heard, self._asked = True, False
        self._look()

    async def _subscribe_there(self) -> bool:
        """Subscribe where the channel is known to be; False if it has moved from there."""
        await self.close()
        connection = self._connection = await self._servers.connection_for(self._channel)
        self._home = self._servers.home_of(self._channel)
        self._parser = _new_parser()
        await connection.connect()
        connection._writer.write(pack(("SSUBSCRIBE", self._channel)).encode())
        confirmation, *messages = await self._replies()
        if isinstance(confirmation, hiredis.ReplyError) and str(confirmation).startswith("MOVED "):
            self._servers.doubt()
            return False
        self._take([confirmation, *messages])
        return True

    async def _replies(self) -> list[Any]:
        """Wait for a whole reply, and return all that have come."""
        if self._connection is None:
            raise StoreAway("the subscription isn't open")
        stream = self._connection._reader
        while True:
            try:
                received = await stream.read(READ_BYTES)
            except OSError as error:
                raise StoreAway(f"{type(error).__name__}: {error}") from error
            if not received:
                raise StoreAway("the server hung up, moved, or said nothing for too long")
            self._heard = True
            self._parser.feed(received)
            if replies := list(iter(self._parser.gets, _NOTHING_MORE)):
                return replies

    def _take(self, replies: list[Any]) -> None:
        """Keep the messages; a confirmation and an answer to PING are no news."""
        for reply in replies:
            if isinstance(reply, hiredis.HiredisError):
                raise StoreAway(f"the server refuses: {reply}")
            if reply[0] == b"smessage":
                self._came.append(reply[2])
            elif reply[0] == b"sunsubscribe":
                self._servers.doubt()
                raise StoreAway("the server ended the subscription: the channel's slot moved")

    def _look(self) -> None:
        """See once a `SILENCE_S` whether anything came, and whether the channel is still where it was."""
        assert self._connection is not None  # noqa: S101 - closing ends the watch
        writer = self._connection._writer
        silent = self._asked and not self._heard
        if silent or self._servers.home_of(self._channel) != self._home:
            self._servers.doubt()
            writer.transport.abort()
            return
        self._asked = not self._heard
        self._heard = False
        if self._asked:
            writer.write(_PING)
        self._watch = asyncio.get_running_loop().call_later(SILENCE_S, self._look)


def _new_parser() -> hiredis.Reader:
    return hiredis.Reader(notEnoughData=_NOTHING_MORE)
