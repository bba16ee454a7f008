"""What a phone is told about its messages to desktops, over real sockets (docs/protocol.md, "Receipts")."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.support.clients import Peer, absent_desktop, connection, desktop, handed_over, mobile, new_name, say
from tests.support.hub_process import HubProcess

pytest_plugins = ("tests.support.hub_fixtures",)

MAILBOX_AGE_S = 1.5
SWEPT_WITHIN_S = 5.0


@pytest.fixture(scope="module")
def forgetful_hub() -> Iterator[HubProcess]:
    """A hub whose mailboxes keep nothing for long, and that remembers few names."""
    hub = HubProcess(
        {
            "HUB_RATE_LIMIT": "off",
            "HUB_MAILBOX_AGE_S": str(MAILBOX_AGE_S),
            "HUB_MAILBOX_MESSAGES": "2",
            "HUB_DEDUPE_MESSAGES": "2",
        }
    )
    try:
        yield hub.start()
    finally:
        hub.close()


def in_ms(milliseconds: int) -> int:
    return time.time_ns() // 1_000_000 + milliseconds


async def next_receipt(phone: Peer) -> dict[str, Any]:
    return (await phone.expect("receipt")).payload


@pytest.mark.parametrize("kind", ["user:message", "session:create"])
async def test_a_message_to_a_connected_desktop_is_stored_and_delivered(hub: HubProcess, kind: str) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(hub, desktop_id, user) as agent, mobile(hub, user) as phone:
        await phone.send(kind, {"desktop_id": desktop_id, "session_id": "s"}, message_id="m")
        for status in ("stored", "delivered"):
            receipt = await phone.expect("receipt")
            assert receipt.payload == {"message_id": "m", "desktop_id": desktop_id, "status": status}
            assert set(receipt.whole) == {"type", "payload", "timestamp"}
        assert (await agent.expect(kind)).message_id == "m"


async def test_a_message_to_a_desktop_that_is_away_is_stored_and_delivered_on_its_return(hub: HubProcess) -> None:
    user = new_name("u")
    async with mobile(hub, user) as phone:
        desktop_id = await absent_desktop(hub, user, phone)
        await say(phone, desktop_id, "m")
        assert await phone.receipt("m") == "stored"
        async with desktop(hub, desktop_id, user) as agent:
            assert (await agent.expect("user:message")).message_id == "m"
            assert await phone.receipt("m") == "delivered"


async def test_a_desktop_that_says_ack_gives_a_third_receipt(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(hub, desktop_id, user, acks=True) as agent, mobile(hub, user) as phone:
        await say(phone, desktop_id, "m")
        await agent.expect("user:message")
        assert [await phone.receipt("m") for _ in range(2)] == ["stored", "delivered"]
        await agent.send("ack", {"message_id": "m"})
        assert await next_receipt(phone) == {"message_id": "m", "desktop_id": desktop_id, "status": "acknowledged"}


async def test_an_ack_for_what_is_not_there_changes_nothing(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(hub, desktop_id, user, acks=True) as agent, mobile(hub, user) as phone:
        await agent.send("ack", {"message_id": "m"})  # Too early.
        await agent.sync()
        await say(phone, desktop_id, "m")
        await agent.expect("user:message")
        for _ in range(2):  # The second one is too late.
            await agent.send("ack", {"message_id": "m"})
        assert [await phone.receipt("m") for _ in range(3)] == ["stored", "delivered", "acknowledged"]
        await handed_over(agent, phone, desktop_id)
        await say(phone, desktop_id, "m")
        assert (await phone.expect("receipt", message_id="m")).payload["latest"] == "acknowledged"
        assert await agent.sync() == []


async def test_ack_is_for_desktops_that_asked_for_it(hub: HubProcess) -> None:
    async with desktop(hub, new_name("d"), new_name("u")) as agent:
        await agent.send("ack", {"message_id": "m"}, message_id="a-1")
        error = (await agent.expect("error")).payload
        assert (error["code"], error["message_id"]) == ("type_not_allowed", "a-1")


@pytest.mark.parametrize("payload", [{}, {"message_id": 7}, {"message_id": ""}, {"message_id": "x" * 129}])
async def test_an_ack_that_names_no_message(hub: HubProcess, payload: dict[str, Any]) -> None:
    async with desktop(hub, new_name("d"), new_name("u"), acks=True) as agent:
        await agent.send("ack", payload)
        assert (await agent.expect("error")).payload["code"] == "bad_payload"


@pytest.mark.parametrize("asked", ["ack=2", "ack=true", "ack=01"])
async def test_ack_is_asked_for_in_one_way(hub: HubProcess, asked: str) -> None:
    token = hub.mint.desktop(new_name("d"), new_name("u"))
    with pytest.raises(InvalidStatus) as refused:
        async with connection(hub, f"/ws/desktop?{asked}", token=token):
            pass
    answer = refused.value.response
    assert (answer.status_code, json.loads(answer.body or b"")["code"]) == (400, "bad_request")


# -- duplicates --------------------------------------------------------------------------------------------------------


async def test_a_duplicate_tells_what_became_of_the_first(hub: HubProcess) -> None:
    user = new_name("u")
    async with mobile(hub, user) as phone:
        desktop_id = await absent_desktop(hub, user, phone)

        async def again() -> Any:
            await say(phone, desktop_id, "m")
            duplicate = (await phone.expect("receipt", status="duplicate")).payload
            assert duplicate == {**duplicate, "message_id": "m", "desktop_id": desktop_id}
            return duplicate["latest"]

        await say(phone, desktop_id, "m")
        assert await phone.receipt("m") == "stored"
        assert await again() == "stored"
        async with desktop(hub, desktop_id, user, acks=True) as agent:
            await phone.expect("receipt", status="delivered")
            assert await again() == "delivered"
            await agent.send("ack", {"message_id": "m"})
            await phone.expect("receipt", status="acknowledged")
            assert await again() == "acknowledged"
            assert [each.message_id for each in await handed_over(agent, phone, desktop_id)] == ["m"]


async def test_the_same_name_for_another_message_is_refused(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(hub, desktop_id, user) as agent, mobile(hub, user) as phone:
        payload = {"desktop_id": desktop_id, "session_id": "s"}
        await phone.send("user:message", payload, message_id="m")
        assert await phone.receipt("m") == "stored"
        for kind, other in (("user:message", {**payload, "more": 1}), ("session:create", payload)):
            await phone.send(kind, other, message_id="m")
            error = (await phone.expect("error")).payload
            assert (error["code"], error["message_id"]) == ("bad_payload", "m")
        assert [each.type for each in await handed_over(agent, phone, desktop_id)] == ["user:message"]


async def test_a_name_belongs_to_one_user_and_one_desktop_and_to_all_of_the_users_devices(hub: HubProcess) -> None:
    user, other, first, second, foreign = new_name("u"), new_name("u"), new_name("d"), new_name("d"), new_name("d")
    async with (
        desktop(hub, first, user),
        desktop(hub, second, user),
        desktop(hub, foreign, other),
        mobile(hub, user, device_id="one") as phone,
        mobile(hub, user, device_id="two") as tablet,
        mobile(hub, other, device_id="one") as stranger,
    ):
        for sender, desktop_id in ((phone, first), (phone, second), (stranger, foreign)):
            await say(sender, desktop_id, "m")
            for status in ("stored", "delivered"):
                await sender.expect("receipt", desktop_id=desktop_id, status=status)
        await say(tablet, first, "m")
        assert (await next_receipt(tablet))["latest"] == "delivered"


async def test_only_so_many_names_are_remembered(forgetful_hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(forgetful_hub, desktop_id, user), mobile(forgetful_hub, user) as phone:
        for number in range(3):
            await say(phone, desktop_id, f"m-{number}")
            await phone.expect("receipt", message_id=f"m-{number}", status="delivered")
        await say(phone, desktop_id, "m-2")
        assert await phone.receipt("m-2") == "duplicate"
        await say(phone, desktop_id, "m-0")
        assert await phone.receipt("m-0") == "stored"


# -- who is told -------------------------------------------------------------------------------------------------------


async def test_receipts_go_to_the_device_that_sent_and_to_nobody_else(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with (
        desktop(hub, desktop_id, user) as agent,
        mobile(hub, user, device_id="one") as phone,
        mobile(hub, user, device_id="two") as tablet,
        mobile(hub, user) as browser,
    ):
        await say(phone, desktop_id, "m")
        await phone.expect("receipt", status="delivered")
        await say(browser, desktop_id, "b")
        await browser.expect("receipt", status="delivered")
        for other, own in ((tablet, None), (phone, "m"), (browser, "b")):
            said = [each.payload["message_id"] for each in await other.sync() if each.type == "receipt"]
            assert set(said) <= {own}
        assert {each.type for each in await agent.sync()} == {"user:message"}


async def test_a_device_that_is_away_gets_its_receipts_when_it_is_back_once(hub: HubProcess) -> None:
    user = new_name("u")
    async with mobile(hub, user, device_id="one") as phone:
        desktop_id = await absent_desktop(hub, user, phone)
        for name in "abc":
            await say(phone, desktop_id, name)
            assert await phone.receipt(name) == "stored"
    async with mobile(hub, user, device_id="two") as tablet:
        async with desktop(hub, desktop_id, user, acks=True) as agent:
            for _ in "abc":
                await agent.send("ack", {"message_id": (await agent.expect("user:message")).message_id})
            await handed_over(agent, tablet, desktop_id)
        async with mobile(hub, user, device_id="one") as phone:
            said = [
                (each.payload["message_id"], each.payload["status"])
                for each in await phone.up_to("receipt", message_id="c", status="acknowledged")
                if each.type == "receipt"
            ]
            for name in "abc":
                assert [status for named, status in said if named == name] == ["delivered", "acknowledged"]
            await phone.sync()
        async with mobile(hub, user, device_id="one") as phone:
            await say(phone, desktop_id, "d")
            assert [
                each.payload for each in await phone.up_to("receipt", message_id="d") if each.type == "receipt"
            ] == [{"message_id": "d", "desktop_id": desktop_id, "status": "stored"}]
        said_to_tablet = {each.payload["message_id"] for each in await tablet.sync() if each.type == "receipt"}
        assert not said_to_tablet & set("abcd")


async def test_receipts_without_a_device_are_for_the_users_phones_without_one(hub: HubProcess) -> None:
    user = new_name("u")
    async with mobile(hub, user) as browser:
        desktop_id = await absent_desktop(hub, user, browser)
        for name in "ab":
            await say(browser, desktop_id, name)
            assert await browser.receipt(name) == "stored"
    async with mobile(hub, user) as first, mobile(hub, user) as second, mobile(hub, user, device_id="one") as phone:
        async with desktop(hub, desktop_id, user) as agent:
            await handed_over(agent, phone, desktop_id)
        for peer in (first, second):
            assert [await peer.receipt(name) for name in "ab"] == ["delivered", "delivered"]
        assert {each.payload["message_id"] for each in await phone.sync() if each.type == "receipt"}.isdisjoint("ab")


async def test_receipts_without_a_device_are_kept_when_no_such_phone_is_there(hub: HubProcess) -> None:
    user = new_name("u")
    async with mobile(hub, user) as browser:
        desktop_id = await absent_desktop(hub, user, browser)
        await say(browser, desktop_id, "m")
        assert await browser.receipt("m") == "stored"
    async with mobile(hub, user, device_id="one") as phone, desktop(hub, desktop_id, user) as agent:
        await handed_over(agent, phone, desktop_id)
        async with mobile(hub, user) as browser:
            assert await browser.receipt("m") == "delivered"


async def test_a_message_without_a_name_gets_no_receipts(hub: HubProcess) -> None:
    user = new_name("u")
    async with mobile(hub, user) as phone:
        desktop_id = await absent_desktop(hub, user, phone)
        for _ in range(2):
            await phone.send("user:message", {"desktop_id": desktop_id, "text": "the same"})
        async with desktop(hub, desktop_id, user) as agent:
            got = await handed_over(agent, phone, desktop_id)
            assert [(each.payload["text"], "message_id" in each.whole) for each in got] == [("the same", False)] * 2
        receipts = [each for each in await phone.sync() if each.type == "receipt"]
        assert len({each.payload["message_id"] for each in receipts}) == 1, "only of the last one"


# -- valid_until -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [True, False])
async def test_a_message_that_comes_too_late_is_expired_at_once(hub: HubProcess, there: bool) -> None:
    user = new_name("u")
    async with mobile(hub, user) as phone:
        desktop_id = await absent_desktop(hub, user, phone)
        if there:
            async with desktop(hub, desktop_id, user) as agent:
                await say(phone, desktop_id, "m", valid_until=in_ms(-1000))
                assert await phone.receipt("m") == "expired"
                assert await handed_over(agent, phone, desktop_id) == []
        else:
            await say(phone, desktop_id, "m", valid_until=in_ms(-1000))
            assert await phone.receipt("m") == "expired"
            async with desktop(hub, desktop_id, user) as agent:
                assert await handed_over(agent, phone, desktop_id) == []


async def test_valid_until_is_not_shown_to_be_over_before_it_is(hub: HubProcess) -> None:
    user, desktop_id, until = new_name("u"), new_name("d"), in_ms(60_000)
    async with desktop(hub, desktop_id, user) as agent, mobile(hub, user) as phone:
        await say(phone, desktop_id, "m", valid_until=until)
        assert (await agent.expect("user:message")).whole["valid_until"] == until


async def test_the_sender_learns_of_what_ran_out_though_the_desktop_never_comes_back(hub: HubProcess) -> None:
    user = new_name("u")
    async with mobile(hub, user, device_id="here") as phone, mobile(hub, user, device_id="leaves") as leaving:
        desktop_id = await absent_desktop(hub, user, phone)
        until = in_ms(600)
        await say(phone, desktop_id, "m", valid_until=until)
        await say(phone, desktop_id, "lasts")
        await say(leaving, desktop_id, "n", valid_until=until)
        assert await leaving.receipt("n") == "stored"
        await leaving.leave()
        expired = (await phone.expect("receipt", SWEPT_WITHIN_S, message_id="m", status="expired")).payload
        assert in_ms(0) > until
        assert expired == {"message_id": "m", "desktop_id": desktop_id, "status": "expired"}
        await say(phone, desktop_id, "m", valid_until=until)
        assert (await phone.expect("receipt", status="duplicate")).payload["latest"] == "expired"
        async with mobile(hub, user, device_id="leaves") as back:
            assert (await back.expect("receipt", SWEPT_WITHIN_S)).payload["status"] == "expired"
        async with desktop(hub, desktop_id, user) as agent:
            assert [each.message_id for each in await handed_over(agent, phone, desktop_id)] == ["lasts"]


async def test_a_desktop_that_has_it_may_say_ack_after_it_ran_out(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(hub, desktop_id, user, acks=True) as agent, mobile(hub, user) as phone:
        await say(phone, desktop_id, "m", valid_until=in_ms(500))
        for status in ("stored", "delivered", "expired"):
            assert await phone.receipt("m") == status
        await agent.send("ack", {"message_id": "m"})
        assert await phone.receipt("m") == "acknowledged"
    async with mobile(hub, user) as phone, desktop(hub, desktop_id, user, acks=True) as agent:
        assert [each.message_id for each in await handed_over(agent, phone, desktop_id)] == []


async def test_a_mailbox_keeps_nothing_for_longer_than_its_age(forgetful_hub: HubProcess) -> None:
    user = new_name("u")
    async with mobile(forgetful_hub, user) as phone:
        desktop_id = await absent_desktop(forgetful_hub, user, phone)
        begun = time.monotonic()
        await say(phone, desktop_id, "m", valid_until=in_ms(3_600_000))
        assert await phone.receipt("m") == "stored"
        assert await phone.receipt("m") == "expired"
        assert MAILBOX_AGE_S - 0.05 <= time.monotonic() - begun < MAILBOX_AGE_S + SWEPT_WITHIN_S
        async with desktop(forgetful_hub, desktop_id, user) as agent:
            assert await handed_over(agent, phone, desktop_id) == []
