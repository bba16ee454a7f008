"""Every message of the contract, over real sockets, as desktops and phones see it (docs/protocol.md, "Messages")."""

import asyncio
import json
import time

import pytest

from tests.support.clients import desktop, envelope, mobile, new_name
from tests.support.hub_process import HubProcess

pytest_plugins = ("tests.support.hub_fixtures",)

AGENT_TYPES = ["agent:response", "agent:stream", "agent:status"]
ODD_PAYLOAD = (
    '{ "b":1,\n\t"a" : "\\u00e4\u00e4 \\/ \U0001f600 \u2028", "b":2.50, "n":1E+2,"":[ ],"nested":{"desktop_id":"x"} }'
)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def test_welcome_is_first_and_says_what_holds(hub: HubProcess) -> None:
    begun = now_ms()
    expires_s = int(time.time() + 900)
    async with mobile(hub, new_name("u"), exp=expires_s) as phone:
        welcome = phone.welcome
        assert begun <= welcome.pop("server_time") <= now_ms()
        assert isinstance(welcome.pop("connection_id"), str)
        assert welcome.pop("node_id") == hub.get("/readyz").json()["node_id"]
        assert welcome == {
            "heartbeat_ms": 30_000,
            "timeout_ms": 120_000,
            "max_bytes": 1_048_576,
            "token_expires_at": expires_s * 1000,
        }


@pytest.mark.parametrize("side", ["desktop", "mobile"])
async def test_a_heartbeat_is_answered(hub: HubProcess, side: str) -> None:
    user = new_name("u")
    async with desktop(hub, new_name("d"), user) if side == "desktop" else mobile(hub, user) as peer:
        begun = now_ms()
        await peer.send("heartbeat")
        ack = await peer.expect("heartbeat:ack")
        assert begun <= ack.payload["server_time"] <= now_ms()
        assert ack.payload["next_ms"] == 30_000
        assert set(ack.whole) == {"type", "payload", "timestamp"}


@pytest.mark.parametrize("kind", AGENT_TYPES)
async def test_what_an_agent_says_reaches_all_phones_of_its_owner_and_nobody_else(hub: HubProcess, kind: str) -> None:
    user, stranger, desktop_id = new_name("u"), new_name("u"), new_name("d")
    async with (
        mobile(hub, user) as phone,
        mobile(hub, user) as tablet,
        mobile(hub, stranger) as foreign,
        desktop(hub, desktop_id, user) as agent,
    ):
        sent = {"type": kind, "payload": {"text": "hello"}, "timestamp": 17, "message_id": "m-1"}
        await agent.socket.send(json.dumps(sent))
        for peer in (phone, tablet):
            seen = (await peer.expect(kind)).whole
            assert seen.pop("offset").endswith("-1")
            assert seen == {**sent, "desktop_id": desktop_id}
        assert await foreign.sync() == []
        assert await agent.sync() == []


@pytest.mark.parametrize("kind", ["user:message", "session:create"])
async def test_what_a_phone_says_reaches_the_desktop_that_it_names_and_no_other(hub: HubProcess, kind: str) -> None:
    user, named, other = new_name("u"), new_name("d"), new_name("d")
    async with (
        desktop(hub, named, user) as wanted,
        desktop(hub, other, user) as unwanted,
        mobile(hub, user, device_id="tablet-1") as phone,
    ):
        payload = {"desktop_id": named, "session_id": "s-1", "text": "hello"}
        sent = {"type": kind, "payload": payload, "timestamp": 18, "message_id": "m-2"}
        await phone.socket.send(json.dumps(sent))
        assert (await wanted.expect(kind)).whole == {**sent, "user_id": user, "device_id": "tablet-1"}
        assert await unwanted.sync() == []


