"""Nodes, Redis and links fail under live traffic, one kind of fault a test, on shared processes (docs/hostile.md)."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import pytest
import pytest_asyncio

from tests.chaos import faults, stages
from tests.chaos.faults import Cluster, OfCluster, OfNodes, OfOneServer, OneServer
from tests.chaos.stages import judged
from tests.support.chaos_log import ChaosLog
from tests.support.chaos_nodes import Nodes
from tests.support.clients import desktop, mobile, new_name
from tests.support.valkey import ValkeyServer, free_ports

pytestmark = [pytest.mark.hostile, pytest.mark.asyncio(loop_scope="module")]

SEED = 20260
NODE_LOST_S = 15.0


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChaosLog]:
    """Its path is printed when a promise was broken."""
    with closing(ChaosLog(tmp_path_factory.mktemp("chaos-log") / "chaos.jsonl")) as log:
        yield log


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_server(log: ChaosLog) -> AsyncIterator[OneServer]:
    async with stages.one_server(log, random.Random(SEED)) as stage:
        yield stage


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(log: ChaosLog) -> AsyncIterator[Cluster]:
    async with stages.cluster(log, random.Random(SEED)) as stage:
        yield stage


@pytest.mark.parametrize("fault", [*faults.OF_NODES, *faults.OF_ONE_SERVER], ids=lambda fault: fault.__name__)
async def test_nodes_on_one_server(one_server: OneServer, fault: OfNodes | OfOneServer) -> None:
    assert await judged(one_server, fault) == [], one_server.log.path


@pytest.mark.parametrize("fault", faults.OF_CLUSTER, ids=lambda fault: fault.__name__)
async def test_nodes_on_a_cluster(cluster: Cluster, fault: OfCluster) -> None:
    assert await judged(cluster, fault) == [], cluster.log.path


async def test_a_rolling_restart_of_workers(log: ChaosLog) -> None:
    async with stages.two_workers(log, random.Random(SEED)) as stage:
        assert await judged(stage, faults.replace_all_workers) == [], log.path


async def test_a_killed_node_is_noticed_within_15_s_by_phones_on_others() -> None:
    """With the lease as it comes, and nobody who comes back: the longest that it can take."""
    server = ValkeyServer(port=free_ports(1)[0])
    try:
        server.start()
        async with Nodes(server.port, 2, {"HUB_NODE_LEASE_S": "10"}) as nodes:
            user, desktop_id = new_name("u"), new_name("d")
            dying, living = nodes.all
            dying.hub.mint = living.hub.mint = nodes.mint
            async with desktop(dying.hub, desktop_id, user) as agent, mobile(living.hub, user) as phone:
                await phone.expect("desktop:online", desktop_id=desktop_id)
                nodes.kill(dying)
                began = time.monotonic()
                notice = await phone.expect("desktop:offline", NODE_LOST_S, desktop_id=desktop_id)
                assert notice.payload["reason"] == "node_lost"
                assert time.monotonic() - began < NODE_LOST_S
                agent.break_off()
                changes = await asyncio.to_thread(_changes, server)
            assert changes == [("online", ""), ("offline", "node_lost")]
    finally:
        server.close()


def _changes(server: ValkeyServer) -> list[tuple[str, str]]:
    """All of `hub:presence`, when it has two entries."""
    deadline = time.monotonic() + 5
    while len(entries := server.say("XRANGE", "hub:presence", "-", "+")) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    return [(entry[b"state"].decode(), entry[b"reason"].decode()) for _, entry in entries]
