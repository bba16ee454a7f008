"""Which master of a cluster serves which slot, and the connections to each."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from itertools import chain

from redis.exceptions import ClusterDownError, RedisError

from hub.redis_url import Address
from hub.store.exchange import Pool, Reply, exchange
from hub.store.routing import SLOTS

AT_MOST_EVERY_S = 0.1
"""How often the cluster is asked who serves what, however many calls are refused meanwhile."""


class Topology:
    """Knows the masters; asks for them before the first call, and after something has cast doubt on what is known."""

    def __init__(self, seeds: Sequence[Address], connect: Callable[[Address], Pool], patience_s: float) -> None:
        """Ask nobody yet.

        Args:
            seeds: Nodes that are asked first, and when no other one answers.
            connect: Makes the pool of a node; nothing is sent.
            patience_s: How long one node may take to tell; then the next one is asked.
        """
        self._seeds = tuple(seeds)
        self._connect = connect
        self._patience_s = patience_s
        self._nodes: list[Address] = []
        self._serving: list[Address | None] = [None] * SLOTS
        self._pools: dict[Address, Pool] = {}
        self.masters: list[Address] = []
        """Those that serve slots, in the order of their addresses."""
        self._doubts = 1
        self._settled = 0
        """How many of the doubts came before the cluster was asked the last time."""
        self._read_at = -AT_MOST_EVERY_S
        self._reading = asyncio.Lock()

    def serving(self, slot: int) -> Address:
        """Return the master of a slot.

        Raises:
            ClusterDownError: If the slot has none.
        """
        address = self._serving[slot]
        if address is None:
            self.doubt()
            raise ClusterDownError(f"nobody serves slot {slot}")
        return address

    def home(self, slot: int) -> Address | None:
        """Return the master of a slot, or None if it isn't known."""
        return self._serving[slot]

    def pool(self, address: Address) -> Pool:
        """Return the connections to a node."""
        pool = self._pools.get(address)
        if pool is None:
            pool = self._pools[address] = self._connect(address)
        return pool

    def moved(self, slot: int, address: Address) -> None:
        """A node said who serves a slot; more may have moved."""
        self._serving[slot] = address
        self.masters = sorted({*self.masters, address})
        self.doubt()

    def doubt(self) -> None:
        """What is known may be outdated: have it looked up before the next call."""
        self._doubts += 1

    async def look(self) -> None:
        """See that what is known is in no doubt, as far as that can be had so soon.

        Raises:
            RedisError: If no node could be asked.
        """
        if self._due:
            async with self._reading:
                if self._due:  # nobody else has looked meanwhile
                    await self._read()

    async def aclose(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.aclose()

    @property
    def _due(self) -> bool:
        return self._doubts > self._settled and asyncio.get_running_loop().time() - self._read_at >= AT_MOST_EVERY_S

    async def _read(self) -> None:
        doubts = self._doubts
        asked, ranges = await self._ask_any()
        self._settled, self._read_at = doubts, asyncio.get_running_loop().time()
        self._take(asked, ranges)
        await self._leave_others()

    async def _ask_any(self) -> tuple[Address, Reply]:
        """Ask one node after the other; who was asked is last the next time, whatever it said."""
        failed: Exception = ClusterDownError("no node is known")
        for address in dict.fromkeys(chain(self._nodes, self._seeds)):
            try:
                async with asyncio.timeout(self._patience_s):
                    return address, await self._ask(address)
            except (RedisError, OSError) as error:  # TimeoutError is an OSError
                failed = error
            finally:
                with contextlib.suppress(ValueError):
                    self._nodes.remove(address)
                    self._nodes.append(address)
        raise failed

    async def _ask(self, address: Address) -> Reply:
        (reply,) = await exchange(self.pool(address), [("CLUSTER", "SLOTS")])
        if isinstance(reply, RedisError):
            raise reply
        return reply

    def _take(self, asked: Address, ranges: Reply) -> None:
        """Read CLUSTER SLOTS: `[FIRST, LAST, [HOST, PORT, ...] of the master, the same of each replica]`."""
        self._serving = [None] * SLOTS
        nodes: dict[Address, None] = {}
        masters = set()
        for first, last, *members in ranges:
            addresses = [Address(host.decode() if host else asked.host, port) for host, port, *_ in members]
            self._serving[first : last + 1] = [addresses[0]] * (last + 1 - first)
            nodes |= dict.fromkeys(addresses)
            masters.add(addresses[0])
        self.masters = sorted(masters)
        self._nodes = [*(each for each in self._nodes if each in nodes), *(nodes.keys() - set(self._nodes))]

    async def _leave_others(self) -> None:
        """Close what is idle to nodes that are no masters, and everything to those that have left."""
        for address in self._pools.keys() - {*self._nodes, *self._seeds}:
            await self._pools.pop(address).aclose()
        for address in self._pools.keys() - set(self.masters):
            await self._pools[address].disconnect(inuse_connections=False)