async def test_a_phone_without_a_device_is_stamped_with_its_user_only(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(hub, desktop_id, user) as agent, mobile(hub, user) as phone:
        await phone.send("user:message", {"desktop_id": desktop_id})
        came = await agent.expect("user:message")
        assert came.whole["user_id"] == user
        assert not {"device_id", "message_id"} & set(came.whole)


@pytest.mark.parametrize("payload", ["{}", ODD_PAYLOAD, json.dumps({"text": "x" * 300_000})])
async def test_payloads_are_forwarded_byte_for_byte_to_phones(hub: HubProcess, payload: str) -> None:
    user = new_name("u")
    async with mobile(hub, user) as phone, desktop(hub, new_name("d"), user) as agent:
        await agent.socket.send(f' {{ "payload" : {payload} ,"timestamp": 1, "type":"agent:stream"}} ')
        assert (await phone.expect("agent:stream")).raw_payload == payload


async def test_payloads_are_forwarded_byte_for_byte_to_desktops(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    payload = f'{{ "desktop_id" : "{desktop_id}",\t"text":"\\u00e4\u00e4 \U0001f600", "n":1.50 }}'
    async with desktop(hub, desktop_id, user) as agent, mobile(hub, user) as phone:
        await phone.socket.send(f'{{"type":"user:message","payload":{payload},"timestamp":1}}')
        assert (await agent.expect("user:message")).raw_payload == payload


async def test_nobody_can_speak_as_somebody_else(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    forged = {"desktop_id": "d-forged", "user_id": "u-forged", "device_id": "v-forged", "offset": 7, "mine": True}
    async with desktop(hub, desktop_id, user) as agent, mobile(hub, user, device_id="v-1") as phone:
        await agent.send("agent:status", {"state": "idle"}, **forged)
        seen = (await phone.expect("agent:status")).whole
        assert seen["desktop_id"] == desktop_id
        assert seen["offset"] != 7
        assert not {"user_id", "device_id", "mine"} & set(seen)
        await phone.send("user:message", {"desktop_id": desktop_id}, **forged)
        seen = (await agent.expect("user:message")).whole
        assert (seen["user_id"], seen["device_id"]) == (user, "v-1")
        assert not {"desktop_id", "offset", "mine"} & set(seen)


async def test_messages_keep_their_order_in_both_directions(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(hub, desktop_id, user) as agent, mobile(hub, user) as phone:
        for number in range(300):
            await agent.send("agent:stream", {"n": number})
            await phone.send("user:message", {"n": number, "desktop_id": desktop_id})
        for number in range(300):
            assert (await phone.expect("agent:stream")).payload["n"] == number
            assert (await agent.expect("user:message")).payload["n"] == number


async def test_the_snapshot_shows_every_known_desktop(hub: HubProcess) -> None:
    user, here, away = new_name("u"), new_name("d"), new_name("d")
    begun = now_ms()
    async with mobile(hub, user) as witness:
        async with desktop(hub, away, user, name="Old one", platform="linux") as leaving:
            await leaving.leave("hibernating")
        await witness.expect("desktop:offline", desktop_id=away)
        async with desktop(hub, here, user, name="Büro", platform="darwin"), mobile(hub, user) as phone:
            online = (await phone.expect("desktop:online", desktop_id=here)).payload
            async with mobile(hub, user) as another:
                offline = (await another.expect("desktop:offline", desktop_id=away)).payload
    assert begun <= online.pop("since") <= online.pop("last_seen") <= now_ms()
    assert online == {"desktop_id": here, "name": "Büro", "platform": "darwin"}
    assert begun <= offline.pop("last_seen") <= now_ms()
    assert offline == {"desktop_id": away, "name": "Old one", "platform": "linux", "reason": "hibernating"}


async def test_phones_see_desktops_come_and_go(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with mobile(hub, user) as phone:
        async with desktop(hub, desktop_id, user, name="Desk"):
            came = await phone.expect("desktop:online", desktop_id=desktop_id)
            assert came.payload["name"] == "Desk"
        gone = await phone.expect("desktop:offline", within_s=5, desktop_id=desktop_id)
        assert gone.payload["reason"] == "closed"


async def test_phones_see_a_desktop_change_its_name(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with mobile(hub, user) as phone, desktop(hub, desktop_id, user, name="Old"):
        first = (await phone.expect("desktop:online", desktop_id=desktop_id, name="Old")).payload
        async with desktop(hub, desktop_id, user, name="New", platform="darwin"):
            second = (await phone.expect("desktop:online", desktop_id=desktop_id, name="New")).payload
            assert (second["platform"], second["since"]) == ("darwin", first["since"])


async def test_a_goodbye_is_answered_with_1000_and_its_reason_is_passed_on(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with mobile(hub, user) as phone, desktop(hub, desktop_id, user) as agent:
        await agent.send("goodbye", {"reason": "user_quit"})
        assert (await agent.closed()).code == 1000
        await phone.expect("desktop:offline", desktop_id=desktop_id, reason="user_quit")
        await phone.send("goodbye", {"reason": "done"})
        assert (await phone.closed()).code == 1000


async def test_a_lost_link_is_told_after_the_grace_and_one_that_is_back_by_then_never(hub: HubProcess) -> None:
    user, lost, back = new_name("u"), new_name("d"), new_name("d")
    async with mobile(hub, user) as phone, desktop(hub, lost, user) as one, desktop(hub, back, user) as two:
        await phone.expect("desktop:online", desktop_id=back)
        begun = time.monotonic()
        two.break_off()
        async with desktop(hub, back, user) as again:
            one.break_off()
            await phone.expect("desktop:offline", desktop_id=lost, reason="lost")
            assert time.monotonic() - begun >= 0.6
            await phone.send("user:message", {"desktop_id": back})
            await again.expect("user:message")
            assert await phone.sync() == []


async def test_a_message_with_a_number_of_parts_is_put_together(hub: HubProcess) -> None:
    user = new_name("u")
    async with mobile(hub, user) as phone, desktop(hub, new_name("d"), user) as agent:
        text = envelope("agent:stream", {"text": "ä" * 1000})
        await agent.socket.send([text[start : start + 50] for start in range(0, len(text), 50)])
        assert (await phone.expect("agent:stream")).payload == {"text": "ä" * 1000}


async def test_a_desktop_may_come_while_nobody_watches(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(hub, desktop_id, user) as agent:
        await agent.send("agent:response", {"text": "to nobody"})
        assert await agent.sync() == []
        async with mobile(hub, user) as phone:
            await phone.expect("desktop:online", desktop_id=desktop_id)
            assert await phone.sync() == []


async def test_many_pairs_at_once_get_only_what_is_theirs(hub: HubProcess) -> None:
    async def pair(name: str) -> None:
        async with desktop(hub, f"{name}.d", name) as agent, mobile(hub, name) as phone:
            for number in range(20):
                await agent.send("agent:stream", {"from": name, "n": number})
            for number in range(20):
                came = await phone.expect("agent:stream")
                assert came.payload == {"from": name, "n": number}

    await asyncio.gather(*(pair(new_name("u")) for _ in range(25)))
