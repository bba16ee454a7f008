"""One connection to Redis, one question after the other. An answer that is an error is a value."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeAlias, cast
from urllib.parse import quote

from redis.asyncio.connection import parse_url
from redis.exceptions import RedisError, ResponseError

from hub.config_view import MASK
from hub.store.client import connect_to_one

ASK_S = 3.0
"""The longest wait for a connection or an answer: more patient than the hub, to tell slow from away."""

Reply: TypeAlias = Any
"""int, bytes, None, a list of them, or `ResponseError`."""


class Unreachable(Exception):  # noqa: N818 - says what happened
    """Redis can't be asked. The text never holds the password."""


class _Connection(Protocol):
    """The part of redis-py's connection that is used here."""

    async def send_command(self, *words: str | int) -> None: ...

    async def read_response(self, *, disable_decoding: bool) -> Reply: ...


class _Pool(Protocol):
    """The part of redis-py's connection pool that is used here."""

    async def get_connection(self) -> _Connection: ...


class Conversation:
    """Questions over one connection. Get one from `converse`."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    async def ask(self, *words: str | int) -> Reply:
        """Send one command and return its answer within ASK_S; inside `converse`, which names what goes wrong."""
        async with asyncio.timeout(ASK_S):
            await self._connection.send_command(*words)
            try:
                return await self._connection.read_response(disable_decoding=True)
            except ResponseError as refusal:
                return refusal


@asynccontextmanager
async def converse(url: str) -> AsyncIterator[Conversation]:
    """Connect as the hub does, for one conversation; the connection is closed after it.

    Raises:
        Unreachable: If Redis isn't there, doesn't let us in, or doesn't answer in time.
    """
    try:
        client = connect_to_one(url, int(ASK_S * 1000))
    except ValueError as reason:
        raise Unreachable(_masked(str(reason), url)) from None
    try:
        async with asyncio.timeout(ASK_S):
            connection = await cast("_Pool", client.connection_pool).get_connection()
        yield Conversation(connection)
    except TimeoutError:
        raise Unreachable(f"no answer within {ASK_S:g} s") from None
    except (RedisError, OSError) as reason:
        raise Unreachable(_masked(str(reason), url) or type(reason).__name__) from None
    finally:
        await client.aclose()


def _masked(text: str, url: str) -> str:
    """Take the password out of an error's text, in case that a server quoted what it didn't understand."""
    password = _password(url)
    line = " ".join(text.split())
    for secret in (password, quote(password)) if password else ():
        line = line.replace(secret, MASK)
    return line


def _password(url: str) -> str:
    try:
        return str(parse_url(url).get("password") or "")
    except ValueError:
        return ""
