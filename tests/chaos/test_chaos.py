"""Nodes, Redis and links fail under live traffic, one kind of fault a test, on shared processes (docs/hostile.md)."""

import random
from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio

from tests.chaos import faults, stages
from tests.chaos.faults import Cluster, OfCluster, OfNodes, OfOneServer, OneServer
from tests.chaos.stages import judged
from tests.support.chaos_log import ChaosLog

pytestmark = [pytest.mark.hostile, pytest.mark.asyncio(loop_scope="module")]
SEED = 20260


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OneServer]:
    log = ChaosLog(tmp_path_factory.mktemp("chaos-log") / "one-server.jsonl")
    async with stages.one_server(log, random.Random(SEED)) as stage:
        yield stage


@pytest.mark.parametrize("fault", [*faults.OF_NODES, *faults.OF_ONE_SERVER], ids=lambda fault: fault.__name__)
async def test_nodes_on_one_server(one_server: OneServer, fault: OfOneServer) -> None:
    broken = await judged(one_server, [partial(fault, one_server)])
    assert broken == [], one_server.log.path
