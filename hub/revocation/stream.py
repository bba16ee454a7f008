"""The stream in Redis that carries revocations to all nodes, and to those that start later."""

from collections.abc import Sequence
from typing import TypeAlias

from redis.exceptions import ResponseError

from actors.clock import Clock
from hub.revocation.entries import STREAM, fields_of
from hub.revocation.known import MOST, Revocation
from hub.store.calls import Calls, Command, Reply, StoreAway
from hub.store.client import Client

PAGE = 128
"""Entries read in one round trip: some 2 ms of CPU, for which nobody else's message waits longer."""

Entry: TypeAlias = Reply
"""A list: the entry's id, and a list of its fields and values."""


class RevocationStream:
    """Reads and writes the stream. Every call ends within `timeout_s`.

    It keeps the newest `MOST` entries at least, for `kept_s` at least.
    """

    def __init__(self, client: Client, *, kept_s: float, timeout_s: float, clock: Clock) -> None:
        self._calls = Calls(client, timeout_s, ())
        self._kept_ms = int(kept_s * 1000)
        self._clock = clock

    async def read(self, first: bytes | None) -> list[Entry]:
        """Return up to `PAGE` entries from the one with the id `first` on, itself included, or from the beginning.

        XRANGE, not XREAD: what comes back when `first` isn't there any more says so.

        Raises:
            StoreAway: If Redis can't be asked.
        """
        start = "-" if first is None else first.decode()
        (entries,) = await self._ask(("XRANGE", STREAM, start, "+", "COUNT", PAGE))
        return list(entries)

    async def append(self, revocations: Sequence[Revocation]) -> None:
        """Write revocations, and cut off what is too old.

        Raises:
            StoreAway: If Redis can't be asked; then any of them may have been written.
        """
        oldest = max(0, self._clock.wall_ms() - self._kept_ms)
        added: list[Command] = [("XADD", STREAM, "MAXLEN", "~", MOST, "*", *fields_of(each)) for each in revocations]
        await self._ask(*added, ("XTRIM", STREAM, "MINID", "~", oldest))

    async def _ask(self, *commands: Command) -> list[Reply]:
        replies = await self._calls.ask(commands)
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise StoreAway(f"{STREAM} is no stream: {reply}")
        return replies
