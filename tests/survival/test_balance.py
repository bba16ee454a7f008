"""Workers are equally full, whatever the kernel's hash deals out (docs/operations.md, "Workers")."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack

import httpx
import pytest

from tests.support.clients import WAIT_S, Peer, desktop, mobile, new_name, say
from tests.support.hub_process import HubProcess
from tests.support.worker_hub import log_says, worker_pids

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

_OPEN = re.compile(r'^hub_connections\{kind="\w+",worker="(\d+)"\} (\S+)$', re.MULTILINE)


@pytest.fixture(scope="module")
def four() -> Iterator[HubProcess]:
    """A hub of four workers, which one test may harm."""
    hub = HubProcess({"HUB_WORKERS": "4", "HUB_RATE_LIMIT": "off", "HUB_DRAIN_SPREAD_S": "0"})
    try:
        yield hub.start()
    finally:
        hub.close()


async def fullness(hub: HubProcess, in_all: int | None) -> list[int]:
    """How many connections each worker has, once there are so many in all; or as it is."""
    async with httpx.AsyncClient(base_url=hub.url, trust_env=False) as client, asyncio.timeout(WAIT_S):
        while True:
            counts = dict.fromkeys(map(str, worker_pids(hub)), 0)
            for number, count in _OPEN.findall((await client.get("/metrics")).text):
                counts[number] = counts.get(number, 0) + int(float(count))
            if in_all in (sum(counts.values()), None):
                return sorted(counts.values())
            await asyncio.sleep(0.02)


async def crowd(hub: HubProcess, stack: AsyncExitStack, number: int, *, at_once: int) -> list[Peer]:
    """So many phones, each of a user of its own."""
    came: list[Peer] = []
    while len(came) < number:
        coming = (stack.enter_async_context(mobile(hub, new_name("u"))) for _ in range(at_once))
        came += await asyncio.gather(*coming)
    return came


async def test_who_comes_one_after_the_other_is_spread_evenly(four: HubProcess) -> None:
    async with AsyncExitStack() as stack:
        await crowd(four, stack, 40, at_once=1)
        least, *_, most = await fullness(four, 40)
        assert 9 <= least <= most <= 11


async def test_a_crowd_that_comes_at_once_is_spread_evenly(four: HubProcess) -> None:
    async with AsyncExitStack() as stack:
        await crowd(four, stack, 100, at_once=100)
        least, *_, most = await fullness(four, 100)
        assert 20 <= least <= most <= 30


@pytest.mark.hostile
async def test_after_a_death_who_comes_fills_the_new_worker_and_lacks_nothing(four: HubProcess) -> None:
    async with AsyncExitStack() as stack:
        await crowd(four, stack, 40, at_once=4)
        await fullness(four, 40)
        os.kill(worker_pids(four)[0], signal.SIGKILL)
        await log_says(four, "worker 0 is back")
        left = await fullness(four, None)
        assert left[0] == 0
        user, names = new_name("u"), [new_name("d") for _ in range(left[1] - 2)]
        desktops = [await stack.enter_async_context(desktop(four, name, user)) for name in names]
        phone = await stack.enter_async_context(mobile(four, user))
        assert await fullness(four, sum(left) + len(names) + 1) == [len(names) + 1, *left[1:]], "whoever accepted them"
        for name, agent in zip(names, desktops, strict=True):
            await say(phone, name, new_name("m"), text=name)
            await agent.expect("user:message", text=name)
            await agent.send("agent:response", {"by": name})
            await phone.expect("agent:response", by=name)
