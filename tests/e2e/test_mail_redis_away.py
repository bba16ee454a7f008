"""Mail while Redis is away, and when it is back (docs/protocol.md, "Receipts")."""

import asyncio
import signal
import time

import pytest

from tests.support.clients import WAIT_S, Message, Peer, absent_desktop, desktop, handed_over, mobile, new_name, say
from tests.support.hub_process import HubProcess
from tests.support.replays import until
from tests.support.valkey import ValkeyServer


async def refusal(phone: Peer, message_id: str) -> str:
    """The code of the error that this message got."""
    return str((await phone.expect("error", message_id=message_id)).payload["code"])


def names(came: list[Message]) -> list[str | None]:
    return [message.message_id for message in came]


@pytest.mark.parametrize("acks", [False, True])
async def test_while_redis_is_away_connected_desktops_get_their_mail_and_others_none(
    frail_hub: HubProcess, server: ValkeyServer, acks: bool
) -> None:
    hub = frail_hub
    user, here = new_name("u"), new_name("d")
    async with mobile(hub, user, device_id="one") as phone, desktop(hub, here, user, acks=acks) as agent:
        absent = await absent_desktop(hub, user, phone)
        await say(phone, here, "before")
        assert [await phone.receipt("before") for _ in range(2)] == ["stored", "delivered"]
        if acks:
            await agent.send("ack", {"message_id": "before"})
            assert await phone.receipt("before") == "acknowledged"
        server.kill()
        await until(lambda: bool(hub.get("/readyz").json()["degraded"]))
        begun = time.monotonic()
        await say(phone, absent, "a")
        error = (await phone.expect("error")).payload
        assert (error["code"], error["message_id"], error["retry_after_ms"]) == ("unavailable", "a", 500)
        await say(phone, here, "m")
        assert await phone.receipt("m") == "delivered"
        assert time.monotonic() - begun < 2
        if acks:
            await agent.send("ack", {"message_id": "m"})
            assert await phone.receipt("m") == "acknowledged"
        server.start()
        latest = "acknowledged" if acks else "delivered"
        await until_stored(phone, absent, "a")
        await say(phone, here, "m")
        assert (await phone.expect("receipt", message_id="m")).payload == {
            "message_id": "m",
            "desktop_id": here,
            "status": "duplicate",
            "latest": latest,
        }
        assert names(await handed_over(agent, phone, here)) == ["before", "m"]
    assert "Traceback" not in hub.log, hub.log


async def until_stored(phone: Peer, desktop_id: str, message_id: str) -> None:
    """Send again, as clients do, until it is stored."""
    async with asyncio.timeout(WAIT_S):
        while True:
            await say(phone, desktop_id, message_id)
            while (came := await phone.next()).payload.get("message_id") != message_id:
                pass
            if came.type == "receipt":
                assert came.payload["status"] == "stored"
                return
            await asyncio.sleep(0.05)


async def test_a_copy_that_redis_took_unnoticed_is_not_handed_over_again(
    frail_hub: HubProcess, server: ValkeyServer
) -> None:
    """Redis is stopped with the hub's question in its socket, and answers it when the hub has long given up."""
    hub = frail_hub
    user, here = new_name("u"), new_name("d")
    async with mobile(hub, user, device_id="one") as phone:
        absent = await absent_desktop(hub, user, phone)
        async with desktop(hub, here, user) as agent:
            server.signal(signal.SIGSTOP)
            await say(phone, here, "m")
            assert await phone.receipt("m") == "delivered"
            await say(phone, absent, "a")
            assert await refusal(phone, "a") == "unavailable"
            server.signal(signal.SIGCONT)
            await again_stored(phone, here)
            assert "m" in names(await handed_over(agent, phone, here))
            await phone.sync()
        async with desktop(hub, here, user) as agent:
            assert "m" not in names(await handed_over(agent, phone, here))
        await say(phone, here, "m")
        assert (await phone.expect("receipt", message_id="m")).payload["latest"] == "delivered"


async def again_stored(phone: Peer, desktop_id: str) -> None:
    """Wait until the hub stores messages again."""
    async with asyncio.timeout(WAIT_S):
        while True:
            name = new_name("probe")
            await say(phone, desktop_id, name)
            if await phone.receipt(name) == "stored":
                return
            await asyncio.sleep(0.05)


async def test_redis_comes_back_while_desktops_have_mail_waiting(frail_hub: HubProcess, server: ValkeyServer) -> None:
    """A desktop that connects while Redis is away gets what waits for it when Redis is back."""
    hub = frail_hub
    user = new_name("u")
    async with mobile(hub, user) as phone:
        desktop_id = await absent_desktop(hub, user, phone)
        await say(phone, desktop_id, "waits")
        assert await phone.receipt("waits") == "stored"
        server.kill()
        await until(lambda: bool(hub.get("/readyz").json()["degraded"]))
        async with desktop(hub, desktop_id, user) as agent:
            await say(phone, desktop_id, "direct")
            assert (await agent.expect("user:message")).message_id == "direct"
            server.start()
            assert (await agent.expect("user:message")).message_id == "waits"
            await phone.expect("receipt", message_id="waits", status="delivered")
