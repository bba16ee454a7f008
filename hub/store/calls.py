"""Commands to Redis in one round trip, within one deadline."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from hub.store.client import Client
from hub.store.exchange import CHUNK, Command, Pool, Reply, StoreAway
from hub.store.script import Script
from hub.store.servers import Servers, SingleServer

__all__ = ["CHUNK", "Calls", "Command", "Reply", "StoreAway", "bounded", "servers_of"]


class Calls:
    """Runs batches of commands. Safe for several tasks: each batch has connections of the pools to itself."""

    def __init__(
        self, client: Client, timeout_s: float, scripts: Sequence[Script], most: int = 1, chunk: int = CHUNK
    ) -> None:
        """Call nothing yet.

        Args:
            client: From `hub.store.client.connect`, whose `MOST_CONNECTIONS` all callers together share.
            timeout_s: How long a batch may take, waiting for its turn included.
            scripts: What the batches may name by EVALSHA.
            most: So many batches run at a time; the others wait.
            chunk: So many commands are packed at once.
        """
        self._servers = servers_of(client)
        self._free = asyncio.Semaphore(most)
        self._timeout_s = timeout_s
        self._scripts = scripts
        self._chunk = chunk

    def bounded(self) -> AbstractAsyncContextManager[None]:
        """Give everything inside one deadline; see `bounded`."""
        return bounded(self._timeout_s)

    async def ask(self, commands: Sequence[Command]) -> list[Reply]:
        """Run one batch within the deadline; see `run`.

        Raises:
            StoreAway: If there is no answer in time, or if Redis can't be asked.
        """
        async with self.bounded():
            return await self.run(commands)

    async def run(self, commands: Sequence[Command], at: Servers | None = None) -> list[Reply]:
        """Send all commands at once and return their answers in order. Call it inside `bounded`.

        Scripts that Redis has forgotten are loaded, and what they did not do is done then, in the order given.
        A key of the wrong type is nobody's outage: its error stands among the answers.

        In a cluster each command goes to the master of its key's slot, and commands on the same keys keep their order;
        one without a key goes to every master.

        Args:
            commands: What is to be done; all keys of one command lie in one slot.
            at: One of the `masters`; by default whoever the keys belong to.

        Raises:
            RedisError: If Redis refuses a command for any other reason.
            OSError: If the link fails.
        """
        if not commands:
            return []
        async with self._free:
            try:
                replies = await (at or self._servers).run(commands, self._scripts, self._chunk)
            except BaseException:  # the deadline as well: who is silent may be about to be replaced
                self._servers.doubt()
                raise
        for reply in replies:
            if isinstance(reply, ResponseError) and not str(reply).startswith("WRONGTYPE"):
                raise reply
        return replies

    async def masters(self) -> Sequence[Servers]:
        """Return every server that takes writes, for `run`. Call it inside `bounded`; raises as `run` does."""
        return await self._servers.masters()

    async def on_every_master(self, command: Command) -> list[Reply]:
        """Ask each server that takes writes, and return all answers. Call it inside `bounded`; raises as `run` does."""
        return [(await self.run([command], master))[0] for master in await self.masters()]


@asynccontextmanager
async def bounded(timeout_s: float) -> AsyncIterator[None]:
    """Give everything inside one deadline.

    Raises:
        StoreAway: If it passes, or if Redis can't be asked.
    """
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        raise StoreAway(f"no answer within {timeout_s:g} s") from error
    except (RedisError, OSError) as error:
        raise StoreAway(f"{type(error).__name__}: {error}") from error


def servers_of(client: Client) -> Servers:
    """Return what a client's calls are made to."""
    return SingleServer(cast("Pool", client.connection_pool)) if isinstance(client, Redis) else client
