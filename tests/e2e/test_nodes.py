"""A user's phones and desktops on different nodes: they talk as on one (docs/protocol.md, "Nodes")."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, suppress

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.clients import (
    WAIT_S,
    Close,
    Message,
    Peer,
    absent_desktop,
    desktop,
    handed_over,
    mobile,
    new_name,
    say,
)
from tests.support.hub_process import HubProcess
from tests.support.replays import last_heard, numbers, replayed, said, tell, until
from tests.support.two_hubs import BURST, MOST, RATE, TwoHubs, post, running_two_hubs, shown

pytest_plugins = ("tests.support.two_hubs_fixtures",)

SUPERSEDED = Close(4005, "superseded")
ONE_TOO_MANY = Close(4007, "connection_limit")

APART_S = 0.1
"""So long may two nodes take to know of each other's connections, and so far apart may their clocks be: of connections
that come sooner one after the other, either may be taken for the newer."""


@pytest.fixture(scope="module")
def forgetful() -> Iterator[TwoHubs]:
    """Two nodes that keep no messages."""
    with running_two_hubs(HUB_MAILBOX="off") as pair:
        yield pair


# -- presence, and what desktops say -----------------------------------------------------------------------------------


async def test_a_desktop_is_shown_as_it_comes_and_goes(two_hubs: TwoHubs) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with mobile(two_hubs.there, user) as phone:
        async with desktop(two_hubs.here, desktop_id, user, name="Desk", platform="linux") as agent:
            online = await phone.expect("desktop:online")
            assert (online.payload["desktop_id"], online.payload["name"]) == (desktop_id, "Desk")
            async with mobile(two_hubs.there, user) as late:
                assert (await late.expect("desktop:online")).payload["since"] == online.payload["since"]
            await agent.leave("sleep")
        await phone.expect("desktop:offline", desktop_id=desktop_id, reason="sleep")
        async with mobile(two_hubs.here, user) as late:
            await late.expect("desktop:offline", desktop_id=desktop_id, reason="sleep")


async def test_what_a_desktop_says_comes_whole_and_in_order_to_the_phones_of_both(two_hubs: TwoHubs) -> None:
    user = new_name("u")
    async with (
        mobile(two_hubs.there, user) as far,
        mobile(two_hubs.here, user) as near,
        desktop(two_hubs.here, new_name("d"), user) as agent,
    ):
        for number in range(300):
            await tell(agent, ("agent:stream", "agent:status", "agent:response")[number % 3], number)
        heard = [await phone.up_to("agent:response", n=299) for phone in (near, far)]
        for came in heard:
            assert numbers(came) == list(range(300))
        texts = [[message.text for message in came if "offset" in message.whole] for came in heard]
        assert texts[0][-300:] == texts[1][-300:]


async def test_a_phone_comes_back_to_the_other_node_and_misses_nothing(two_hubs: TwoHubs) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(two_hubs.here, desktop_id, user) as agent:
        async with mobile(two_hubs.here, user) as phone:
            await tell(agent, "agent:response", 0)
            place = await last_heard(phone, 0)
        await tell(agent, "agent:stream", 1, 2)
        await tell(agent, "agent:response", 3)
        await agent.sync()
        async with mobile(two_hubs.there, user, resume={desktop_id: place}) as phone:
            came, resumed = await replayed(phone, desktop_id)
            assert said(came) == [("agent:stream", 1), ("agent:stream", 2), ("agent:response", 3)]
            assert resumed.payload["complete"] is True
            await tell(agent, "agent:stream", 4)
            assert numbers(await phone.up_to("agent:stream")) == [4]


@pytest.mark.parametrize("kind", ["agent:stream", "agent:response"])
async def test_a_desktop_moves_to_the_other_node_and_back(two_hubs: TwoHubs, kind: str) -> None:
    """A phone that stays misses nothing. One that comes back gets what is kept, or is told that there was more."""
    user, desktop_id = new_name("u"), new_name("d")
    async with mobile(two_hubs.there, user) as steady, desktop(two_hubs.here, desktop_id, user) as agent:
        await steady.expect("desktop:online")
        await tell(agent, kind, 0, 1)
        place = await last_heard(steady, 0)
        await agent.sync()
        await asyncio.sleep(APART_S)
        async with desktop(two_hubs.there, desktop_id, user) as moved:
            await tell(moved, kind, 2)
            await moved.sync()
            await asyncio.sleep(APART_S)
            async with desktop(two_hubs.here, desktop_id, user) as back:
                await tell(back, kind, 3)
                came = await steady.up_to(kind, n=3)
                assert numbers(came) == [1, 2, 3]
                assert [each.type for each in came] == [kind] * 3
                for hub in (two_hubs.here, two_hubs.there):
                    async with mobile(hub, user, resume={desktop_id: place}) as phone:
                        missed, resumed = await replayed(phone, desktop_id)
                        whole = numbers(missed) == [1, 2, 3]
                        assert whole or not resumed.payload["complete"]
                        assert whole or kind == "agent:stream"


# -- what phones say -----------------------------------------------------------------------------------------------


async def test_receipts_go_to_the_device_that_sent_the_message(two_hubs: TwoHubs) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with (
        desktop(two_hubs.here, desktop_id, user, acks=True) as agent,
        mobile(two_hubs.there, user, device_id="phone") as phone,
        mobile(two_hubs.here, user, device_id="tablet") as tablet,
        mobile(two_hubs.there, user) as nameless,
    ):
        for sender, device in ((phone, "phone"), (tablet, "tablet"), (nameless, None)):
            message_id = f"of {device}"
            await say(sender, desktop_id, message_id)
            came = await agent.expect("user:message")
            assert (came.message_id, came.whole["user_id"]) == (message_id, user)
            assert came.whole.get("device_id") == device
            await agent.send("ack", {"message_id": message_id})
            told = [await sender.receipt(message_id) for _ in range(3)]
            assert told == ["stored", "delivered", "acknowledged"]
        for each in (phone, tablet, nameless):
            assert [message for message in await each.sync() if message.type == "receipt"] == []


async def test_a_receipt_waits_for_a_device_that_comes_back_to_the_other_node(two_hubs: TwoHubs) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(two_hubs.here, desktop_id, user, acks=True) as agent:
        async with mobile(two_hubs.there, user, device_id="phone") as phone:
            await say(phone, desktop_id, "a")
            assert [await phone.receipt("a") for _ in range(2)] == ["stored", "delivered"]
        await agent.send("ack", {"message_id": "a"})
        await agent.sync()
        async with mobile(two_hubs.here, user, device_id="phone") as phone:
            assert await phone.receipt("a") == "acknowledged"


async def test_a_session_is_created_from_the_other_node(two_hubs: TwoHubs) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(two_hubs.here, desktop_id, user) as agent, mobile(two_hubs.there, user) as phone:
        await phone.send("session:create", {"desktop_id": desktop_id, "session_id": "s", "cwd": "/"}, message_id="a")
        came = await agent.expect("session:create")
        assert came.payload == {"desktop_id": desktop_id, "session_id": "s", "cwd": "/"}
        assert [await phone.receipt("a") for _ in range(2)] == ["stored", "delivered"]


async def test_a_name_counts_once_on_both_nodes(two_hubs: TwoHubs) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with (
        desktop(two_hubs.here, desktop_id, user) as agent,
        mobile(two_hubs.there, user, device_id="far") as far,
        mobile(two_hubs.here, user, device_id="near") as near,
    ):
        await say(far, desktop_id, "a")
        assert [await far.receipt("a") for _ in range(2)] == ["stored", "delivered"]
        await say(near, desktop_id, "a")
        again = (await near.expect("receipt", message_id="a")).payload
        assert (again["status"], again["latest"]) == ("duplicate", "delivered")
        await say(near, desktop_id, "a", text="something else")
        assert (await near.expect("error", message_id="a")).payload["code"] == "bad_payload"
        assert [message.message_id for message in await handed_over(agent, far, desktop_id)] == ["a"]


async def test_what_is_over_is_expired_and_a_strangers_desktop_is_not_found(two_hubs: TwoHubs) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with (
        desktop(two_hubs.here, desktop_id, user) as agent,
        mobile(two_hubs.there, user) as phone,
        mobile(two_hubs.there, new_name("u")) as stranger,
    ):
        await say(phone, desktop_id, "old", valid_until=1)
        assert await phone.receipt("old") == "expired"
        await say(stranger, desktop_id, "a")
        assert (await stranger.expect("error", message_id="a")).payload["code"] == "desktop_not_found"
        assert await handed_over(agent, phone, desktop_id) == []


async def test_what_waits_for_a_desktop_is_handed_over_on_whatever_node_it_comes(two_hubs: TwoHubs) -> None:
    user = new_name("u")
    async with mobile(two_hubs.there, user) as phone:
        desktop_id = await absent_desktop(two_hubs.there, user, phone)
        for message_id in "abc":
            await say(phone, desktop_id, message_id)
            assert await phone.receipt(message_id) == "stored"
        async with desktop(two_hubs.here, desktop_id, user) as agent:
            assert [message.message_id for message in await handed_over(agent, phone, desktop_id)] == ["a", "b", "c"]
            assert [await phone.receipt(message_id) for message_id in "abc"] == ["delivered"] * 3


async def test_without_a_mailbox(forgetful: TwoHubs) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    path = f"users/{user}/desktops/{desktop_id}/messages"
    async with mobile(forgetful.there, user) as phone:
        async with desktop(forgetful.here, desktop_id, user) as agent:
            await phone.expect("desktop:online")
            await say(phone, desktop_id, "a")
            assert (await agent.expect("user:message")).message_id == "a"
            assert await phone.receipt("a") == "delivered"
            status, answer = await post(forgetful.there, path, payload={}, message_id="b")
            assert (status, answer["status"]) == (200, "delivered")
            assert (await agent.expect("user:message")).message_id == "b"
            await agent.leave()
        await phone.expect("desktop:offline")
        await until(lambda: forgetful.owner(desktop_id) == user)
        await say(phone, desktop_id, "c")
        assert (await phone.expect("error", message_id="c")).payload["code"] == "desktop_offline"
        assert (await post(forgetful.here, path, payload={}))[0] == 409
        assert [message for message in await phone.sync() if message.type == "receipt"] == []


# -- who yields --------------------------------------------------------------------------------------------------------


async def test_of_two_connections_of_a_desktop_the_newer_stays(two_hubs: TwoHubs) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with (
        mobile(two_hubs.there, user) as far,
        mobile(two_hubs.here, user) as near,
        desktop(two_hubs.here, desktop_id, user) as older,
    ):
        for phone in (far, near):
            await phone.expect("desktop:online", desktop_id=desktop_id)
        async with desktop(two_hubs.there, desktop_id, user) as newer:
            assert await older.closed() == SUPERSEDED
            await tell(newer, "agent:response", 1)
            for phone in (far, near):
                assert shown(await phone.up_to("agent:response"), desktop_id) == []
            await say(near, desktop_id, "a")
            assert (await newer.expect("user:message")).message_id == "a"


async def test_of_two_connections_of_a_device_the_newer_stays(two_hubs: TwoHubs) -> None:
    user = new_name("u")
    async with (
        mobile(two_hubs.here, user, device_id="phone") as older,
        mobile(two_hubs.here, user, device_id="tablet") as other,
        mobile(two_hubs.there, user, device_id="phone") as newer,
    ):
        assert await older.closed() == SUPERSEDED
        for phone in (newer, other):
            await phone.sync()


async def test_a_desktop_gets_another_owner_on_another_node(two_hubs: TwoHubs) -> None:
    old_user, new_user, desktop_id = new_name("u"), new_name("u"), new_name("d")
    async with (
        mobile(two_hubs.here, old_user) as near,
        mobile(two_hubs.there, old_user) as far,
        mobile(two_hubs.here, new_user) as new_owner,
        desktop(two_hubs.here, desktop_id, old_user) as older,
    ):
        for phone in (near, far):
            await phone.expect("desktop:online", desktop_id=desktop_id)
        async with desktop(two_hubs.there, desktop_id, new_user) as newer:
            assert await older.closed() == SUPERSEDED
            for phone in (near, far):
                await phone.expect("desktop:offline", desktop_id=desktop_id, reason="superseded")
            await new_owner.expect("desktop:online", desktop_id=desktop_id)
            await tell(newer, "agent:response", 1)
            await new_owner.expect("agent:response")
            for phone in (near, far):
                assert numbers(await phone.sync()) == []
                await say(phone, desktop_id, "a")
                assert (await phone.expect("error", message_id="a")).payload["code"] == "desktop_not_found"


@pytest.mark.parametrize("kind", ["desktop", "mobile"])
async def test_a_user_has_so_many_connections_on_both_nodes_together(two_hubs: TwoHubs, kind: str) -> None:
    user, here, there = new_name("u"), two_hubs.here, two_hubs.there

    def one(hub: HubProcess) -> AbstractAsyncContextManager[Peer]:
        return mobile(hub, user) if kind == "mobile" else desktop(hub, new_name("d"), user)

    assert MOST == 3
    async with one(here) as first, one(there) as second, one(here) as third:
        for hub in (here, there):
            await asyncio.sleep(APART_S)
            async with one(hub) as fourth:
                assert await fourth.closed() == ONE_TOO_MANY
        for peer in (first, second, third):
            await peer.sync()
        await third.leave()
        async with asyncio.timeout(WAIT_S):
            while await is_one_too_many(one(there)):
                await asyncio.sleep(0.02)


async def is_one_too_many(coming: AbstractAsyncContextManager[Peer]) -> bool:
    """Whether a connection is closed for that; else it goes again."""
    async with coming as peer:
        with suppress(ConnectionClosed):
            await peer.send("goodbye", {"reason": "quit"})
        return await peer.closed() == ONE_TOO_MANY


@pytest.mark.hostile
async def test_the_phones_of_a_user_have_one_pace_on_both_nodes(two_hubs: TwoHubs) -> None:
    """Each sends less than the burst, both together more."""
    user, desktop_id, many = new_name("u"), new_name("d"), BURST - 5
    async with (
        desktop(two_hubs.here, desktop_id, user) as agent,
        mobile(two_hubs.here, user) as near,
        mobile(two_hubs.there, user) as far,
    ):
        await far.expect("desktop:online")
        names: dict[Peer, list[str]] = {
            near: [f"near {n}" for n in range(many)],
            far: [f"far {n}" for n in range(many)],
        }
        refused: dict[Peer, list[str]] = {}
        for phone, messages in names.items():
            for message_id in messages:
                await say(phone, desktop_id, message_id)
            refused[phone] = []
            for error in [each.payload for each in await answered(phone, messages) if each.type == "error"]:
                assert error["code"] == "rate_limited"
                assert 0 < error["retry_after_ms"] <= 1000 // RATE * many + 1000
                refused[phone].append(error["message_id"])
        assert refused[near] == []
        assert 0 < len(refused[far]) <= 2 * many - BURST
        for phone, messages in names.items():  # What was stored doesn't count again.
            again = [message_id for message_id in messages if message_id not in refused[phone]]
            for message_id in again:
                await say(phone, desktop_id, message_id)
            told = await answered(phone, again)
            assert {each.payload.get("status") for each in told} == {"duplicate"}
        last = refused[far][-1]
        await asyncio.sleep(1 / RATE)
        await say(far, desktop_id, last)
        assert await far.receipt(last) == "stored"
        assert (await agent.up_to("user:message", text="hello"))[-1].message_id == "near 0"


async def answered(phone: Peer, message_ids: list[str]) -> list[Message]:
    """The first answer to each of these messages, in the order in which they came."""
    answers: dict[str, Message] = {}
    while len(answers) < len(message_ids):
        message = await phone.next()
        is_answer = message.type == "error" or message.payload.get("status") in {"stored", "duplicate"}
        if is_answer and message.payload["message_id"] in message_ids:
            answers.setdefault(message.payload["message_id"], message)
    return list(answers.values())
