"""Commands to Redis in one round trip, within one deadline.

Packing and reading go through the connection itself: redis-py's pipeline object costs 44 microseconds of CPU a
command, this a third of it (docs/performance.md).
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeAlias, cast

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from hub.store.script import Script

CHUNK = 32
"""So many commands are packed at once: Redis works on them while the next are packed, and the loop turns in between."""

Command: TypeAlias = tuple[str | int, ...]
Reply: TypeAlias = Any
"""What Redis answered, undecoded: int, bytes, None, a list of them, or `ResponseError` for a key of a wrong type."""


class _Connection(Protocol):
    """The part of redis-py's connection that is used here."""

    async def send_packed_command(self, command: list[bytes]) -> None: ...

    async def read_response(self, *, disable_decoding: bool) -> Reply: ...

    async def disconnect(self, *, nowait: bool) -> None: ...


class _Pool(Protocol):
    """The part of redis-py's connection pool that is used here."""

    async def get_connection(self) -> _Connection: ...

    async def release(self, connection: _Connection) -> None: ...


class StoreAway(Exception):  # noqa: N818 - says what happened
    """Redis can't be asked: down, hung, loading, read-only, busy, out of memory, or it refuses us."""


class Calls:
    """Runs batches of commands. Safe for several tasks: each batch has a connection of the pool to itself."""

    def __init__(
        self, client: Redis, timeout_s: float, scripts: Sequence[Script], most: int = 1, chunk: int = CHUNK
    ) -> None:
        """Call nothing yet.

        Args:
            client: From `hub.store.client.connect`, whose `MOST_CONNECTIONS` all callers together share.
            timeout_s: How long a batch may take, waiting for its turn included.
            scripts: What the batches may name by EVALSHA.
            most: So many batches run at a time; the others wait.
            chunk: So many commands are packed at once.
        """
        self._pool = cast("_Pool", client.connection_pool)
        self._free = asyncio.Semaphore(most)
        self._timeout_s = timeout_s
        self._scripts = scripts
        self._chunk = chunk

    @asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """Give everything inside one deadline.

        Raises:
            StoreAway: If it passes, or if Redis can't be asked.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except TimeoutError as error:
            raise StoreAway(f"no answer within {self._timeout_s:g} s") from error
        except (RedisError, OSError) as error:
            raise StoreAway(f"{type(error).__name__}: {error}") from error

    async def run(self, commands: Sequence[Command]) -> list[Reply]:
        """Send all commands at once and return their answers in order. Call it inside `bounded`.

        Scripts that Redis has forgotten are loaded, and what they did not do is done then, in the order given.
        A key of the wrong type is nobody's outage: its error stands among the answers.

        Raises:
            RedisError: If Redis refuses a command for any other reason.
            OSError: If the link fails.
        """
        replies = await self._send(commands)
        missing = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if missing:
            loads: list[Command] = [("SCRIPT", "LOAD", script.text) for script in self._scripts]
            again = await self._send([*loads, *(commands[index] for index in missing)])
            for index, reply in zip(missing, again[len(loads) :], strict=True):
                replies[index] = reply
        for reply in replies:
            if isinstance(reply, ResponseError) and not str(reply).startswith("WRONGTYPE"):
                raise reply
        return replies

    async def _send(self, commands: Sequence[Command]) -> list[Reply]:
        if not commands:
            return []
        async with self._free:
            return await self._exchange(commands)

    async def _exchange(self, commands: Sequence[Command]) -> list[Reply]:
        connection = await self._pool.get_connection()
        try:
            for start in range(0, len(commands), self._chunk):
                packed = "".join(map(pack, commands[start : start + self._chunk]))
                await connection.send_packed_command([packed.encode()])
                await asyncio.sleep(0)
            return [await _reply(connection) for _ in commands]
        except BaseException:
            # Answers that nobody read must never be taken for those of the next call.
            await connection.disconnect(nowait=True)
            raise
        finally:
            await self._pool.release(connection)


def pack(command: Command) -> str:
    """Encode one command as an array of bulk strings, in UTF-8 (RESP, "Sending commands to a Redis server")."""
    parts = [f"*{len(command)}\r\n"]
    for argument in command:
        text = str(argument)
        size = len(text) if text.isascii() else len(text.encode())
        parts.append(f"${size}\r\n{text}\r\n")
    return "".join(parts)


async def _reply(connection: _Connection) -> Reply:
    try:
        return await connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error
