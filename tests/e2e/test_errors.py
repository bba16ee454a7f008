"""Bad messages: each is answered with its code, dropped, and ends nothing (docs/protocol.md, "Error codes")."""

import asyncio
import json
from typing import Any

import pytest

from tests.support.clients import WAIT_S, Peer, desktop, envelope, mobile, new_name
from tests.support.hub_process import HubProcess
from tests.support.hub_settings import NewHub

pytest_plugins = ("tests.support.hub_fixtures",)

BAD_ENVELOPES = [
    "",
    "hello",
    "[]",
    "null",
    '"heartbeat"',
    "{}",
    '{"payload":{},"timestamp":1}',
    '{"type":"heartbeat","timestamp":1}',
    '{"type":"heartbeat","payload":{}}',
    '{"type":7,"payload":{},"timestamp":1}',
    '{"type":"heartbeat","payload":[],"timestamp":1}',
    '{"type":"heartbeat","payload":"{}","timestamp":1}',
    '{"type":"heartbeat","payload":null,"timestamp":1}',
    '{"type":"heartbeat","payload":{},"timestamp":"1"}',
    '{"type":"heartbeat","payload":{},"timestamp":1.5}',
    '{"type":"heartbeat","payload":{},"timestamp":-1}',
    '{"type":"heartbeat","payload":{},"timestamp":1,"message_id":""}',
    '{"type":"heartbeat","payload":{},"timestamp":1,"message_id":7}',
    json.dumps({"type": "heartbeat", "payload": {}, "timestamp": 1, "message_id": "x" * 129}),
    '{"type":"heartbeat","payload":{},"timestamp":1}{}',
]

BAD_PAYLOADS: list[tuple[str, dict[str, Any]]] = [
    ("user:message", {}),
    ("user:message", {"desktop_id": 7}),
    ("user:message", {"desktop_id": ""}),
    ("user:message", {"desktop_id": "no id: {}"}),
    ("session:create", {"desktop_id": "d"}),
    ("session:create", {"session_id": "s"}),
    ("goodbye", {}),
    ("goodbye", {"reason": "Not A Word"}),
    ("auth:refresh", {}),
    ("auth:refresh", {"token": 7}),
]

OF_THE_HUB = ["welcome", "receipt", "resumed", "error", "heartbeat:ack", "desktop:online", "desktop:offline"]
OF_A_PHONE = ["user:message", "session:create"]
OF_A_DESKTOP = ["agent:stream", "agent:response", "agent:status", "ack"]


async def error_of(peer: Peer) -> dict[str, Any]:
    """The error that came, and a sign that nothing else did and that the connection lives."""
    error, *others = await peer.sync()
    assert (error.type, others) == ("error", [])
    assert error.payload["message"]
    return error.payload


async def settled_error(phone: Peer, desktop_id: str) -> dict[str, Any]:
    """The error that a message for this desktop gets once the hub has asked the store for the phone's desktops.

    Until then it waits, or it is told to come back.
    """
    async with asyncio.timeout(WAIT_S):
        while True:
            await phone.send("user:message", {"desktop_id": desktop_id}, message_id="m")
            error = (await phone.expect("error")).payload
            if error["code"] != "unavailable":
                return error
            await asyncio.sleep(error["retry_after_ms"] / 1000)


async def test_what_is_no_envelope_is_answered_and_ends_nothing(hub: HubProcess) -> None:
    user = new_name("u")
    async with desktop(hub, new_name("d"), user) as agent, mobile(hub, user) as phone:
        await phone.sync()
        for bad in BAD_ENVELOPES:
            for peer in (agent, phone):
                await peer.socket.send(bad)
                assert (await error_of(peer))["code"] == "bad_envelope", bad


async def test_a_binary_message_is_answered_the_same_way(hub: HubProcess) -> None:
    async with mobile(hub, new_name("u")) as phone:
        await phone.socket.send(envelope("heartbeat").encode())
        assert (await error_of(phone))["code"] == "bad_envelope"


@pytest.mark.parametrize(("kind", "payload"), BAD_PAYLOADS)
async def test_a_payload_that_the_hub_needs_to_read_and_cannot(
    hub: HubProcess, kind: str, payload: dict[str, Any]
) -> None:
    async with mobile(hub, new_name("u")) as phone:
        await phone.send(kind, payload, message_id="m-7")
        error = await error_of(phone)
        assert (error["code"], error["message_id"]) == ("bad_payload", "m-7")


async def test_each_side_is_told_which_types_it_may_not_send(hub: HubProcess) -> None:
    user = new_name("u")
    async with desktop(hub, new_name("d"), user) as agent, mobile(hub, user) as phone:
        await phone.sync()
        for peer, kinds in ((agent, OF_THE_HUB + OF_A_PHONE), (phone, OF_THE_HUB + OF_A_DESKTOP)):
            for kind in kinds:
                await peer.send(kind, message_id="m-8")
                error = await error_of(peer)
                assert (error["code"], error["message_id"]) == ("type_not_allowed", "m-8"), kind
        assert await phone.sync() == []


@pytest.mark.parametrize("kind", ["", "nonsense", "Heartbeat", "agent:stream "])
async def test_an_unknown_type(hub: HubProcess, kind: str) -> None:
    async with mobile(hub, new_name("u")) as phone:
        await phone.send(kind, message_id="m-9")
        error = await error_of(phone)
        assert (error["code"], error["message_id"]) == ("unknown_type", "m-9")


async def test_anothers_desktop_and_one_that_is_nowhere_get_the_same_answer(hub: HubProcess) -> None:
    foreign = new_name("d")
    async with desktop(hub, foreign, new_name("u")) as agent, mobile(hub, new_name("u")) as phone:
        known = await settled_error(phone, foreign)
        assert known == await settled_error(phone, new_name("d"))
        assert known["code"] == "desktop_not_found"
        assert await agent.sync() == []


async def test_an_own_desktop_that_is_away_from_a_hub_that_keeps_nothing(new_hub: NewHub) -> None:
    hub = new_hub({"HUB_MAILBOX": "off"}).start()
    user, desktop_id = new_name("u"), new_name("d")
    async with mobile(hub, user) as phone:
        async with desktop(hub, desktop_id, user):
            pass
        await phone.expect("desktop:offline", desktop_id=desktop_id)
        await phone.send("user:message", {"desktop_id": desktop_id}, message_id="m-1")
        error = await error_of(phone)
        assert (error["code"], error["message_id"]) == ("desktop_offline", "m-1")


async def test_who_sends_faster_than_allowed_is_told_when_to_go_on(brisk_hub: HubProcess) -> None:
    user = new_name("u")
    async with desktop(brisk_hub, new_name("d"), user) as agent, mobile(brisk_hub, user) as phone:
        for number in range(150):
            await agent.send("agent:stream", {"n": number}, message_id=f"m-{number}")
        error = (await agent.expect("error", code="rate_limited")).payload
        assert 0 < error["retry_after_ms"] <= 1000
        first_dropped = int(error["message_id"].removeprefix("m-"))
        assert first_dropped >= 100
        for number in range(first_dropped):
            assert (await phone.expect("agent:stream")).payload["n"] == number
