"""Nodes on one Redis, each with a link of its own to it: started, killed, paused and cut off while others go on."""

import asyncio
import random
import secrets
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.support.hub_process import START_S, HubProcess
from tests.support.tcp_proxy import TcpProxy
from tests.support.tokens import Minter
from tests.support.valkey import free_ports

LEASE_S = 2.0
BRISK = {
    "HUB_RATE_LIMIT": "off",
    "HUB_NODE_LEASE_S": f"{LEASE_S:g}",
    "HUB_OFFLINE_GRACE_S": "1",
    "HUB_DRAIN_SPREAD_S": "0",
    "HUB_WRITE_STALL_S": "30",
}
"""What takes long takes a moment; who is paused isn't taken for a slow reader."""


@dataclass(eq=False)
class Node:
    """One hub. `link`: its way to Redis, if that is one server. `port`: where clients come in."""

    hub: HubProcess
    port: int
    link: TcpProxy | None
    paused: bool = False

    @property
    def name(self) -> str:
        return str(self.port)


class Nodes:
    """All of them, in the running loop.

    Args:
        redis: The loopback port of a server, or the URL of a cluster.
        count: How many nodes start.
        settings: On top of `BRISK`.
    """

    def __init__(self, redis: int | str, count: int, settings: dict[str, str] | None = None) -> None:
        secret = secrets.token_urlsafe(32)
        self.mint = Minter(secret)
        self.redis = redis
        self.all: list[Node] = []
        self._settings = {**BRISK, "HUB_JWT_SECRET": secret, **(settings or {})}
        self._count = count
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await asyncio.gather(*(self.add() for _ in range(self._count)))
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self.all:
            node.hub.kill()
        await self._stack.aclose()

    def some(self, chance: random.Random) -> Node:
        """One of those that aren't paused."""
        return chance.choice([node for node in self.all if not node.paused])

    def choose(self, chance: random.Random) -> int:
        """Where a client that comes in now is sent: to any node that isn't known to be dead."""
        if not self.all:
            raise ConnectionRefusedError("no node is there")
        return chance.choice(self.all).port

    async def add(self) -> Node:
        """Start one more, and wait until it is up."""
        port = free_ports(1)[0]
        link, url = None, self.redis
        if isinstance(url, int):
            link = await self._stack.enter_async_context(TcpProxy(url))
            url = f"redis://127.0.0.1:{link.port}/0"
        hub = HubProcess({**self._settings, "HUB_PORT": str(port), "HUB_REDIS_URL": url})
        self._stack.callback(hub.close)
        hub.launch()
        hub.url = f"http://127.0.0.1:{port}"
        async with asyncio.timeout(START_S):
            while "Tether Hub is up at" not in hub.log:
                assert hub.running, hub.log
                await asyncio.sleep(0.05)
        node = Node(hub, port, link)
        self.all.append(node)
        return node

    def kill(self, node: Node) -> None:
        """`kill -9`; whoever comes in is sent elsewhere from now on."""
        self.all.remove(node)
        node.hub.kill()

    def pause(self, node: Node) -> None:
        node.paused = True
        node.hub.signal(signal.SIGSTOP)

    def resume(self, node: Node) -> None:
        node.paused = False
        if node.hub.running:
            node.hub.signal(signal.SIGCONT)

    def logs(self) -> str:
        """What all that live have logged from the level of a warning on."""
        lines = [line for node in self.all for line in node.hub.log.splitlines()]
        return "\n".join(line for line in lines if '"level":"info"' not in line)
