"""Stages to run rounds on, and the running of one: real nodes on a real Redis, and a log of what happened."""

import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeAlias, TypeVar

from tests.chaos.checker import Finding
from tests.chaos.faults import Cluster, OneServer, Stage
from tests.chaos.scene import Round
from tests.support.chaos_log import ChaosLog
from tests.support.chaos_nodes import Nodes
from tests.support.valkey import ValkeyServer, free_ports
from tests.support.valkey_cluster import ValkeyCluster

DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--repl-diskless-sync-delay", "0")
"""What it says to have, it has after a `kill -9`, too."""


@asynccontextmanager
async def one_server(log: ChaosLog, chance: random.Random, nodes: int = 3) -> AsyncIterator[OneServer]:
    """Nodes on one Valkey; a replica of it isn't running yet."""
    server, replica = (ValkeyServer(*DURABLE, port=port) for port in free_ports(2))
    try:
        server.start()
        async with Nodes(server.port, nodes) as some:
            yield OneServer(some, log, chance, server, replica)
    finally:
        for each in (server, replica):
            each.close()


@asynccontextmanager
async def cluster(log: ChaosLog, chance: random.Random, nodes: int = 2) -> AsyncIterator[Cluster]:
    """Nodes on a cluster of three masters with a replica each."""
    servers = ValkeyCluster(*DURABLE[:-2], replicas=1, node_timeout_ms=2000)
    try:
        servers.start()
        async with Nodes(servers.url, nodes) as some:
            yield Cluster(some, log, chance, servers)
    finally:
        servers.close()


@asynccontextmanager
async def two_workers(log: ChaosLog, chance: random.Random) -> AsyncIterator[OneServer]:
    """One hub of two workers."""
    server = ValkeyServer(*DURABLE, port=free_ports(1)[0])
    try:
        server.start()
        async with Nodes(server.port, 1, {"HUB_WORKERS": "2"}) as some:
            yield OneServer(some, log, chance, server, server)
    finally:
        server.close()


Kind = TypeVar("Kind", bound=Stage)
Fault: TypeAlias = Callable[[Kind], Coroutine[Any, Any, None]]


async def judged(stage: Kind, *faults: Fault[Kind]) -> list[Finding]:
    """Run one round, and write down what it found; return the promises that were broken."""
    log = stage.log
    log.say("round", faults=[fault.__name__ for fault in faults])
    people = Round(stage, stage.ask)
    findings = await people.run([partial(fault, stage) for fault in faults])
    for finding in findings:
        log.say("promise", promise=finding.promise, tested=finding.tested, broken=finding.broken)
    log.say(
        "seen",
        heard=people.checker.streams.heard,
        letters=len(people.checker.letters.all),
        incomplete=people.checker.streams.incomplete,
        cut_short=people.checker.streams.lost("cut"),
        told=people.checker.streams.lost("told"),
    )
    return [finding for finding in findings if finding.broken]
