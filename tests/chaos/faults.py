"""What is done to nodes, to Redis and to what is between them. Each fault returns when it is over and mended."""

import asyncio
import random
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.support.chaos_log import ChaosLog
from tests.support.chaos_nodes import LEASE_S, Node, Nodes
from tests.support.tcp_proxy import BACK, THERE
from tests.support.valkey import ValkeyServer, free_ports
from tests.support.valkey_cluster import ValkeyCluster

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
"""What a Valkey says to have, it has after a `kill -9`, too."""

QUICK_SYNC = ("--repl-diskless-sync-delay", "0")

SHORT_S = 0.8
"""Shorter than a lease, longer than one call to Redis may take."""
LONG_S = LEASE_S * 2
AFTER_S = LEASE_S * 1.5
"""So long after a death the others have noticed it."""


@dataclass(kw_only=True)
class Stage(ABC):
    """Where it happens. `restless_s`: how often somebody's link breaks, whatever else happens."""

    nodes: Nodes
    log: ChaosLog
    chance: random.Random
    restless_s: float = 0.7

    def some(self) -> Node:
        return self.nodes.some(self.chance)

    @abstractmethod
    def ask(self, *words: str | int) -> Any:
        """Send one command to Redis."""


@dataclass(kw_only=True)
class OneServer(Stage):
    """All nodes on the last one of `servers`, which writes down what it says to have."""

    servers: list[ValkeyServer]

    @property
    def server(self) -> ValkeyServer:
        return self.servers[-1]

    def ask(self, *words: str | int) -> Any:
        return self.server.say(*words)


@dataclass(kw_only=True)
class Cluster(Stage):
    """All nodes on a cluster with replicas."""

    cluster: ValkeyCluster

    def ask(self, *words: str | int) -> Any:
        return self.cluster.say(*words)


# -- nodes -----------------------------------------------------------------------------------------------------------


async def kill_a_node(stage: Stage) -> None:
    node = stage.some()
    with stage.log.losing():
        stage.nodes.kill(node)
    stage.log.say("killed", node=node.name)
    await asyncio.gather(stage.nodes.add(), asyncio.sleep(AFTER_S))


async def restart_a_node(stage: Stage) -> None:
    """In an orderly way, when another one has taken its place."""
    node = stage.some()
    await stage.nodes.add()
    stage.log.say("stops", node=node.name)
    await stage.nodes.stop(node)
    stage.log.say("stopped", node=node.name)
    await asyncio.sleep(SHORT_S)


async def pause_a_node(stage: Stage) -> None:
    await _pause(stage, SHORT_S)


async def pause_a_node_past_its_lease(stage: Stage) -> None:
    await _pause(stage, LONG_S)
    await asyncio.sleep(AFTER_S)


async def _pause(stage: Stage, for_s: float) -> None:
    node = stage.some()
    with stage.log.losing():
        stage.nodes.pause(node)
        stage.log.say("paused", node=node.name)
        await asyncio.sleep(for_s)
        stage.nodes.resume(node)
    stage.log.say("goes on", node=node.name)
    await asyncio.sleep(SHORT_S)


# -- one Redis -------------------------------------------------------------------------------------------------------


async def kill_valkey(stage: OneServer) -> None:
    with stage.log.outage():
        stage.server.kill()
        stage.log.say("Valkey killed")
        await asyncio.sleep(stage.chance.choice([0.0, SHORT_S, LONG_S]))
        stage.server.start()
        stage.log.say("Valkey is back")
    await asyncio.sleep(AFTER_S)


async def pause_valkey(stage: OneServer) -> None:
    with stage.log.outage():
        stage.server.signal(signal.SIGSTOP)
        stage.log.say("Valkey paused")
        await asyncio.sleep(stage.chance.choice([0.2, SHORT_S, LONG_S]))
        stage.server.signal(signal.SIGCONT)
        stage.log.say("Valkey goes on")
    await asyncio.sleep(AFTER_S)


async def fail_over_to_the_replica(stage: OneServer) -> None:
    """In an orderly way: nothing that was written is lost; clients of the old one are refused their writes."""
    old, replica = stage.server, ValkeyServer(*DURABLE, *QUICK_SYNC, port=free_ports(1)[0])
    stage.servers.insert(0, replica)
    replica.start()
    replica.follow(old.port)
    with stage.log.outage():
        old.say("FAILOVER", "TO", "127.0.0.1", replica.port)
        while old.say("ROLE")[0] != b"slave":
            await asyncio.sleep(0.01)
        stage.log.say("failed over")
        await asyncio.sleep(SHORT_S)
        stage.servers.remove(replica)
        stage.servers.append(replica)
        stage.nodes.redis = replica.port
        for node in stage.nodes.all:
            assert node.link is not None
            node.link.target = replica.port
            await node.link.cut()
    old.kill()
    await asyncio.sleep(AFTER_S)


# -- links to Redis --------------------------------------------------------------------------------------------------


