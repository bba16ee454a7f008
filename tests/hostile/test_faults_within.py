"""A bug in one connection: 1011 for that socket, registries whole, everybody else unharmed."""

import sys
from collections.abc import Awaitable, Callable, Iterator

import pytest

from tests.support.clients import Close, Peer, connection, desktop, mobile, new_name
from tests.support.hub_process import HubProcess
from tests.support.raw import PING, frame, raw_client, raw_mobile

pytestmark = pytest.mark.hostile

FAULT = Close(1011, "internal_error")


@pytest.fixture(scope="module")
def faulty_hub() -> Iterator[HubProcess]:
    """A hub with bugs that a name sets off."""
    settings = {"HUB_HEARTBEAT_TIMEOUT_S": "4", "HUB_PING_INTERVAL_S": "0.5", "HUB_OFFLINE_GRACE_S": "0.2"}
    hub = HubProcess(settings, command=[sys.executable, "-m", "tests.support.faulty_hub"])
    try:
        yield hub.start()
    finally:
        hub.close()


async def unharmed(hub: HubProcess, act: Callable[[], Awaitable[None]]) -> None:
    """Have a pair talk before and after, and look that the hub has nobody on its books who is gone."""
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(hub, desktop_id, user) as agent, mobile(hub, user) as phone:
        await phone.expect("desktop:online", desktop_id=desktop_id)
        await talk(agent, phone, desktop_id)
        await act()
        await talk(agent, phone, desktop_id)
        assert hub.metric("hub_connections", kind="desktop") == hub.metric("hub_connections", kind="mobile") == 1
        assert hub.get("/healthz").status_code == 200


async def talk(agent: Peer, phone: Peer, desktop_id: str) -> None:
    await agent.send("agent:status", {"state": "idle"})
    await phone.expect("agent:status")
    await phone.send("user:message", {"desktop_id": desktop_id})
    await agent.expect("user:message")


@pytest.mark.parametrize("bug", ["bug-in-actor", "bug-in-codec"])
async def test_a_bug_while_a_desktops_message_is_taken(faulty_hub: HubProcess, bug: str) -> None:
    async def act() -> None:
        user, desktop_id = new_name("u"), new_name("d")
        async with mobile(faulty_hub, user) as phone:
            async with desktop(faulty_hub, desktop_id, user) as agent:
                await agent.send("agent:stream", message_id=bug)
                assert await agent.closed() == FAULT
            await phone.expect("desktop:offline", desktop_id=desktop_id, reason="lost")
            # It comes back, and all is as before.
            async with desktop(faulty_hub, desktop_id, user) as agent:
                await phone.expect("desktop:online", desktop_id=desktop_id)
                await talk(agent, phone, desktop_id)

    await unharmed(faulty_hub, act)


async def test_a_bug_while_a_phones_message_is_taken(faulty_hub: HubProcess) -> None:
    async def act() -> None:
        user, desktop_id = new_name("u"), new_name("d")
        async with desktop(faulty_hub, desktop_id, user) as agent, mobile(faulty_hub, user) as other:
            async with mobile(faulty_hub, user) as phone:
                await phone.send("user:message", {"desktop_id": desktop_id}, message_id="bug-in-codec")
                assert await phone.closed() == FAULT
            assert await agent.sync() == []
            await talk(agent, other, desktop_id)

    await unharmed(faulty_hub, act)


async def test_a_bug_in_the_transport(faulty_hub: HubProcess) -> None:
    async def act() -> None:
        async with raw_mobile(faulty_hub, new_name("u")) as phone:
            await phone.send(frame(PING, b"bug-in-transport"))
            assert await phone.close_frame() == FAULT
            await phone.hung_up()

    await unharmed(faulty_hub, act)


async def test_a_bug_when_the_alarm_rings(faulty_hub: HubProcess) -> None:
    async def act() -> None:
        async with mobile(faulty_hub, f"bug-in-alarm.{new_name('u')}") as phone:
            assert await phone.closed() == FAULT

    await unharmed(faulty_hub, act)


async def test_a_bug_while_a_phone_joins(faulty_hub: HubProcess) -> None:
    async def act() -> None:
        token = faulty_hub.mint.mobile(f"bug-in-join.{new_name('u')}")
        async with connection(faulty_hub, "/ws/mobile", token=token) as phone:
            assert await phone.closed() == FAULT

    await unharmed(faulty_hub, act)


@pytest.mark.parametrize("bug", ["bug-in-record", "bug-in-notice"])
async def test_a_desktop_whose_join_failed_half_way_is_on_nobodys_books(faulty_hub: HubProcess, bug: str) -> None:
    async def act() -> None:
        user, desktop_id = new_name("u"), new_name("d")
        token = faulty_hub.mint.desktop(desktop_id, user, name=bug)
        async with mobile(faulty_hub, user) as phone:
            async with connection(faulty_hub, "/ws/desktop", token=token) as agent:
                assert await agent.closed() == FAULT
            await phone.expect("desktop:offline", desktop_id=desktop_id, reason="lost")
            await phone.send("user:message", {"desktop_id": desktop_id}, message_id="while-away")
            await phone.expect("receipt", status="stored")
            async with desktop(faulty_hub, desktop_id, user, name=bug) as agent:
                await phone.expect("desktop:online", desktop_id=desktop_id)
                assert (await agent.expect("user:message")).whole["message_id"] == "while-away"
                await talk(agent, phone, desktop_id)

    await unharmed(faulty_hub, act)


async def test_a_bug_while_a_phone_parts(faulty_hub: HubProcess) -> None:
    async def act() -> None:
        user = f"bug-in-part.{new_name('u')}"
        async with (
            mobile(faulty_hub, user, device_id="v") as older,
            mobile(faulty_hub, user, device_id="v") as newer,
        ):
            # The older one's end is in the newer one's way, and does it no harm.
            assert await older.closed() == Close(4005, "superseded")
            assert await newer.sync() == []
            await newer.send("goodbye", {"reason": "bye"})
            assert (await newer.closed()).code == 1000

    await unharmed(faulty_hub, act)


async def test_a_bug_before_the_upgrade_is_a_problem(faulty_hub: HubProcess) -> None:
    async def act() -> None:
        token = faulty_hub.mint.mobile(f"bug-in-node.{new_name('u')}")
        async with raw_client(faulty_hub.port) as client:
            head = await client.upgrade("/ws/mobile", {"Authorization": f"Bearer {token}"})
            assert head.startswith(b"HTTP/1.1 500 ")
            assert b"application/problem+json" in head

    await unharmed(faulty_hub, act)


async def test_a_bug_in_a_look_up_is_a_problem(faulty_hub: HubProcess) -> None:
    async def act() -> None:
        answer = faulty_hub.get("/internal/presence/users/bug-in-store", token=faulty_hub.mint.service())
        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
        assert "InjectedError" not in answer.text

    await unharmed(faulty_hub, act)


async def test_each_bug_is_logged_with_its_traceback(faulty_hub: HubProcess) -> None:
    before = faulty_hub.log.count("InjectedError")
    async with desktop(faulty_hub, new_name("d"), new_name("u")) as agent:
        await agent.send("agent:stream", message_id="bug-in-actor")
        assert await agent.closed() == FAULT
    assert faulty_hub.log.count("InjectedError") > before
