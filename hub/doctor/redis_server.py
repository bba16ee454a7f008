"""One Redis or Valkey server as it was found, and how it is asked."""

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from redis.exceptions import ResponseError

from hub.doctor.redis_conversation import Conversation, Unreachable, converse
from hub.doctor.redis_permissions import refused_commands

VISIT_S = 15.0
PINGS = 50
_PINGING_S = 3.0
_CLOCK_LOOKS = 10
_CONFIG = ("appendfsync", "stop-writes-on-bgsave-error", "min-replicas-to-write", "maxmemory-policy")
_PARAMETERS = re.compile(r"^([a-z0-9_]+):(.*?)\r?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ClockSkew:
    """How far Redis' clock is ahead of this machine's, and how far off that may be; seconds."""

    ahead_s: float
    error_s: float


@dataclass(frozen=True, slots=True)
class RedisServer:
    """What a server said.

    Attributes:
        facts: INFO, by name.
        config: CONFIG GET of some parameters; without those that weren't told.
        round_trips_s: Seconds that each PING took.
        skew: Its clock against ours; None if it doesn't tell the time.
        refused: The commands of the hub's that this account may not use; None if that can't be tried.
        cluster_facts: CLUSTER INFO, by name; empty outside a cluster.
        cluster_nodes: CLUSTER NODES; empty outside a cluster.
    """

    facts: Mapping[str, str]
    config: Mapping[str, str]
    round_trips_s: tuple[float, ...]
    skew: ClockSkew | None
    refused: tuple[str, ...] | None
    cluster_facts: Mapping[str, str]
    cluster_nodes: str

    def number(self, fact: str) -> int:
        """Return a fact as a whole number; 0 if it isn't told."""
        return int(self.facts.get(fact, "0"))

    @property
    def is_primary(self) -> bool:
        """Whether it is nobody's replica."""
        return self.facts.get("role") == "master"

    @property
    def in_cluster(self) -> bool:
        """Whether it is a node of a cluster."""
        return self.facts.get("cluster_enabled") == "1"


async def visit(url: str) -> RedisServer:
    """Ask a server everything that the checks want to know. Nothing is changed there.

    Raises:
        Unreachable: If it can't be asked within VISIT_S, or may not be asked for INFO, without which the hub can't live
            either.
    """
    try:
        async with asyncio.timeout(VISIT_S):
            return await _visit(url)
    except TimeoutError:
        raise Unreachable(f"it answers too slowly: not done within {VISIT_S:g} s") from None


async def _visit(url: str) -> RedisServer:
    async with converse(url) as server:
        facts = read_facts(await _text(server, "INFO"))
    clustered = facts.get("cluster_enabled") == "1"
    async with converse(url) as server:
        refused = await refused_commands(server, in_cluster=clustered)
    async with converse(url) as server:
        return RedisServer(
            facts=facts,
            config=await _config(server),
            round_trips_s=await _round_trips(server),
            skew=await _skew(server),
            refused=refused,
            cluster_facts=read_facts(await _text(server, "CLUSTER", "INFO")) if clustered else {},
            cluster_nodes=await _text(server, "CLUSTER", "NODES") if clustered else "",
        )


def read_facts(text: str) -> dict[str, str]:
    """Read lines of `name:value`, as INFO and CLUSTER INFO give them."""
    return dict(_PARAMETERS.findall(text))


async def _text(server: Conversation, *words: str) -> str:
    reply = await server.ask(*words)
    if not isinstance(reply, bytes):
        raise Unreachable(f"{' '.join(words)} is refused ({type(reply).__name__})")
    return reply.decode("utf-8", "replace")


async def _config(server: Conversation) -> dict[str, str]:
    config = {}
    for name in _CONFIG:
        reply = await server.ask("CONFIG", "GET", name)
        if isinstance(reply, list) and reply:
            config[name] = reply[1].decode()
    return config


async def _round_trips(server: Conversation) -> tuple[float, ...]:
    taken: list[float] = []
    began = time.perf_counter()
    while len(taken) < PINGS and time.perf_counter() - began < _PINGING_S:
        at = time.perf_counter()
        await server.ask("PING")
        taken.append(time.perf_counter() - at)
    return tuple(taken)


async def _skew(server: Conversation) -> ClockSkew | None:
    """Ask for the time a few times and keep the quickest answer, which is the surest."""
    looks = []
    for _ in range(_CLOCK_LOOKS):
        before = time.time()
        reply = await server.ask("TIME")
        after = time.time()
        if isinstance(reply, ResponseError):
            return None
        theirs = int(reply[0]) + int(reply[1]) / 1e6
        looks.append(ClockSkew(theirs - (before + after) / 2, abs(after - before) / 2))
    return min(looks, key=lambda look: look.error_s)