async def cut_the_links(stage: OneServer) -> None:
    """All connections of a node are reset, and it may connect again."""
    for _ in range(3):
        node = stage.some()
        assert node.link is not None
        stage.log.say("links reset", node=node.name)
        with stage.log.outage():
            await node.link.cut()
        await asyncio.sleep(SHORT_S / 2)


async def cut_a_node_off(stage: OneServer) -> None:
    """It can't connect for longer than its lease."""
    node = stage.some()
    assert node.link is not None
    with stage.log.outage():
        node.link.refuses = True
        await node.link.cut()
        stage.log.say("cut off", node=node.name)
        await asyncio.sleep(LONG_S)
        node.link.refuses = False
    stage.log.say("connected again", node=node.name)
    await asyncio.sleep(AFTER_S)


async def drop_everything_on_a_link(stage: OneServer) -> None:
    await _hold(stage, stage.chance.choice([SHORT_S, LONG_S]), THERE, BACK)


async def halve_a_link(stage: OneServer) -> None:
    """One way lets nothing through."""
    await _hold(stage, LONG_S, stage.chance.choice([THERE, BACK]))


async def _hold(stage: OneServer, for_s: float, *ways: str) -> None:
    node = stage.some()
    assert node.link is not None
    with stage.log.outage():
        node.link.hold(*ways)
        stage.log.say("link holds", node=node.name, ways=ways, for_s=for_s)
        await asyncio.sleep(for_s)
        node.link.release()
    stage.log.say("link flows", node=node.name)
    await asyncio.sleep(AFTER_S)


async def delay_a_link(stage: OneServer) -> None:
    """Some answers come in time, and some don't."""
    node = stage.some()
    assert node.link is not None
    with stage.log.outage():
        node.link.delay_s = stage.chance.choice([0.05, 0.15, 0.25])
        stage.log.say("link slow", node=node.name, delay_s=node.link.delay_s)
        await asyncio.sleep(LONG_S)
        node.link.delay_s = 0.0
    await asyncio.sleep(SHORT_S)


# -- a cluster -------------------------------------------------------------------------------------------------------


async def move_slots(stage: Cluster) -> None:
    """Slots with keys in them go from one master to another, a key at a time."""
    cluster = stage.cluster
    masters = [node for node in cluster.nodes if node.running and node.say("ROLE")[0] == b"master"]
    source, target = stage.chance.sample(masters, 2)
    slots = {source.say("CLUSTER", "KEYSLOT", key) for key in source.say("KEYS", "hub:*")}
    for slot in stage.chance.sample(sorted(slots), min(4, len(slots))):
        stage.log.say("slot moves", slot=slot)
        cluster.begin_move(slot, target)
        while source.say("CLUSTER", "COUNTKEYSINSLOT", slot):
            cluster.move_keys(slot, target, 1)
            await asyncio.sleep(0.005)
        cluster.end_move(slot, target)
    await asyncio.sleep(SHORT_S)


async def fail_over_a_master(stage: Cluster) -> None:
    """In an orderly way: nothing that was written is lost."""
    master = stage.cluster.master_of(stage.chance.randrange(16384))
    replica = stage.cluster.replica_of(master)
    with stage.log.outage():
        replica.say("CLUSTER", "FAILOVER")
        while replica.say("ROLE")[0] != b"master":
            await asyncio.sleep(0.02)
    stage.log.say("failed over")
    await asyncio.sleep(AFTER_S)


async def pause_a_master(stage: Cluster) -> None:
    """For a moment in which nobody takes its place."""
    master = stage.cluster.master_of(stage.chance.randrange(16384))
    with stage.log.outage():
        master.signal(signal.SIGSTOP)
        stage.log.say("master paused")
        await asyncio.sleep(SHORT_S)
        master.signal(signal.SIGCONT)
    await asyncio.sleep(AFTER_S)


# -- workers ---------------------------------------------------------------------------------------------------------


async def replace_all_workers(stage: Stage) -> None:
    hub = stage.nodes.all[0].hub
    rounds = hub.log.count("all workers have been replaced")
    hub.signal(signal.SIGHUP)
    stage.log.say("workers are replaced")
    async with asyncio.timeout(30):
        while hub.log.count("all workers have been replaced") == rounds:
            await asyncio.sleep(0.05)
    stage.log.say("all workers have been replaced")
    await asyncio.sleep(SHORT_S)


OfNodes: TypeAlias = Callable[[Stage], Coroutine[Any, Any, None]]
OfOneServer: TypeAlias = Callable[[OneServer], Coroutine[Any, Any, None]]
OfCluster: TypeAlias = Callable[[Cluster], Coroutine[Any, Any, None]]

OF_NODES: list[OfNodes] = [kill_a_node, restart_a_node, pause_a_node, pause_a_node_past_its_lease]
OF_ONE_SERVER: list[OfOneServer] = [
    kill_valkey,
    pause_valkey,
    fail_over_to_the_replica,
    cut_the_links,
    cut_a_node_off,
    drop_everything_on_a_link,
    halve_a_link,
    delay_a_link,
]
OF_CLUSTER: list[OfCluster] = [move_slots, fail_over_a_master, pause_a_master]
