"""Cleaning up behind nodes that are gone: their records are ended, and what they owed the stream is appended."""

import asyncio
from collections.abc import Callable, Sequence

from actors.clock import Clock
from actors.ids import DesktopId, NodeId
from actors.messages import WentOffline
from hub.presence import fields, keys
from hub.presence.commands import Commands, strike
from hub.presence.owed import Debt, owed_entries
from hub.store.calls import Calls, Reply
from hub.store.scan import scan

IsLost = Callable[[NodeId], bool]


class CleanUp:
    """Goes through all records bit by bit; others' calls run in between.

    It may be done by several at a time, and again after it broke off: each record is ended by one of them, and each
    entry is in the stream once.
    """

    def __init__(self, calls: Calls, commands: Commands, clock: Clock, writing: asyncio.Lock) -> None:
        """Clean nothing yet. `writing` is held while records are ended, as by all who write with the same calls."""
        self._calls = calls
        self._commands = commands
        self._clock = clock
        self._writing = writing

    async def clear(self, is_lost: IsLost) -> int:
        """End the records of every lost node, each with an entry `node_lost`, and return how many were ended.

        A desktop that has come back meanwhile holds its record with a newer epoch and keeps it. What was owed goes
        first, so that the stream tells it in the order in which it was.

        Raises:
            StoreAway: If Redis can't be asked; the rest waits for the next call.
        """
        async for names in scan(self._calls, keys.EVERY_OWED, "hash"):
            async with self._calls.bounded(), self._writing:
                await self._pay(names)
        ended = 0
        async for names in scan(self._calls, keys.EVERY_RECORD, "hash"):
            async with self._calls.bounded():
                # Most records are others': one field tells, and reading all nine costs ten times as much.
                nodes = await self._calls.run([("HGET", name, "node_id") for name in names])
            lost = [name for name, node in zip(names, nodes, strict=True) if _is_of(node, is_lost)]
            if lost:
                async with self._calls.bounded(), self._writing:
                    ended += await self._end(lost, is_lost)
        return ended

    async def _pay(self, names: Sequence[str]) -> None:
        replies = await self._calls.run([("HGETALL", name) for name in names])
        await self._append(
            [
                Debt(keys.user_of(name), DesktopId(desktop_id.decode(errors="replace")), text)
                for name, reply in zip(names, replies, strict=True)
                for desktop_id, text in fields.pairs(reply).items()
            ]
        )

    async def _end(self, names: Sequence[str], is_lost: IsLost) -> int:
        replies = await self._calls.run([("HGETALL", name) for name in names])
        records = [fields.read_record(fields.pairs(reply)) for reply in replies]
        at = self._clock.wall_ms()
        lost = [each for each in records if each and is_lost(each.node_id)]
        replies = await self._calls.run([self._commands.lose(WentOffline(each, fields.NODE_LOST, at)) for each in lost])
        ended = [
            Debt(each.user_id, each.desktop_id, reply)
            for each, reply in zip(lost, replies, strict=True)
            if isinstance(reply, bytes)
        ]
        await self._append(ended)
        return len(ended)

    async def _append(self, debts: Sequence[Debt]) -> None:
        await self._calls.run([self._commands.append(each) for each in owed_entries(debts)])
        await self._calls.run([strike(debt) for debt in debts])


def _is_of(node: Reply, is_lost: IsLost) -> bool:
    return isinstance(node, bytes) and is_lost(NodeId(node.decode(errors="replace")))
