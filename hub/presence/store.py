"""Writing presence to Redis: many changes in one round trip, each fenced by its epoch."""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from actors.clock import Clock, SystemClock
from actors.ids import DesktopId, Epoch, NodeId, UserId
from actors.messages import CameOnline, KnownDesktop, PresenceChange, PresenceRecord
from hub.presence import keys, scripts
from hub.presence.answers import PresenceAnswer, UserPresence
from hub.presence.cleanup import CleanUp
from hub.presence.commands import Commands, own, strike
from hub.presence.lookup import Lookup
from hub.presence.owed import Debt, owed_entries
from hub.presence.pending import key_of
from hub.store.calls import Calls, Command, Reply
from hub.store.client import PRESENCE_CONNECTIONS, Client

_RUN_ID = re.compile(rb"run_id:(\w+)")
_CLOCK = re.compile(rb"server_time_usec:(\d+)")
_SYSTEM_CLOCK = SystemClock()

OwnerChanged = Callable[[DesktopId, Epoch, UserId], object]
"""Told that a desktop was taken over by the connection of an epoch, and which user owned it before."""


@dataclass(frozen=True, slots=True)
class LifeSigns:
    """How Redis is. `run_id` names the lives of its masters; `kept`: it still has what this node wrote.

    `clock_us`: what their clocks said at most, in microseconds since the epoch; None if they don't tell.
    """

    run_id: str
    kept: bool
    clock_us: int | None


