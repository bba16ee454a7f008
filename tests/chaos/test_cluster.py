"""Nodes on a Valkey Cluster, workers that are replaced, and how soon a node is missed; under live traffic."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import pytest
import pytest_asyncio

from tests.chaos import stages
from tests.chaos.faults import Cluster, fail_over_a_master, move_slots, replace_all_workers
from tests.chaos.stages import Fault, judged
from tests.support.chaos_log import ChaosLog
from tests.support.chaos_nodes import Nodes
from tests.support.clients import desktop, mobile, new_name
from tests.support.valkey import ValkeyServer, free_ports

pytestmark = [pytest.mark.hostile, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(150)]

SEED = 20260
NODE_LOST_S = 15.0


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChaosLog]:
    """Its path is printed when a promise was broken."""
    with closing(ChaosLog(tmp_path_factory.mktemp("chaos-log") / "cluster.jsonl")) as log:
        yield log


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(log: ChaosLog) -> AsyncIterator[Cluster]:
    async with stages.cluster(log, random.Random(SEED)) as stage:
        yield stage


@pytest.mark.parametrize("fault", [move_slots, fail_over_a_master], ids=lambda fault: fault.__name__)
async def test_promises_are_kept(stage: Cluster, fault: Fault[Cluster]) -> None:
    stage.chance.seed(f"{SEED} {fault.__name__}")
    assert await judged(stage, fault) == [], stage.log.path


async def test_promises_are_kept_while_workers_are_replaced(log: ChaosLog) -> None:
    async with stages.two_workers(log, random.Random(SEED)) as stage:
        assert await judged(stage, replace_all_workers) == [], log.path


async def test_a_killed_node_is_noticed_within_15_s_by_phones_on_others() -> None:
    """With the lease as it comes, and a desktop that doesn't come back; `hub:presence` has it once."""
    server = ValkeyServer(port=free_ports(1)[0])
    try:
        server.start()
        async with Nodes(server.port, 2, {"HUB_NODE_LEASE_S": "10"}) as nodes:
            user, desktop_id = new_name("u"), new_name("d")
            dying, living = nodes.all
            dying.hub.mint = living.hub.mint = nodes.mint
            async with desktop(dying.hub, desktop_id, user) as agent, mobile(living.hub, user) as phone:
                await phone.expect("desktop:online", desktop_id=desktop_id)
                await asyncio.to_thread(changes, server, 1)
                nodes.kill(dying)
                began = time.monotonic()
                notice = await phone.expect("desktop:offline", NODE_LOST_S, desktop_id=desktop_id)
                assert notice.payload["reason"] == "node_lost"
                assert time.monotonic() - began < NODE_LOST_S
                agent.break_off()
                expected = [("online", ""), ("offline", "node_lost")]
                assert await asyncio.to_thread(changes, server, 2) == expected
    finally:
        server.close()


def changes(server: ValkeyServer, many: int) -> list[tuple[str, str]]:
    """All of `hub:presence`, when it has so many entries."""
    deadline = time.monotonic() + 5
    while len(entries := server.say("XRANGE", "hub:presence", "-", "+")) < many and time.monotonic() < deadline:
        time.sleep(0.02)
    return [(entry[b"state"].decode(), entry[b"reason"].decode()) for _, entry in entries]
