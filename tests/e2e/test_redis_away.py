"""A real Valkey killed and started again under live traffic: nobody who is connected notices."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.clients import WAIT_S, Peer, desktop, mobile, new_name
from tests.support.hub_process import HubProcess
from tests.support.hub_settings import NewHub
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.hub_fixtures",)

BACK_S = 2.0


@pytest.fixture
def own_server() -> Iterator[ValkeyServer]:
    server = ValkeyServer("--appendonly", "no")
    server.start()
    yield server
    server.close()


def state_of(hub: HubProcess, desktop_id: str) -> Any:
    return hub.get(f"/internal/presence/desktops/{desktop_id}", token=hub.mint.service()).json()["state"]


async def until(holds: Callable[[], bool], within_s: float = WAIT_S) -> float:
    """Poll in a thread, since the question keeps whoever asks it waiting."""
    begun = time.monotonic()
    async with asyncio.timeout(within_s):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.02)
    return time.monotonic() - begun


class Traffic:
    """One pair that talks without a pause, both ways, and notes how long each message took."""

    def __init__(self, agent: Peer, phone: Peer, desktop_id: str) -> None:
        self._agent = agent
        self._phone = phone
        self._desktop_id = desktop_id
        self.rounds = 0
        self.slowest_s = 0.0

    async def flow(self) -> None:
        while True:
            begun = time.monotonic()
            await self._agent.send("agent:stream", {"n": self.rounds})
            await self._phone.send("user:message", {"n": self.rounds, "desktop_id": self._desktop_id})
            assert (await self._phone.expect("agent:stream")).payload["n"] == self.rounds
            assert (await self._agent.expect("user:message")).payload["n"] == self.rounds
            self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
            self.rounds += 1
            await asyncio.sleep(0.005)

    async def goes_on(self) -> None:
        """Wait until some more has flowed."""
        reached = self.rounds + 20
        async with asyncio.timeout(WAIT_S):
            while self.rounds < reached:
                await asyncio.sleep(0.01)


@pytest.mark.hostile
async def test_redis_is_killed_and_comes_back_under_live_traffic(new_hub: NewHub, own_server: ValkeyServer) -> None:
    hub: HubProcess = new_hub({"HUB_REDIS_URL": own_server.url, "HUB_RATE_LIMIT": "off"}).start()
    user, here, came, went = new_name("u"), new_name("d"), new_name("d"), new_name("d")
    async with desktop(hub, here, user) as agent, mobile(hub, user) as phone, desktop(hub, went, user) as leaving:
        traffic = Traffic(agent, phone, here)
        flowing = asyncio.create_task(traffic.flow())
        await until(lambda: state_of(hub, here) == state_of(hub, went) == "online")
        own_server.kill()
        await until(lambda: bool(hub.get("/readyz").json()["degraded"]))
        ready = hub.get("/readyz")
        assert (ready.status_code, ready.json()["redis"]) == (200, "away")
        for desktop_id in (here, went, "nowhere"):
            assert await asyncio.to_thread(state_of, hub, desktop_id) == "unknown"
        whole = hub.get(f"/internal/presence/users/{user}", token=hub.mint.service()).json()
        assert (whole["state"], whole["desktops"]) == ("unknown", [])
        async with desktop(hub, came, user):
            await leaving.leave()
            await traffic.goes_on()
            own_server.start()
            back_after = await until(lambda: state_of(hub, here) == state_of(hub, came) == "online")
            assert back_after <= BACK_S
            assert state_of(hub, went) == "offline"
            await until(lambda: not hub.get("/readyz").json()["degraded"])
            await traffic.goes_on()
        assert not flowing.done(), flowing.exception()
        flowing.cancel()
        assert traffic.slowest_s < 2
    assert hub.stop() == 0
    assert "Traceback" not in hub.log, hub.log


async def test_a_hub_that_finds_no_redis_starts_all_the_same(new_hub: NewHub, own_server: ValkeyServer) -> None:
    own_server.kill()
    hub: HubProcess = new_hub({"HUB_REDIS_URL": own_server.url}).start()
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(hub, desktop_id, user) as agent, mobile(hub, user) as phone:
        await agent.send("agent:status")
        await phone.expect("agent:status")
        await phone.send("user:message", {"desktop_id": "nowhere"}, message_id="m")
        error = (await phone.expect("error")).payload
        assert (error["code"], error["message_id"]) == ("unavailable", "m")
        assert error["retry_after_ms"] > 0
        assert await asyncio.to_thread(state_of, hub, desktop_id) == "unknown"
        own_server.start()
        assert await until(lambda: state_of(hub, desktop_id) == "online") <= BACK_S
    assert hub.stop() == 0


@pytest.mark.hostile
async def test_what_a_killed_hub_leaves_in_redis_is_gone_within_its_ttl(
    new_hub: NewHub, own_server: ValkeyServer
) -> None:
    settings = {"HUB_HEARTBEAT_TIMEOUT_S": "2", "HUB_PRESENCE_TTL_S": "2", "HUB_REDIS_URL": own_server.url}
    hub: HubProcess = new_hub(settings).start()
    user, desktop_id = new_name("u"), new_name("d")
    record_key = f"hub:{{{user}}}:desktop:{desktop_id}"
    async with desktop(hub, desktop_id, user):
        await until(lambda: state_of(hub, desktop_id) == "online")
        hub.kill()
        assert own_server.say("EXISTS", record_key) == 1
        assert await until(lambda: own_server.say("EXISTS", record_key) == 0) <= 2 + 1
    # It is known still, as one that is away.
    assert own_server.say("ZSCORE", f"hub:{{{user}}}:desktops", desktop_id) is not None
