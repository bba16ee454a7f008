"""Nodes on one Redis, each with a link of its own to it: started, killed, paused and cut off while others go on."""

import asyncio
import itertools
import random
import re
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.hub_process import START_S, HubProcess
from tests.support.tcp_proxy import TcpProxy
from tests.support.tokens import Minter

LEASE_S = 2.0
BRISK = {
    "HUB_RATE_LIMIT": "off",
    "HUB_NODE_LEASE_S": f"{LEASE_S:g}",
    "HUB_OFFLINE_GRACE_S": "1",
    "HUB_DRAIN_SPREAD_S": "0",
    "HUB_WRITE_STALL_S": "30",
}
"""What takes long takes a moment; who is paused isn't taken for a slow reader."""

_JOURNAL = re.compile(r'"timestamp":"([^"]+)".*"event":"journal: Redis is (away|back)')
_UP = re.compile(r"^Tether Hub is up at (\S+)$", re.MULTILINE)


@dataclass(eq=False)
class Node:
    """One hub. `link`: its way to Redis, if that is one server."""

    hub: HubProcess
    name: str
    link: TcpProxy | None
    paused: bool = False


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
        self._hubs: dict[str, HubProcess] = {}
        self._numbers = itertools.count(1)
        self._told: set[str] = set()
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
        return chance.choice(self.all).hub.port

    async def add(self) -> Node:
        """Start one more, and wait until it is up."""
        name = f"n{next(self._numbers)}"
        link, url = None, self.redis
        if isinstance(url, int):
            link = await self._stack.enter_async_context(TcpProxy(url))
            url = f"redis://127.0.0.1:{link.port}/0"
        hub = HubProcess({**self._settings, "HUB_NODE_NAME": name, "HUB_REDIS_URL": str(url)})
        self._stack.callback(hub.close)
        self._hubs[name] = hub
        hub.launch()
        async with asyncio.timeout(START_S):
            while (said := _UP.search(hub.log)) is None:
                assert hub.running, hub.log
                await asyncio.sleep(0.05)
        hub.url = said[1]
        node = Node(hub, name, link)
        self.all.append(node)
        return node

    def kill(self, node: Node) -> None:
        """`kill -9`; whoever comes in is sent elsewhere from now on."""
        self.all.remove(node)
        node.hub.kill()

    async def stop(self, node: Node) -> None:
        """End it as an operator does; whoever comes in is sent elsewhere from now on."""
        self.all.remove(node)
        node.hub.signal(signal.SIGTERM)
        code = await asyncio.to_thread(node.hub.wait)
        assert code == 0, node.hub.log

    def pause(self, node: Node) -> None:
        node.paused = True
        node.hub.signal(signal.SIGSTOP)

    def resume(self, node: Node) -> None:
        node.paused = False
        if node.hub.running:
            node.hub.signal(signal.SIGCONT)

    def states(self, user: str) -> list[tuple[str, str, str]]:
        """What each node says over HTTP of a user's desktops: node, desktop, state."""
        token, path = self.mint.service(), f"/internal/presence/users/{user}"
        return [
            (node.name, each["desktop_id"], each["state"])
            for node in self.all
            for each in node.hub.get(path, token=token).json()["desktops"]
        ]

    def keep_logs(self, folder: Path) -> None:
        """Write down what all nodes have logged up to now, those that are gone, too."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, hub in self._hubs.items():
            (folder / f"{name}.log").write_text(hub.log, "utf-8")

    def outages(self) -> list[tuple[float, float]]:
        """When any node could not write to the journal, by its own word; a busy machine is a reason, too.

        Seconds since the epoch; one that hasn't ended lasts until now.
        """
        return [span for hub in self._hubs.values() for span in _outages_in(hub.log)]

    def bugs(self) -> list[str]:
        """What any node has logged as an error since this was asked last."""
        lines = {line for hub in self._hubs.values() for line in hub.log.splitlines() if _is_bug(line)}
        new, self._told = sorted(lines - self._told), lines
        return new


def _outages_in(log: str) -> Iterator[tuple[float, float]]:
    away: float | None = None
    for at, word in _JOURNAL.findall(log):
        when = datetime.fromisoformat(at).timestamp()
        if word == "away":
            away = when
        elif away is not None:
            yield away, when
            away = None
    if away is not None:
        yield away, time.time()


def _is_bug(line: str) -> bool:
    return '"level":"error"' in line or "Traceback" in line
