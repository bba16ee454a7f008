"""Calls to a Redis Cluster: each command goes to the master of its key's slot, to all masters at the same time.

What a node refuses because a slot is elsewhere (MOVED, ASK, TRYAGAIN) was not done, so it is sent on, again and again
until the caller's deadline. What may have been done is never sent again here.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from redis.exceptions import AskError, ClusterDownError, MovedError, NoScriptError, ResponseError, TryAgainError

from hub.redis_url import Address
from hub.store.exchange import Command, Connection, Reply, exchange_all
from hub.store.routing import slot_of, slot_of_key
from hub.store.script import Script
from hub.store.servers import Servers, SingleServer, load
from hub.store.topology import Topology

PAUSE_S = 0.01
"""Between two looks at a slot that is on its way from one master to another."""

_ASKING: Command = ("ASKING",)


@dataclass(slots=True)
class _Errand:
    """A command, and where it is to be sent. Without a slot it goes to every master, each with an errand."""

    index: int
    command: Command
    slot: int | None
    at: Address
    asking: bool = False
    loads: bool = False
    """Whether the node has forgotten the scripts, and has to be told them first."""
    tells: bool = True
    """Whether its answer counts; a refusal always does."""


class ClusterClient:
    """The masters of a cluster as one. Safe for several tasks. Close it with `aclose()`."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology

    async def run(self, commands: Sequence[Command], scripts: Sequence[Script], chunk: int) -> list[Reply]:
        """See `Servers`. A command without a key goes to every master; a refusal counts, or the first one's answer."""
        await self._topology.look()
        replies: list[Reply] = [None] * len(commands)
        refused = await self._send(self._route(commands), scripts, replies, chunk)
        turn = 0
        while refused:
            if turn:
                await asyncio.sleep(PAUSE_S)
            turn += 1
            now, later = _in_order(sorted(refused, key=lambda errand: errand.index))
            refused = await self._send(now, scripts, replies, chunk) + later
        return replies

    async def masters(self) -> Sequence[Servers]:
        """See `Servers`."""
        await self._topology.look()
        return [SingleServer(self._topology.pool(address)) for address in self._topology.masters]

    async def connection_for(self, channel: str) -> Connection:
        """See `Servers`."""
        await self._topology.look()
        return self._topology.pool(self._topology.serving(slot_of_key(channel))).make_connection()

    def home_of(self, channel: str) -> object:
        """See `Servers`."""
        return self._topology.home(slot_of_key(channel))

    def doubt(self) -> None:
        """See `Servers`."""
        self._topology.doubt()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._topology.aclose()

    def _route(self, commands: Sequence[Command]) -> list[_Errand]:
        errands = []
        masters = self._topology.masters
        for index, command in enumerate(commands):
            slot = slot_of(command)
            if slot is not None:
                errands.append(_Errand(index, command, slot, self._topology.serving(slot)))
            elif masters:
                errands += [_Errand(index, command, None, each, tells=each is masters[0]) for each in masters]
            else:
                raise ClusterDownError("no master is known")
        return errands

    async def _send(
        self, errands: Sequence[_Errand], scripts: Sequence[Script], replies: list[Reply], chunk: int
    ) -> list[_Errand]:
        """Make a round trip to each node concerned, and return what was refused, with what is to be done about it."""
        by_node: dict[Address, list[_Errand]] = {}
        for errand in errands:
            by_node.setdefault(errand.at, []).append(errand)
        parts = {at: _preceded(errands, scripts) for at, errands in by_node.items()}
        answers = await exchange_all(
            [(self._topology.pool(at), commands) for at, (commands, _) in parts.items()], chunk
        )
        refused = []
        for (at, (_, places)), answer in zip(parts.items(), answers, strict=True):
            for errand, place in zip(by_node[at], places, strict=True):
                again = self._again(errand, answer[place], scripts)
                if again is not None:
                    refused.append(again)
                elif isinstance(answer[place], ResponseError) or (errand.tells and replies[errand.index] is None):
                    replies[errand.index] = answer[place]
        return refused

    def _again(self, errand: _Errand, reply: Reply, scripts: Sequence[Script]) -> _Errand | None:
        """Return what is to be done about a refusal; None if this is the answer."""
        match reply:
            case MovedError() if errand.slot is not None:  # before AskError, which it is, too
                at = Address(reply.host or errand.at.host, reply.port)
                self._topology.moved(errand.slot, at)
                return replace(errand, at=at, asking=False, loads=False)
            case AskError():
                at = Address(reply.host or errand.at.host, reply.port)
                return replace(errand, at=at, asking=True, loads=False)
            case TryAgainError():
                # Some keys are still here and some are not: the master knows when all have left.
                return replace(errand, at=self._topology.serving(errand.slot or 0), asking=False, loads=False)
            case NoScriptError() if errand.slot is not None and not errand.loads:
                if errand.command[1] in [script.sha for script in scripts]:
                    return replace(errand, loads=True)
            case ClusterDownError():
                self._topology.doubt()
        return None


def _in_order(errands: Sequence[_Errand]) -> tuple[list[_Errand], list[_Errand]]:
    """Hold back what must not overtake: of each slot, what follows an errand that goes elsewhere."""
    ways: dict[int, tuple[Address, bool]] = {}
    held: set[int] = set()
    now, later = [], []
    for errand in errands:
        if errand.slot is not None:
            way = errand.at, errand.asking
            if ways.setdefault(errand.slot, way) != way:
                held.add(errand.slot)
            if errand.slot in held:
                later.append(errand)
                continue
        now.append(errand)
    return now, later


def _preceded(errands: Sequence[_Errand], scripts: Sequence[Script]) -> tuple[list[Command], list[int]]:
    """Return what one node is sent, and at which place among its answers that of each errand stands.

    A node is told all scripts or none: where it knew only some, these would overtake the others.
    """
    commands = [load(script) for script in scripts] if any(errand.loads for errand in errands) else []
    places = []
    for errand in errands:
        if errand.asking:
            commands.append(_ASKING)
        places.append(len(commands))
        commands.append(errand.command)
    return commands, places
