"""What is known of a cluster, by nodes that say what a test has them say."""

import asyncio
from typing import Any, cast

import pytest
from redis.exceptions import ClusterDownError
from redis.exceptions import ConnectionError as Unreachable

from hub.redis_url import Address
from hub.store import topology as module
from hub.store.exchange import Pool
from hub.store.topology import Topology

A, B, C, D = (Address("127.0.0.1", port) for port in (1, 2, 3, 4))
WHOLE = [[0, 8191, [b"127.0.0.1", 1, b"id"], [b"127.0.0.1", 3, b"id"]], [8192, 16383, [b"", 2, b"id"]]]


class Nodes:
    """Says CLUSTER SLOTS; None for a node that isn't there, `...` for one that hangs."""

    def __init__(self) -> None:
        self.say: dict[Address, Any] = {}
        self.asked: list[Address] = []
        self.closed: list[Address] = []

    async def ask(self, pool: "NodePool", commands: object) -> list[Any]:
        self.asked.append(pool.address)
        said = self.say.get(pool.address)
        if said is ...:
            await asyncio.Event().wait()
        if said is None:
            raise Unreachable("not there")
        await asyncio.sleep(0)
        return [said]


class NodePool:
    def __init__(self, address: Address, nodes: Nodes) -> None:
        self.address = address
        self._nodes = nodes

    async def disconnect(self, inuse_connections: bool) -> None:
        assert not inuse_connections

    async def aclose(self) -> None:
        self._nodes.closed.append(self.address)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    nodes = Nodes()
    monkeypatch.setattr(module, "exchange", nodes.ask)
    monkeypatch.setattr(module, "AT_MOST_EVERY_S", 0.0)
    return nodes


def new(nodes: Nodes, *seeds: Address) -> Topology:
    return Topology(seeds, lambda address: cast("Pool", NodePool(address, nodes)), patience_s=0.05)


async def test_who_serves_what(nodes: Nodes) -> None:
    nodes.say[B] = WHOLE
    topology = new(nodes, B)
    await topology.look()
    assert (topology.serving(0), topology.serving(8191), topology.serving(8192)) == (A, A, B)
    assert topology.masters == [A, B]


async def test_those_who_come_first_wait_for_one_look(nodes: Nodes) -> None:
    nodes.say[A] = WHOLE
    topology = new(nodes, A)
    await asyncio.gather(*(topology.look() for _ in range(5)))
    assert nodes.asked == [A]
    assert topology.serving(1) == A


async def test_nobody_is_asked_without_a_doubt_and_not_too_often(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes.say[A] = WHOLE
    topology = new(nodes, A)
    await topology.look()
    await topology.look()
    monkeypatch.setattr(module, "AT_MOST_EVERY_S", 100.0)
    topology.doubt()
    await topology.look()
    assert nodes.asked == [A]


async def test_a_doubt_while_the_answer_is_under_way_stays(nodes: Nodes) -> None:
    nodes.say = dict.fromkeys((A, B, C), WHOLE)
    topology = new(nodes, A)
    looking = asyncio.create_task(topology.look())
    while not nodes.asked:
        await asyncio.sleep(0)
    topology.doubt()
    await looking
    await topology.look()
    assert len(nodes.asked) == 2


async def test_nodes_that_are_away_or_hang_are_passed_over(nodes: Nodes) -> None:
    nodes.say = {B: ..., C: WHOLE}
    topology = new(nodes, A, B, C)
    await topology.look()
    assert nodes.asked == [A, B, C]
    with pytest.raises(Unreachable):
        await new(nodes, D).look()


async def test_every_node_gets_its_turn_whatever_it_says(nodes: Nodes) -> None:
    """One that is cut off from the others tells what was true before."""
    nodes.say = dict.fromkeys((A, B, C), WHOLE)
    topology = new(nodes, A)
    for _ in range(6):
        await topology.look()
        topology.doubt()
    assert set(nodes.asked[1:4]) == set(nodes.asked[3:6]) == {A, B, C}


async def test_a_slot_that_moved_is_known_at_once_and_looked_up(nodes: Nodes) -> None:
    nodes.say = dict.fromkeys((A, B, C), WHOLE)
    topology = new(nodes, A)
    await topology.look()
    topology.moved(0, D)
    assert (topology.serving(0), topology.serving(1), topology.masters) == (D, A, [A, B, D])
    await topology.look()
    assert (topology.serving(0), topology.masters) == (A, [A, B])


async def test_a_slot_that_nobody_serves(nodes: Nodes) -> None:
    nodes.say[A] = WHOLE[:1]
    topology = new(nodes, A)
    await topology.look()
    with pytest.raises(ClusterDownError, match="slot 16383"):
        topology.serving(16383)


async def test_who_has_left_is_let_go(nodes: Nodes) -> None:
    nodes.say[A] = WHOLE
    topology = new(nodes, A)
    topology.moved(0, D)
    topology.pool(D)
    await topology.look()
    assert nodes.closed == [D]
