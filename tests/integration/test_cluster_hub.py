"""A whole hub on a cluster: people talk through it over real sockets, also when a master dies."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.clients import WAIT_S, absent_desktop, desktop, mobile, new_name, say
from tests.support.hub_process import HubProcess
from tests.support.replays import last_heard, numbers, replayed, tell, until
from tests.support.valkey_cluster import ValkeyCluster

pytest_plugins = ("tests.support.valkey_fixtures",)


@pytest.fixture(scope="module")
def hub(frail_cluster: ValkeyCluster) -> Iterator[HubProcess]:
    hub = HubProcess({"HUB_REDIS_URL": frail_cluster.url, "HUB_RATE_LIMIT": "off"})
    try:
        yield hub.start()
    finally:
        hub.close()


def available(hub: HubProcess) -> bool:
    return hub.metric("hub_redis_available") == 1


def state(hub: HubProcess, desktop_id: str) -> str:
    answer = hub.get(f"/internal/presence/desktops/{desktop_id}", token=hub.mint.service())
    return str(answer.json()["state"])


async def test_a_message_reaches_its_desktop_and_its_sender_learns_of_it(hub: HubProcess) -> None:
    user, here = new_name("u"), new_name("d")
    async with mobile(hub, user) as phone, desktop(hub, here, user, acks=True) as agent:
        await say(phone, here, "m-1")
        message = await agent.expect("user:message")
        assert await phone.receipt("m-1") == "stored"
        assert await phone.receipt("m-1") == "delivered"
        await agent.send("ack", {"message_id": message.message_id})
        assert await phone.receipt("m-1") == "acknowledged"


async def test_a_message_waits_for_its_desktop(hub: HubProcess) -> None:
    user = new_name("u")
    async with mobile(hub, user) as phone:
        away = await absent_desktop(hub, user, phone)
        await say(phone, away, "m-2")
        assert await phone.receipt("m-2") == "stored"
        async with desktop(hub, away, user) as agent:
            assert (await agent.expect("user:message")).message_id == "m-2"
            assert await phone.receipt("m-2") == "delivered"


async def test_presence_is_told_to_services(hub: HubProcess) -> None:
    user, here = new_name("u"), new_name("d")
    async with desktop(hub, here, user):
        await until(lambda: state(hub, here) == "online")
    await until(lambda: state(hub, here) == "offline")


async def test_a_phone_that_comes_back_gets_what_it_missed(hub: HubProcess) -> None:
    user, here = new_name("u"), new_name("d")
    async with desktop(hub, here, user) as agent:
        async with mobile(hub, user) as phone:
            await tell(agent, "agent:response", 1)
            seen = await last_heard(phone, 1)
        await tell(agent, "agent:response", 2, 3)
        await agent.sync()
    async with mobile(hub, user, resume={here: seen}) as phone:
        came, resumed = await replayed(phone, here)
    assert numbers(came) == [2, 3]
    assert resumed.payload["complete"] is True


async def test_a_master_dies_and_all_goes_on(hub: HubProcess, frail_cluster: ValkeyCluster) -> None:
    user, here = new_name("u"), new_name("d")
    async with mobile(hub, user) as phone, desktop(hub, here, user) as agent:
        master = frail_cluster.master_of(0)
        replica = frail_cluster.replica_of(master)
        master.kill()
        await until(lambda: not available(hub))
        await say(phone, here, "direct")
        assert (await agent.expect("user:message")).message_id == "direct"
        await asyncio.to_thread(frail_cluster.promoted, replica)
        async with asyncio.timeout(WAIT_S):
            await until(lambda: available(hub))
        async with asyncio.timeout(WAIT_S):
            await _stored(hub, user, here)
        await until(lambda: state(hub, here) == "online")


async def _stored(hub: HubProcess, user: str, desktop_id: str) -> None:
    """Send messages until one is stored: the mailroom asks the cluster again by itself."""
    async with mobile(hub, user, device_id="later") as phone:
        number = 0
        while True:
            message_id = f"again-{(number := number + 1)}"
            await say(phone, desktop_id, message_id)
            if await phone.receipt(message_id) == "stored":
                return
            await asyncio.sleep(0.1)
