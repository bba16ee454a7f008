"""A real Valkey Cluster on loopback ports, to be failed over, resharded and harmed at will."""

import signal
import time
from collections.abc import Callable
from typing import Any

import redis
from redis.exceptions import MovedError

from hub.doctor.redis_server import read_facts
from hub.store.routing import SLOTS
from tests.support.valkey import ValkeyServer, free_ports

START_S = 20.0


class ValkeyCluster:
    """Masters that share all slots, and replicas of each. Starting takes 2 s, for which a new master takes no writes.

    Args:
        masters: How many of them; the first ones of `nodes`.
        replicas: How many each of them has; those of the first one come first.
        node_timeout_ms: After so long a silence a node is taken for dead, and replaced soon after.
        options: Are added to every command line.
    """

    def __init__(self, *options: str, masters: int = 3, replicas: int = 0, node_timeout_ms: int = 5000) -> None:
        self._replicas = replicas
        count = masters * (1 + replicas)
        ports = free_ports(2 * count)
        common = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(node_timeout_ms), "--cluster-port")
        quick = ("--repl-diskless-sync-delay", "0", "--cluster-allow-replica-migration", "no")
        self.nodes = [
            ValkeyServer(*common, str(bus), *quick, *options, port=port)
            for port, bus in zip(ports[:count], ports[count:], strict=True)
        ]
        self.masters = self.nodes[:masters]
        """Those that were masters in the beginning."""
        self.replicas = self.nodes[masters:]
        self.bus = dict(zip(ports[:count], ports[count:], strict=True))

    @property
    def url(self) -> str:
        """What a hub is given: two of the nodes."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:2])
        return f"redis+cluster://{hosts}"

    def start(self) -> None:
        """Start all nodes and make them a cluster that takes writes."""
        for node in self.nodes:
            node.launch()
        for number, node in enumerate(self.nodes):
            node.wait()
            node.say("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        share = SLOTS // len(self.masters)
        for number, master in enumerate(self.masters):
            last = SLOTS - 1 if master is self.masters[-1] else (number + 1) * share - 1
            master.say("CLUSTER", "ADDSLOTSRANGE", number * share, last)
        for node in self.nodes[1:]:
            self.nodes[0].say("CLUSTER", "MEET", "127.0.0.1", node.port, self.bus[node.port])
        self._until(lambda: all(facts(node)["cluster_known_nodes"] == str(len(self.nodes)) for node in self.nodes))
        for number, replica in enumerate(self.replicas):
            self._follow(replica, self.masters[number // self._replicas])
        self._until(lambda: all(facts(node)["cluster_state"] == "ok" for node in self.nodes))
        self._until(lambda: all(len(self._followers(master)) == self._replicas for master in self.masters))

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    # -- asking ------------------------------------------------------------------------------------------------------

    def say(self, *words: str | int) -> Any:
        """Send one command to the master of its key; FLUSHALL to every master."""
        if words == ("FLUSHALL",):
            return self.everywhere(*words)
        try:
            return self._living()[0].say(*words)
        except MovedError as moved:
            return self.at(moved.port).say(*words)

    def everywhere(self, *words: str | int) -> list[Any]:
        """Send one command to each node that is a master."""
        return [node.say(*words) for node in self._living() if role(node) == "master"]

    def at(self, port: int) -> ValkeyServer:
        return next(node for node in self.nodes if node.port == port)

    def master_of(self, slot: int) -> ValkeyServer:
        """The present master of a slot, as the first node that runs sees it."""
        ranges = self._living()[0].say("CLUSTER", "SLOTS")
        return self.at(next(master[1] for first, last, master, *_ in ranges if first <= slot <= last))

    def replica_of(self, master: ValkeyServer) -> ValkeyServer:
        """The present replica of a master."""
        return next(node for node in self._living() if role(node) == "slave" and _primary_of(node) == master.port)

    # -- changes -----------------------------------------------------------------------------------------------------

    def fail_over(self, replica: ValkeyServer) -> None:
        """Make a replica the master, in an orderly way: nothing is lost."""
        replica.say("CLUSTER", "FAILOVER")
        self._until(lambda: role(replica) == "master")

    def promoted(self, replica: ValkeyServer) -> None:
        """Wait until a replica whose master died has taken over, and the cluster takes writes again."""
        self._until(lambda: role(replica) == "master" and facts(replica)["cluster_state"] == "ok")

    def mend(self) -> None:
        """Start again what was killed, and wait until every master has its replica."""
        for node in self.nodes:
            node.signal(signal.SIGCONT) if node.running else node.launch()
        self._until(lambda: [role(node) for node in self.nodes].count("master") == len(self.masters))
        replicas = [node for node in self.nodes if role(node) == "slave"]
        self._until(lambda: all(_link(node) == "up" for node in replicas))
        self._until(lambda: all(facts(node)["cluster_state"] == "ok" for node in self.nodes))

    def begin_move(self, slot: int, target: ValkeyServer) -> None:
        """Let a slot leave its master; its keys stay until `move_keys`."""
        source = self.master_of(slot)
        target.say("CLUSTER", "SETSLOT", slot, "IMPORTING", name_of(source))
        source.say("CLUSTER", "SETSLOT", slot, "MIGRATING", name_of(target))

    def move_keys(self, slot: int, target: ValkeyServer, most: int = 1000) -> None:
        """Take some of a slot's keys to the other master."""
        source = self.master_of(slot)
        keys = source.say("CLUSTER", "GETKEYSINSLOT", slot, most)
        if keys:
            source.say("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)

    def end_move(self, slot: int, target: ValkeyServer) -> None:
        """Say that the slot has moved: to the target first, so that no two masters send a client to and fro."""
        source = self.master_of(slot)
        for node in (target, source):
            node.say("CLUSTER", "SETSLOT", slot, "NODE", name_of(target))

    def move(self, slot: int, target: ValkeyServer) -> None:
        """Move a slot with all that is in it."""
        self.begin_move(slot, target)
        self.move_keys(slot, target)
        self.end_move(slot, target)

    def move_atomically(self, slot: int, target: ValkeyServer) -> None:
        """Move a slot as Valkey 9 does it by itself: no key is ever away."""
        source = self.master_of(slot)
        source.say("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", name_of(target))
        self._until(lambda: all(self._serves(node, slot, target) for node in self._living()))

    # -- within ------------------------------------------------------------------------------------------------------

    def _serves(self, node: ValkeyServer, slot: int, master: ValkeyServer) -> bool:
        """Whether a node knows that this master serves the slot."""
        ranges = node.say("CLUSTER", "SLOTS")
        return any(first <= slot <= last and found[1] == master.port for first, last, found, *_ in ranges)

    def _living(self) -> list[ValkeyServer]:
        return [node for node in self.nodes if node.running]

    def _follow(self, replica: ValkeyServer, master: ValkeyServer) -> None:
        replica.say("CLUSTER", "REPLICATE", name_of(master))
        self._until(lambda: _link(replica) == "up")

    def _followers(self, master: ValkeyServer) -> list[Any]:
        """Replicas of a master that all nodes know of; those that the fewest know of."""
        return min((node.say("CLUSTER", "REPLICAS", name_of(master)) for node in self.nodes), key=len)

    def _until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_S
        while not holds():
            assert time.monotonic() < deadline, "the cluster did not get that far"
            time.sleep(0.02)


def facts(node: ValkeyServer) -> dict[str, str]:
    """CLUSTER INFO."""
    return read_facts(node.say("CLUSTER", "INFO").decode())


def role(node: ValkeyServer) -> str:
    try:
        return str(node.say("INFO", "replication")["role"])
    except redis.ConnectionError:
        return "gone"


def _primary_of(replica: ValkeyServer) -> int:
    return int(replica.say("INFO", "replication")["master_port"])


def _link(replica: ValkeyServer) -> str:
    return str(replica.say("INFO", "replication").get("master_link_status"))


def name_of(node: ValkeyServer) -> str:
    name: bytes = node.say("CLUSTER", "MYID")
    return name.decode()
