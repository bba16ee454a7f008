"""The state of a Redis Cluster, as one of its nodes sees it."""

from collections.abc import Iterator
from dataclasses import dataclass

from hub.doctor.finding import Finding, error, ok, warning
from hub.doctor.redis_server import RedisServer

_ABOUT = "cluster"
_SLOTS = 16_384


@dataclass(frozen=True, slots=True)
class ClusterNode:
    """One line of CLUSTER NODES."""

    name: str
    host: str
    port: int
    flags: frozenset[str]
    primary: str
    """The name of the node that it is a replica of; `-` for a primary."""
    moving: bool
    """Whether one of its slots is on its way to or from it."""


def read_nodes(text: str) -> list[ClusterNode]:
    """Read CLUSTER NODES: `NAME HOST:PORT@BUS[,HOSTNAME] FLAGS PRIMARY ...`; fields after the eighth are slots."""
    nodes = []
    for line in text.splitlines():
        name, address, flags, primary, _, _, _, _, *slots = line.split()
        host, _, port = address.partition("@")[0].rpartition(":")
        moving = any(slot.startswith("[") for slot in slots)
        nodes.append(ClusterNode(name, host, int(port), frozenset(flags.split(",")), primary, moving))
    return nodes


def check_cluster(server: RedisServer, scheme: str) -> Iterator[Finding]:
    """Compare what the URL says with what is there, and look for slots and nodes that are missing."""
    if server.in_cluster != scheme.endswith("+cluster"):
        yield _wrong_scheme(server, scheme)
    if server.in_cluster:
        yield from _check_slots(server)
        yield from _check_nodes(read_nodes(server.cluster_nodes))


def _wrong_scheme(server: RedisServer, scheme: str) -> Finding:
    if server.in_cluster:
        return error(
            _ABOUT, f"a node of a cluster, and HUB_REDIS_URL is {scheme}://", f"use {_secured(scheme)}+cluster://"
        )
    return error(_ABOUT, f"no cluster, and HUB_REDIS_URL is {scheme}://", f"use {_secured(scheme)}://")


def _secured(scheme: str) -> str:
    return "rediss" if scheme.startswith("rediss") else "redis"


def _check_slots(server: RedisServer) -> Iterator[Finding]:
    state = server.cluster_facts.get("cluster_state", "?")
    served, size = int(server.cluster_facts.get("cluster_slots_ok", "0")), server.cluster_facts.get("cluster_size")
    if state == "ok" and served == _SLOTS:
        yield ok(_ABOUT, f"state ok, {size} primaries, all slots served")
    else:
        yield error(
            _ABOUT,
            f"state {state}, {_SLOTS - served} of {_SLOTS} slots aren't served",
            "bring the missing primaries back, or give their slots to others (valkey-cli --cluster fix)",
        )


def _check_nodes(nodes: list[ClusterNode]) -> Iterator[Finding]:
    followed = {node.primary for node in nodes if not node.flags & {"fail", "fail?"}}
    for node in nodes:
        where = f"{node.host}:{node.port}"
        if node.flags & {"fail", "fail?", "noaddr"}:
            yield warning(_ABOUT, f"node {where} is taken for dead", "start it again, or have it forgotten")
        elif "master" in node.flags and node.name not in followed:
            yield warning(_ABOUT, f"primary {where} has no replica: its death stops its slots", "add a replica")
        if node.moving:
            yield warning(_ABOUT, f"slots of {where} are on the move", "wait for the end of the resharding")
