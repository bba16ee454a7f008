"""Many commands in one round trip.

Packing and reading go through the connection itself: redis-py's pipeline object costs 44 microseconds of CPU a
command, this a third of it (docs/performance.md).
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from redis.exceptions import ResponseError

CHUNK = 32
"""So many commands are packed at once: Redis works on them while the next are packed, and the loop turns in between."""

Command: TypeAlias = tuple[str | int | bytes, ...]
Reply: TypeAlias = Any
"""What Redis answered, undecoded: int, bytes, None, a list of them, or `ResponseError` for a key of a wrong type."""


class StoreAway(Exception):  # noqa: N818 - says what happened
    """Redis can't be asked: down, hung, loading, read-only, busy, out of memory, or it refuses us.

    The text says why, and is fit for a log: Redis repeats the arguments of a command that it doesn't know, and those,
    which may be what people wrote, are cut off.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why.partition(", with args")[0])


LARGE = 512
"""So many bytes are not packed with the rest of a batch."""


class Connection(Protocol):
    """The part of redis-py's connection that is used here."""

    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter

    async def connect(self) -> None:
        """Connect and log in."""

    async def send_packed_command(self, command: list[bytes]) -> None:
        """Send what is packed."""

    async def read_response(self, *, disable_decoding: bool) -> Reply:
        """Read one answer; an error is raised."""

    async def disconnect(self, *, nowait: bool) -> None:
        """Close it."""


class Pool(Protocol):
    """The part of redis-py's connection pool that is used here."""

    def make_connection(self) -> Connection:
        """Make one that is none of the pool's, and isn't open yet."""

    async def get_connection(self) -> Connection:
        """Lend one that is open."""

    async def release(self, connection: Connection) -> None:
        """Take back what was lent."""

    async def disconnect(self, inuse_connections: bool) -> None:
        """Close those that aren't lent, or all."""

    async def aclose(self) -> None:
        """Close all."""


async def exchange(pool: Pool, commands: Sequence[Command], chunk: int = CHUNK) -> list[Reply]:
    """Send all commands at once to one server, and return their answers in order.

    Raises:
        RedisError: If the server can't be asked.
        OSError: If the link fails.
    """
    connection = await pool.get_connection()
    try:
        await _send(connection, commands, chunk)
        return [await _reply(connection) for _ in commands]
    except BaseException:
        # Answers that nobody read must never be taken for those of the next call.
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)


async def exchange_all(parts: Sequence[tuple[Pool, Sequence[Command]]], chunk: int = CHUNK) -> list[list[Reply]]:
    """Send to several servers before the first answer is read, so that all work at the same time.

    Raises:
        RedisError: If one of them can't be asked; the others may have done their part.
        OSError: If a link fails.
    """
    used: list[tuple[Pool, Connection]] = []
    try:
        for pool, commands in parts:
            connection = await pool.get_connection()
            used.append((pool, connection))
            await _send(connection, commands, chunk)
        return [
            [await _reply(connection) for _ in commands]
            for (_, commands), (_, connection) in zip(parts, used, strict=True)
        ]
    except BaseException:
        for _, connection in used:
            await connection.disconnect(nowait=True)
        raise
    finally:
        for pool, connection in used:
            await pool.release(connection)


async def _send(connection: Connection, commands: Sequence[Command], chunk: int) -> None:
    for start in range(0, len(commands), chunk):
        await connection.send_packed_command(pack_all(commands[start : start + chunk]))
        await asyncio.sleep(0)


async def _reply(connection: Connection) -> Reply:
    try:
        return await connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error


def pack_all(commands: Sequence[Command]) -> list[bytes]:
    """Encode commands, to be written one piece after the other.

    A last argument of many bytes is a piece of its own: decoding and encoding it would cost more than all the rest.
    """
    pieces: list[bytes] = []
    texts: list[str] = []
    for command in commands:
        body = command[-1]
        if isinstance(body, bytes) and len(body) >= LARGE:
            head = pack(command[:-1]).partition("\n")[2]
            texts.append(f"*{len(command)}\r\n{head}${len(body)}\r\n")
            pieces += (_encoded(texts), body)
            texts = ["\r\n"]
        else:
            texts.append(pack(command))
    pieces.append(_encoded(texts))
    return pieces


def _encoded(texts: list[str]) -> bytes:
    return "".join(texts).encode("utf-8", "surrogateescape")


def pack(command: Command) -> str:
    """Encode one command as an array of bulk strings (RESP, "Sending commands to a Redis server").

    Returns:
        Text to be encoded in UTF-8 with `surrogateescape`, which gives bytes back as they were (PEP 383): one
        `join` and one `encode` for a whole chunk cost least, and hardly any arguments are bytes.
    """
    parts = [f"*{len(command)}\r\n"]
    for argument in command:
        if type(argument) is str:  # cheaper than isinstance and str(), and nearly all are
            text = argument
        elif isinstance(argument, bytes):
            parts.append(f"${len(argument)}\r\n{argument.decode('utf-8', 'surrogateescape')}\r\n")
            continue
        else:
            text = str(argument)
        size = len(text) if text.isascii() else len(text.encode())
        parts.append(f"${size}\r\n{text}\r\n")
    return "".join(parts)
