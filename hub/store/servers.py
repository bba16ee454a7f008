"""What a call is made to: one server, or the masters of a cluster. What both can do, and the one server."""

from collections.abc import Sequence
from typing import Protocol

from redis.exceptions import NoScriptError

from hub.store.exchange import Command, Connection, Pool, Reply, exchange
from hub.store.script import Script


class Servers(Protocol):
    """Runs commands where they belong."""

    async def run(self, commands: Sequence[Command], scripts: Sequence[Script], chunk: int) -> list[Reply]:
        """Send all commands at once and return their answers in order.

        Scripts that a server has forgotten are loaded there, and what they did not do is done then, in order.

        Args:
            commands: Those on the same keys are done in the order given.
            scripts: What the commands may name by EVALSHA.
            chunk: So many commands are packed at once.

        Raises:
            RedisError: If a server can't be asked. What it refuses stands among the answers.
            OSError: If a link fails.
        """

    async def masters(self) -> "Sequence[Servers]":
        """Return each server that takes writes, for what is asked of each by itself. Raises as `run` does."""

    async def connection_for(self, channel: str) -> Connection:
        """Make a connection to where the channel is published; it isn't open yet. Raises as `run` does."""

    def home_of(self, channel: str) -> object:
        """Return where the channel is published, to be compared with what it was before."""

    def doubt(self) -> None:
        """Somebody saw that what is known of the servers may be outdated."""


class SingleServer:
    """One server, which has all keys."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def run(self, commands: Sequence[Command], scripts: Sequence[Script], chunk: int) -> list[Reply]:
        """See `Servers`."""
        replies = await exchange(self._pool, commands, chunk)
        missing = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if missing:
            loads = [load(script) for script in scripts]
            again = await exchange(self._pool, [*loads, *(commands[index] for index in missing)], chunk)
            for index, reply in zip(missing, again[len(loads) :], strict=True):
                replies[index] = reply
        return replies

    async def masters(self) -> Sequence[Servers]:
        """See `Servers`."""
        return (self,)

    async def connection_for(self, channel: str) -> Connection:
        """See `Servers`."""
        return self._pool.make_connection()

    def home_of(self, channel: str) -> object:
        """See `Servers`: always the same."""
        return None

    def doubt(self) -> None:
        """See `Servers`: there is nothing to look up."""


def load(script: Script) -> Command:
    """Return the command that makes a script known."""
    return ("SCRIPT", "LOAD", script.text)
