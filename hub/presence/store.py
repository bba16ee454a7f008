"""Writing presence to Redis: many changes in one round trip, each fenced by its epoch."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from actors.clock import Clock, SystemClock
from actors.ids import DesktopId, NodeId, UserId
from actors.messages import CameOnline, KnownDesktop, PresenceChange, PresenceRecord, WentOffline
from hub.presence import fields, keys, scripts
from hub.presence.answers import PresenceAnswer, StreamEntry, UserPresence, entry_of
from hub.presence.lookup import Lookup
from hub.store.calls import Calls, Command, Reply
from hub.store.client import PRESENCE_CONNECTIONS
from hub.store.script import Script

KNOWN_TTL_MS = 30 * 24 * 3600 * 1000
OWNER_EXPIRY_MS = 4_102_444_800_000
"""The year 2100, so that adding any epoch to it lies in the future (of an epoch of today: by 50,000 years)."""
SCAN_COUNT = 500

_RUN_ID = re.compile(rb"run_id:(\w+)")
_CLOCK = re.compile(rb"server_time_usec:(\d+)")
_SYSTEM_CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class LifeSigns:
    """How Redis is. `run_id` names the life of its process; `kept`: it still has what this node wrote.

    `clock_us`: what its clock said, in microseconds since the epoch; None if it doesn't tell.
    """

    run_id: str
    kept: bool
    clock_us: int | None


class RedisPresenceStore:
    """The presence keys of the contract in Redis.

    Writes of one store never run at the same time, so that they reach Redis in the order given. Every call ends within
    `timeout_s`; one that times out may have been carried out all the same, and all writes may be repeated but for
    stream entries, which are then there twice.

    The owner key lies in another cluster slot than the record. It is written in the same round trip, right behind the
    record of a desktop that came online (`announce`) and, in a second one, for a renewal that found the record gone.
    It has a fence of its own (`scripts.OWN`): being accepted by the record's fence proves nothing here, since the
    record of a desktop's former owner is another key.
    """

    def __init__(
        self,
        client: Redis,
        ttl_s: float,
        stream_length: int,
        known_limit: int,
        *,
        timeout_s: float = 0.45,
        clock: Clock = _SYSTEM_CLOCK,
    ) -> None:
        """Make a store; nothing is sent before the first call.

        Args:
            client: From `hub.store.client.connect`; closed by who made it.
            ttl_s: How long a record lives without being renewed.
            stream_length: About how many entries the stream keeps.
            known_limit: How many desktops are remembered a user; those seen last stay.
            timeout_s: How long a call may take.
            clock: For `as_of`.
        """
        self._ttl_ms = int(ttl_s * 1000)
        self._stream_length = stream_length
        self._known_limit = known_limit
        self._calls = Calls(client, timeout_s, scripts.ALL, PRESENCE_CONNECTIONS)
        self._lookup = Lookup(self._calls, clock)
        self._clock = clock
        self._writing = asyncio.Lock()

    async def apply(self, changes: Sequence[PresenceChange], entries: Sequence[StreamEntry]) -> None:
        """Write changes and stream entries in one round trip.

        A change that a newer connection's epoch forbids is passed over, as is one whose key another program uses for
        something else. `CameOnline.announce` makes the user the desktop's owner, too.

        Raises:
            StoreAway: If Redis can't be asked; then any part of it may have been written.
        """
        async with self._calls.bounded(), self._writing:
            await self._write(changes, entries)

    async def known(self, user_id: UserId) -> list[KnownDesktop]:
        """Return the user's desktops, the one seen last first.

        Raises:
            StoreAway: If Redis can't be asked.
        """
        return (await self.known_of([user_id]))[0]

    async def known_of(self, user_ids: Sequence[UserId]) -> list[list[KnownDesktop]]:
        """Return the desktops of several users in one round trip, in the order asked.

        Raises:
            StoreAway: If Redis can't be asked.
        """
        return await self._lookup.known_of(user_ids)

    async def desktop(self, desktop_id: DesktopId) -> PresenceAnswer:
        """Tell where a desktop is; `unknown` if Redis can't be asked. Never raises for Redis' sake."""
        return (await self._lookup.desktops([desktop_id]))[0]

    async def desktops(self, desktop_ids: Sequence[DesktopId]) -> list[PresenceAnswer]:
        """Tell where desktops are, in the order asked; `unknown` for all that Redis can't be asked for.

        Raises:
            ValueError: If they are more than 1,000.
        """
        return await self._lookup.desktops(desktop_ids)

    async def user(self, user_id: UserId) -> UserPresence:
        """Tell where a user's desktops are; `unknown` if Redis can't be asked."""
        return await self._lookup.user(user_id)

    async def life_signs(self, node_id: NodeId) -> LifeSigns:
        """Ask whether Redis is there, takes writes, and still has what the node wrote since `leave_mark`.

        Raises:
            StoreAway: If not.
        """
        async with self._calls.bounded():
            server, renewed = await self._calls.run([("INFO", "server"), ("PEXPIRE", keys.mark(node_id), self._ttl_ms)])
        found, clock = _RUN_ID.search(server), _CLOCK.search(server)
        return LifeSigns(
            run_id=found[1].decode() if found else "", kept=renewed == 1, clock_us=int(clock[1]) if clock else None
        )

    async def leave_mark(self, node_id: NodeId) -> None:
        """Write the key that is lost when the data is lost; it lives as long as a record would.

        Raises:
            StoreAway: If Redis can't be asked, or takes no writes.
        """
        async with self._calls.bounded():
            await self._calls.run([("SET", keys.mark(node_id), "1", "PX", self._ttl_ms)])

    async def clear_earlier_lives(self, node_name: str, node_id: NodeId) -> int:
        """End the records that earlier lives of a node left behind, each with a stream entry `node_lost`.

        Goes through all records bit by bit; others' calls run in between. A desktop that has come back meanwhile
        holds its record with a newer epoch and keeps it.

        Args:
            node_name: The node's name, which its id starts with: `NAME/RANDOM`.
            node_id: The present life of the node, whose records stay.

        Returns:
            How many were ended.

        Raises:
            StoreAway: If Redis can't be asked; the rest waits for the next call.
        """
        ended = 0
        async for names in self._scan():
            async with self._calls.bounded():
                # Most records are others': one field tells, and reading all nine costs ten times as much.
                nodes = await self._calls.run([("HGET", name, "node_id") for name in names])
            lost = [name for name, node in zip(names, nodes, strict=True) if _is_earlier_life(node, node_name, node_id)]
            if lost:
                async with self._calls.bounded(), self._writing:
                    ended += await self._end_lost(lost, node_name, node_id)
        return ended

    async def _scan(self) -> AsyncIterator[list[str]]:
        cursor = "0"
        while True:
            async with self._calls.bounded():
                (reply,) = await self._calls.run(
                    [("SCAN", cursor, "MATCH", keys.EVERY_RECORD, "COUNT", SCAN_COUNT, "TYPE", "hash")]
                )
            cursor = reply[0].decode()
            if reply[1]:
                yield [name.decode() for name in reply[1]]
            if cursor == "0":
                return

    async def _end_lost(self, names: list[str], node_name: str, node_id: NodeId) -> int:
        replies = await self._calls.run([("HGETALL", name) for name in names])
        records = [fields.read_record(fields.pairs(reply)) for reply in replies]
        at = self._clock.wall_ms()
        lost = [
            WentOffline(record, fields.NODE_LOST, at)
            for record in records
            if record and _is_earlier_life(record.node_id.encode(), node_name, node_id)
        ]
        replies = await self._calls.run([self._drop(change) for change in lost])
        gone = [change for change, reply in zip(lost, replies, strict=True) if reply == 1]
        entries = [entry for change in gone if (entry := entry_of(change))]
        await self._calls.run([self._append(entry) for entry in entries])
        return len(gone)

    async def _write(self, changes: Sequence[PresenceChange], entries: Sequence[StreamEntry]) -> None:
        commands = [self._put(c.record) if isinstance(c, CameOnline) else self._drop(c) for c in changes]
        online = [change for change in changes if isinstance(change, CameOnline)]
        commands += [_own(change.record) for change in online if change.announce]
        commands += [self._append(entry) for entry in entries]
        replies = await self._calls.run(commands)
        found_gone = [
            change.record
            for change, reply in zip(changes, replies, strict=False)
            if isinstance(change, CameOnline) and not change.announce and reply == scripts.TAKEN
        ]
        await self._calls.run([_own(record) for record in found_gone])

    def _put(self, record: PresenceRecord) -> Command:
        return (
            *self._fenced(scripts.PUT, record, ""),
            record.user_id,
            record.node_id,
            record.connection_id,
            record.name or "",
            record.platform or "",
            record.since,
        )

    def _drop(self, change: WentOffline) -> Command:
        return (*self._fenced(scripts.DROP, change.record, change.reason), "1" if change.forget else "0")

    def _fenced(self, script: Script, record: PresenceRecord, reason: str) -> Command:
        user_id, desktop_id = record.user_id, record.desktop_id
        return (
            *script.on(
                keys.record(user_id, desktop_id),
                keys.desktops(user_id),
                keys.known(user_id),
                keys.ended(user_id, desktop_id),
            ),
            record.epoch,
            desktop_id,
            record.last_seen,
            fields.known_text(record, reason),
            KNOWN_TTL_MS,
            self._known_limit,
            self._ttl_ms,
        )

    def _append(self, entry: StreamEntry) -> Command:
        stamp = ("desktop_id", entry.desktop_id, "user_id", entry.user_id, "state", entry.state)
        return (
            "XADD",
            keys.STREAM,
            "MAXLEN",
            "~",
            self._stream_length,
            "*",
            *stamp,
            "reason",
            entry.reason,
            "at",
            entry.at,
        )


def _is_earlier_life(node: Reply, node_name: str, node_id: NodeId) -> bool:
    return isinstance(node, bytes) and node.startswith(f"{node_name}/".encode()) and node != node_id.encode()


def _own(record: PresenceRecord) -> Command:
    expires_at = OWNER_EXPIRY_MS + record.epoch
    return (*scripts.OWN.on(keys.owner(record.desktop_id)), record.user_id, expires_at)
