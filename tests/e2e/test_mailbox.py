"""Mail for desktops that come and go, over real sockets and through Redis' absences (docs/protocol.md, "Receipts")."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.support.clients import Message, Peer, absent_desktop, desktop, handed_over, mobile, new_name, say
from tests.support.hub_process import HubProcess
from tests.support.hub_settings import NewHub
from tests.support.replays import until

pytest_plugins = ("tests.support.hub_fixtures",)

MOST_MESSAGES = 3
MOST_BYTES = 4096


@pytest.fixture(scope="module")
def small_hub() -> Iterator[HubProcess]:
    """A hub whose mailboxes are soon full, and that waits long for a lost desktop."""
    hub = HubProcess(
        {
            "HUB_RATE_LIMIT": "off",
            "HUB_MAX_MESSAGE_BYTES": "4096",
            "HUB_MAILBOX_BYTES": str(MOST_BYTES),
            "HUB_MAILBOX_MESSAGES": str(MOST_MESSAGES),
            "HUB_OFFLINE_GRACE_S": "30",
        }
    )
    try:
        yield hub.start()
    finally:
        hub.close()


@pytest.fixture(scope="module")
def keepless_hub() -> Iterator[HubProcess]:
    """A hub that keeps no messages."""
    hub = HubProcess({"HUB_MAILBOX": "off", "HUB_OFFLINE_GRACE_S": "30"})
    try:
        yield hub.start()
    finally:
        hub.close()


async def refusal(phone: Peer, message_id: str) -> str:
    """The code of the error that this message got."""
    return str((await phone.expect("error", message_id=message_id)).payload["code"])


def names(came: list[Message]) -> list[str | None]:
    return [message.message_id for message in came]


# -- while the desktop is away -----------------------------------------------------------------------------------------


async def test_what_waits_comes_in_the_order_in_which_it_was_stored(hub: HubProcess) -> None:
    user = new_name("u")
    async with mobile(hub, user, device_id="one") as phone, mobile(hub, user, device_id="two") as tablet:
        desktop_id = await absent_desktop(hub, user, phone)
        for number in range(10):
            sender = (phone, tablet)[number % 2]
            await say(sender, desktop_id, f"m-{number}")
            assert await sender.receipt(f"m-{number}") == "stored"
        async with desktop(hub, desktop_id, user) as agent:
            assert names(await handed_over(agent, phone, desktop_id)) == [f"m-{number}" for number in range(10)]


async def test_what_waits_comes_before_anything_newer(hub: HubProcess) -> None:
    """More than fits one page of the mailbox, and the phone goes on sending while the desktop comes."""
    user, before, after = new_name("u"), 300, 100
    async with mobile(hub, user) as phone:
        desktop_id = await absent_desktop(hub, user, phone)
        for number in range(before):
            await say(phone, desktop_id, f"m-{number}")
        await phone.expect("receipt", message_id=f"m-{before - 1}", status="stored")
        async with desktop(hub, desktop_id, user) as agent:
            for number in range(before, before + after):
                await say(phone, desktop_id, f"m-{number}")
            assert names(await handed_over(agent, phone, desktop_id)) == [
                f"m-{number}" for number in range(before + after)
            ]


async def test_a_desktop_that_lost_its_link_gets_its_mail_when_it_is_back_within_the_grace(
    small_hub: HubProcess,
) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with mobile(small_hub, user) as phone:
        async with desktop(small_hub, desktop_id, user) as agent:
            lost = lost_links(small_hub)
            agent.break_off()
            await until(lambda: lost_links(small_hub) > lost)
        await say(phone, desktop_id, "m")
        assert await phone.receipt("m") == "stored"
        async with desktop(small_hub, desktop_id, user) as agent:
            assert names(await handed_over(agent, phone, desktop_id)) == ["m"]
            came = await phone.up_to("receipt", message_id="m", status="delivered")
            assert "desktop:offline" not in {each.type for each in came}, "it was never away"


def lost_links(hub: HubProcess) -> float:
    """How many desktops lost their link, so far."""
    return hub.metric("hub_closes_total", kind="desktop", code="1006", reason="lost")


# -- handed over once, or until it is acknowledged ---------------------------------------------------------------------


async def test_without_ack_a_message_is_handed_over_once(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with mobile(hub, user) as phone:
        async with desktop(hub, desktop_id, user) as agent:
            await say(phone, desktop_id, "m")
            await phone.expect("receipt", status="delivered")
            assert names(await handed_over(agent, phone, desktop_id)) == ["m"]
            await phone.expect("receipt", status="delivered")
        async with desktop(hub, desktop_id, user) as agent:
            assert names(await handed_over(agent, phone, desktop_id)) == []


async def test_with_ack_a_message_comes_again_until_it_is_acknowledged(hub: HubProcess) -> None:
    user = new_name("u")
    async with mobile(hub, user) as phone:
        desktop_id = await absent_desktop(hub, user, phone)
        for name in "abc":
            await say(phone, desktop_id, name)
        await phone.send("user:message", {"desktop_id": desktop_id, "text": "nameless"})
        waiting: list[str | None] = ["a", "b", "c"]
        for acknowledged in "bac":
            async with desktop(hub, desktop_id, user, acks=True) as agent:
                came = [await agent.expect("user:message") for _ in waiting]
                assert names(came) == waiting
                await agent.send("ack", {"message_id": acknowledged})
                await phone.expect("receipt", message_id=acknowledged, status="acknowledged")
                waiting.remove(acknowledged)
        async with desktop(hub, desktop_id, user, acks=True) as agent:
            assert names(await handed_over(agent, phone, desktop_id)) == []


async def test_a_message_without_a_name_comes_once_though_the_desktop_says_ack(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with mobile(hub, user) as phone:
        async with desktop(hub, desktop_id, user, acks=True) as agent:
            await phone.send("user:message", {"desktop_id": desktop_id, "text": "nameless"})
            await agent.expect("user:message", text="nameless")
            await say(phone, desktop_id, "m")
            await phone.expect("receipt", message_id="m", status="delivered")
        async with desktop(hub, desktop_id, user, acks=True) as agent:
            assert names(await handed_over(agent, phone, desktop_id)) == ["m"]


async def test_a_newer_connection_gets_what_the_older_one_did_not_acknowledge(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with mobile(hub, user) as phone, desktop(hub, desktop_id, user, acks=True) as older:
        await say(phone, desktop_id, "m")
        await older.expect("user:message")
        await phone.expect("receipt", status="delivered")
        async with desktop(hub, desktop_id, user, acks=True) as newer:
            assert names(await handed_over(newer, phone, desktop_id)) == ["m"]
            assert (await older.closed()).code == 4005


async def test_mail_survives_the_hub(new_hub: NewHub) -> None:
    """What was stored comes after a restart; what was handed over and not acknowledged, again. So after `kill -9`."""
    hub = new_hub().start()
    user = new_name("u")
    async with mobile(hub, user, device_id="one") as phone:
        desktop_id = await absent_desktop(hub, user, phone)
        async with desktop(hub, desktop_id, user, acks=True) as agent:
            for name in ("handed over", "acknowledged"):
                await say(phone, desktop_id, name)
                assert (await agent.expect("user:message")).message_id == name
            await agent.send("ack", {"message_id": "acknowledged"})
            await phone.expect("receipt", status="acknowledged")
        await say(phone, desktop_id, "stored")
        assert await phone.receipt("stored") == "stored"
        assert await asyncio.to_thread(hub.stop) == 0
    for status in ("stored", "delivered"):
        hub.start()
        async with mobile(hub, user, device_id="one") as phone:
            await say(phone, desktop_id, "stored")  # Whoever isn't sure sends again.
            assert (await phone.expect("receipt", message_id="stored", status="duplicate")).payload["latest"] == status
            for _ in range(2):
                async with desktop(hub, desktop_id, user, acks=True) as agent:
                    came = [await agent.expect("user:message") for _ in range(2)]
                    assert names(came) == ["handed over", "stored"]
                    await phone.expect("receipt", message_id="stored", status="delivered")
            await say(phone, desktop_id, "acknowledged")
            duplicate = await phone.expect("receipt", message_id="acknowledged")
            assert duplicate.payload["latest"] == "acknowledged"
            hub.kill()


# -- full --------------------------------------------------------------------------------------------------------------


async def test_a_mailbox_that_holds_its_number_of_messages_takes_no_more_until_it_is_drained(
    small_hub: HubProcess,
) -> None:
    user = new_name("u")
    async with mobile(small_hub, user) as phone:
        desktop_id = await absent_desktop(small_hub, user, phone)
        for number in range(MOST_MESSAGES):
            await say(phone, desktop_id, f"m-{number}")
            assert await phone.receipt(f"m-{number}") == "stored"
        await say(phone, desktop_id, "over")
        error = (await phone.expect("error")).payload
        assert (error["code"], error["message_id"], error["retry_after_ms"]) == ("queue_full", "over", 1000)
        await say(phone, desktop_id, "m-0")
        assert await phone.receipt("m-0") == "duplicate"
        async with desktop(small_hub, desktop_id, user):
            await phone.expect("receipt", message_id=f"m-{MOST_MESSAGES - 1}", status="delivered")
        await say(phone, desktop_id, "over")
        assert await phone.receipt("over") == "stored"


async def test_a_mailbox_that_holds_its_bytes_takes_no_more_until_it_is_drained(small_hub: HubProcess) -> None:
    user, text = new_name("u"), "x" * (MOST_BYTES // 2)
    async with mobile(small_hub, user) as phone:
        desktop_id = await absent_desktop(small_hub, user, phone)
        await say(phone, desktop_id, "large", text)
        assert await phone.receipt("large") == "stored"
        await say(phone, desktop_id, "over", text)
        assert await refusal(phone, "over") == "queue_full"
        await say(phone, desktop_id, "small")
        assert await phone.receipt("small") == "stored"
        async with desktop(small_hub, desktop_id, user) as agent:
            assert names([await agent.expect("user:message") for _ in range(2)]) == ["large", "small"]
            await phone.expect("receipt", message_id="small", status="delivered")
        await say(phone, desktop_id, "over", text)
        assert await phone.receipt("over") == "stored"


async def test_a_desktop_that_says_no_ack_fills_its_mailbox(small_hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with mobile(small_hub, user) as phone, desktop(small_hub, desktop_id, user, acks=True) as agent:
        for number in range(MOST_MESSAGES):
            await say(phone, desktop_id, f"m-{number}")
            await phone.expect("receipt", message_id=f"m-{number}", status="delivered")
        await say(phone, desktop_id, "over")
        assert await refusal(phone, "over") == "queue_full"
        await agent.send("ack", {"message_id": "m-1"})
        await phone.expect("receipt", status="acknowledged")
        await say(phone, desktop_id, "over")
        assert await phone.receipt("over") == "stored"


# -- HUB_MAILBOX=off ---------------------------------------------------------------------------------------------------


async def test_a_hub_that_keeps_nothing_hands_over_or_refuses(keepless_hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with mobile(keepless_hub, user, device_id="one") as phone:
        async with desktop(keepless_hub, desktop_id, user, acks=True) as agent:
            for _ in range(2):
                await say(phone, desktop_id, "m")
                assert (await agent.expect("user:message")).message_id == "m"
                assert await phone.receipt("m") == "delivered"
            await agent.send("ack", {"message_id": "m"})
            assert await phone.receipt("m") == "acknowledged"
            late = time.time_ns() // 1_000_000 - 1000
            await phone.send("user:message", {"desktop_id": desktop_id}, message_id="late", valid_until=late)
            assert await phone.receipt("late") == "expired"
            assert await agent.sync() == []
            lost = lost_links(keepless_hub)
            agent.break_off()
            await until(lambda: lost_links(keepless_hub) > lost)
        await say(phone, desktop_id, "graced")
        assert await refusal(phone, "graced") == "desktop_offline"
        async with desktop(keepless_hub, desktop_id, user, acks=True) as agent:
            assert names(await handed_over(agent, phone, desktop_id)) == []
    keys = {key.split(":")[2] for key in keepless_hub.redis("KEYS", "hub:{" + user + "}:*")}
    assert not keys & {"mailbox", "receipts", "remembered", "kept"}
