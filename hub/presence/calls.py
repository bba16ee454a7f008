"""Commands to Redis in one round trip, within one deadline.

Packing and reading go through the connection itself: redis-py's pipeline object costs 44 microseconds of CPU a
command, this 17 (docs/performance.md).
"""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeAlias, cast

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from hub.presence.scripts import ALL

Command: TypeAlias = tuple[str | int, ...]
Reply: TypeAlias = Any
"""What Redis answered, undecoded: int, bytes, None, a list of them, or `ResponseError` for a key of a wrong type."""


class _Connection(Protocol):
    """The part of redis-py's connection that is used here."""

    async def send_packed_command(self, command: list[bytes]) -> None: ...

    async def read_response(self, *, disable_decoding: bool, timeout: float) -> Reply: ...  # noqa: ASYNC109

    async def disconnect(self, *, nowait: bool) -> None: ...


class _Pool(Protocol):
    """The part of redis-py's connection pool that is used here."""

    async def get_connection(self) -> _Connection: ...

    async def release(self, connection: _Connection) -> None: ...


class StoreAway(Exception):  # noqa: N818 - says what happened
    """Redis can't be asked: down, hung, loading, read-only, busy, out of memory, or it refuses us."""


class Calls:
    """Runs batches of commands. Safe for several tasks: each batch has a connection of the pool to itself."""

    def __init__(self, client: Redis, timeout_s: float) -> None:
        self._pool = cast("_Pool", client.connection_pool)
        self._timeout_s = timeout_s

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
            loads: list[Command] = [("SCRIPT", "LOAD", script.text) for script in ALL]
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
        connection = await self._pool.get_connection()
        try:
            await connection.send_packed_command([b"".join(map(pack, commands))])
            return [await _reply(connection) for _ in commands]
        except BaseException:
            # Answers that nobody read must never be taken for those of the next call.
            await connection.disconnect(nowait=True)
            raise
        finally:
            await self._pool.release(connection)


def pack(command: Command) -> bytes:
    """Encode one command as an array of bulk strings (RESP, "Sending commands to a Redis server")."""
    words = [b"*%d\r\n" % len(command)]
    for argument in command:
        word = str(argument).encode()
        words.append(b"$%d\r\n%b\r\n" % (len(word), word))
    return b"".join(words)


async def _reply(connection: _Connection) -> Reply:
    try:
        # No deadline of its own: a timer an answer costs as much as the answer, and `bounded` has one for all.
        return await connection.read_response(disable_decoding=True, timeout=math.inf)
    except ResponseError as error:
        return error
