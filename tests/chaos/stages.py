"""Stages to run rounds on, and the running of one: real nodes on a real Redis, and a log of what happened."""

import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, TypeAlias, TypeVar

from tests.chaos.checker import Finding
from tests.chaos.faults import DURABLE, QUICK_SYNC, Cluster, OneServer, Stage
from tests.chaos.scene import Round
from tests.support.chaos_log import ChaosLog
from tests.support.chaos_nodes import Nodes
from tests.support.valkey import ValkeyServer, free_ports
from tests.support.valkey_cluster import ValkeyCluster


@asynccontextmanager
async def one_server(
    log: ChaosLog, chance: random.Random, nodes: int = 3, workers: int = 1
) -> AsyncIterator[OneServer]:
    """Nodes of so many workers on one Valkey."""
    servers = [ValkeyServer(*DURABLE, *QUICK_SYNC, port=free_ports(1)[0])]
    try:
        servers[0].start()
        async with Nodes(servers[0].port, nodes, {"HUB_WORKERS": str(workers)}) as some:
            yield OneServer(nodes=some, log=log, chance=chance, servers=servers)
    finally:
        for each in servers:
            each.close()


@asynccontextmanager
async def cluster(log: ChaosLog, chance: random.Random, nodes: int = 2) -> AsyncIterator[Cluster]:
    """Nodes on a cluster of three masters with a replica each."""
    servers = ValkeyCluster(*DURABLE, replicas=1, node_timeout_ms=2000)
    try:
        servers.start()
        async with Nodes(servers.url, nodes) as some:
            yield Cluster(nodes=some, log=log, chance=chance, cluster=servers)
    finally:
        servers.close()


def two_workers(log: ChaosLog, chance: random.Random) -> AbstractAsyncContextManager[OneServer]:
    """One hub of two workers."""
    return one_server(log, chance, nodes=1, workers=2)


Kind = TypeVar("Kind", bound=Stage)
Fault: TypeAlias = Callable[[Kind], Coroutine[Any, Any, None]]


async def judged(stage: Kind, *faults: Fault[Kind]) -> list[Finding]:
    """Run one round, and write down what it found, and if need be the nodes' logs; return the broken promises."""
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
    broken = [finding for finding in findings if finding.broken]
    if broken:
        stage.nodes.keep_logs(log.path.with_suffix(""))
    return broken
