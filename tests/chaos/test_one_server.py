"""Three nodes on one Valkey: a fault of each kind under live traffic, one a test, on shared processes.

`make chaos` has more of them, and several in a row.
"""

import random
from collections.abc import AsyncIterator
from contextlib import closing

import pytest
import pytest_asyncio

from tests.chaos import stages
from tests.chaos.faults import (
    OneServer,
    cut_a_node_off,
    cut_the_links,
    kill_a_node,
    kill_valkey,
    pause_a_node_past_its_lease,
)
from tests.chaos.stages import Fault, judged
from tests.support.chaos_log import ChaosLog

pytestmark = [pytest.mark.hostile, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(150)]

SEED = 20260
FAULTS: list[Fault[OneServer]] = [kill_a_node, pause_a_node_past_its_lease, kill_valkey, cut_the_links, cut_a_node_off]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OneServer]:
    """The path of its log is printed when a promise was broken."""
    with closing(ChaosLog(tmp_path_factory.mktemp("chaos-log") / "one-server.jsonl")) as log:
        async with stages.one_server(log, random.Random(SEED)) as stage:
            yield stage


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_promises_are_kept(stage: OneServer, fault: Fault[OneServer]) -> None:
    stage.chance.seed(f"{SEED} {fault.__name__}")
    assert await judged(stage, fault) == [], stage.log.path