class RedisPresenceStore:
    """The presence keys of the contract in Redis.

    Writes of one store never run at the same time, so that they reach Redis in the order given. Every call ends within
    `timeout_s`; one that times out may have been carried out all the same, and all writes may be repeated.

    Whether a change goes to the stream `hub:presence` is decided by what Redis holds (`scripts`), so that it is told
    once, whatever the number of nodes. The entries go in a second round trip, if there are any.

    The owner key lies in another cluster slot than the record. It is written in the same round trip, right behind the
    record of a desktop that came online (`announce`) and, in the second one, for a renewal that found the record gone.
    It has a fence of its own (`scripts.OWN`): being accepted by the record's fence proves nothing here, since the
    record of a desktop's former owner is another key.
    """

    def __init__(
        self,
        client: Client,
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
            stream_length: About how many entries the stream keeps; so many names of entries are remembered, too.
            known_limit: How many desktops are remembered a user; those seen last stay.
            timeout_s: How long a call may take.
            clock: For `as_of`.
        """
        self._ttl_ms = int(ttl_s * 1000)
        self._commands = Commands(self._ttl_ms, known_limit, stream_length)
        self._calls = Calls(client, timeout_s, scripts.ALL, PRESENCE_CONNECTIONS)
        self._lookup = Lookup(self._calls, clock)
        self._writing = asyncio.Lock()
        self._clean_up = CleanUp(self._calls, self._commands, clock, self._writing)
        self._paid: list[Debt] = []

    async def apply(
        self,
        changes: Sequence[PresenceChange],
        renewals: Sequence[PresenceRecord] = (),
        *,
        anew: bool = False,
        owner_changed: OwnerChanged = lambda *_: None,
    ) -> None:
        """Write changes and renewals in one round trip, and what the stream is to be told of them in a second.

        A change that a newer connection's epoch forbids is passed over, as is one whose key another program uses for
        something else. `CameOnline.announce` makes the user the desktop's owner, too.

        Args:
            changes: What became of desktops, in order.
            renewals: Records to be written again.
            anew: Write the owners of all renewals, too, as Redis may have lost them.
            owner_changed: Called for each desktop that another user owned before. Not if Redis' answer was lost.

        Raises:
            StoreAway: If Redis can't be asked; then any part of it may have been written. Give the same changes
                again: then what the stream is to be told is found again, too.
        """
        written = [*changes, *(CameOnline(record, announce=False) for record in renewals)]
        owners = [change.record for change in changes if isinstance(change, CameOnline) and change.announce]
        if anew:
            owners += renewals
        async with self._calls.bounded(), self._writing:
            commands = [*map(self._commands.write, written), *map(own, owners)]
            replies = await self._run_and_strike(commands)
            _tell_owners(owners, replies[len(written) :], owner_changed)
            debts = _debts(written, replies)
            entries = owed_entries(debts)
            gone = [] if anew else _found_gone(written, replies)
            replies = await self._calls.run([*map(self._commands.append, entries), *map(own, gone)])
            _tell_owners(gone, replies[len(entries) :], owner_changed)
            self._paid += debts

    async def settle(self) -> None:
        """Have Redis forget that it owes the stream what `apply` has appended; the next call would do it anyway.

        Raises:
            StoreAway: If Redis can't be asked.
        """
        async with self._calls.bounded(), self._writing:
            await self._run_and_strike(())

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
        async with self._calls.bounded(), self._writing:
            (renewed,) = await self._run_and_strike([("PEXPIRE", keys.mark(node_id), self._ttl_ms)])
            servers = await self._calls.on_every_master(("INFO", "server"))
        lives = sorted(found[1].decode() for found in map(_RUN_ID.search, servers) if found)
        clocks = [int(found[1]) for found in map(_CLOCK.search, servers) if found]
        return LifeSigns(run_id=" ".join(lives), kept=renewed == 1, clock_us=max(clocks, default=None))

    async def leave_mark(self, node_id: NodeId) -> None:
        """Write the key that is lost when the data is lost; it lives as long as a record would.

        Raises:
            StoreAway: If Redis can't be asked, or takes no writes.
        """
        await self._calls.ask([("SET", keys.mark(node_id), "1", "PX", self._ttl_ms)])

    async def clear_earlier_lives(self, node_name: str, node_id: NodeId) -> int:
        """End the records of all other lives of a node's name, each with a stream entry `node_lost`.

        For a node whose name nobody else has: it would end the records of a sibling that lives. See `clear_node`.

        Args:
            node_name: The node's name, which its id starts with: `NAME/RANDOM`.
            node_id: The present life of the node, whose records stay.

        Returns:
            How many were ended.

        Raises:
            StoreAway: If Redis can't be asked; the rest waits for the next call.
        """
        return await self._clean_up.clear(lambda node: node.startswith(f"{node_name}/") and node != node_id)

    async def clear_node(self, node_id: NodeId) -> int:
        """End the records of one life of a node that is gone, each with a stream entry `node_lost`.

        Any number of survivors may do it, at the same time or one after the other broke off: there is one entry for
        each desktop. A desktop that has come back elsewhere keeps its record, and there is no entry. What the node
        owed the stream is appended. A node that lives after all finds within a second that Redis hasn't kept what it
        wrote (`life_signs`) and writes it anew, with an entry `online` for each desktop that was ended here.

        Returns:
            How many were ended by this call.

        Raises:
            StoreAway: If Redis can't be asked; call it again.
        """
        ended = await self._clean_up.clear(lambda node: node == node_id)
        await self._calls.ask([("DEL", keys.mark(node_id))])
        return ended

    async def _run_and_strike(self, commands: Sequence[Command]) -> list[Reply]:
        """Run commands, and before them strike off what is no longer owed: it needs no round trip of its own."""
        strikes = [strike(debt) for debt in self._paid]
        replies = await self._calls.run([*strikes, *commands])
        self._paid.clear()
        return replies[len(strikes) :]


def _debts(written: Sequence[PresenceChange], replies: Sequence[Reply]) -> list[Debt]:
    """Return what is owed of each desktop: its last answer holds what those before it did."""
    debts = {
        key_of(change.record): Debt(change.record.user_id, change.record.desktop_id, reply)
        for change, reply in zip(written, replies, strict=False)
        if isinstance(reply, bytes)
    }
    return list(debts.values())


def _found_gone(written: Sequence[PresenceChange], replies: Sequence[Reply]) -> list[PresenceRecord]:
    """Return the renewed records that were not there, or may not have been: their owners may not be, either."""
    return [
        change.record
        for change, reply in zip(written, replies, strict=False)
        if isinstance(change, CameOnline)
        and not change.announce
        and (reply == scripts.TAKEN or isinstance(reply, bytes))
    ]


def _tell_owners(records: Sequence[PresenceRecord], replies: Sequence[Reply], owner_changed: OwnerChanged) -> None:
    for record, reply in zip(records, replies, strict=True):
        if isinstance(reply, bytes):
            owner_changed(record.desktop_id, record.epoch, UserId(reply.decode(errors="replace")))
