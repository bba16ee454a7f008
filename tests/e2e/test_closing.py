"""Every close code that the hub closes with on its own, each brought about over a real socket.

1011 is in tests/hostile/test_faults_within.py, 1012 in test_drain.py, 4001 and 4003 in test_admission.py.
"""

import asyncio
import contextlib

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.clients import Close, Peer, desktop, envelope, mobile, new_name
from tests.support.hub_process import HubProcess
from tests.support.raw import CLOSE, CONTINUATION, PING, TEXT, frame, raw_desktop, raw_mobile

pytest_plugins = ("tests.support.hub_fixtures",)

TOO_BIG = b"x" * (1_048_576 + 1)

FAULTS = [
    pytest.param(frame(CONTINUATION, b"x"), 1002, id="a continuation of nothing"),
    pytest.param(frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002, id="a message within a message"),
    pytest.param(frame(TEXT, b"x", reserved=4), 1002, id="a reserved bit"),
    pytest.param(frame(0x3, b"x"), 1002, id="a reserved opcode"),
    pytest.param(frame(PING, b"x", fin=False), 1002, id="a ping in parts"),
    pytest.param(frame(PING, b"x" * 126), 1002, id="a ping that is too long"),
    pytest.param(b"\x81\x01x", 1002, id="a frame without a mask"),
    pytest.param(frame(TEXT, b'{"type":"\xff"}'), 1007, id="not UTF-8"),
    pytest.param(frame(TEXT, b"\xc3", fin=False) + frame(CONTINUATION, b"x"), 1007, id="not UTF-8, in parts"),
    pytest.param(frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) * 1023, 1008, id="1,024 parts and no end"),
    pytest.param(frame(TEXT, TOO_BIG), 1009, id="too big"),
    pytest.param(
        frame(TEXT, TOO_BIG[:600_000], fin=False) + frame(CONTINUATION, TOO_BIG[:600_000]), 1009, id="in parts"
    ),
]


@pytest.mark.parametrize(("attack", "code"), FAULTS)
@pytest.mark.hostile
async def test_who_breaks_the_protocol_is_told_how_and_cut_off(hub: HubProcess, attack: bytes, code: int) -> None:
    async with raw_desktop(hub, new_name("d"), new_name("u")) as client:
        await client.send(attack)
        assert (await client.close_frame()).code == code
        await client.hung_up()


@pytest.mark.parametrize("attack", [pytest.param(frame(0x3), id="1002"), pytest.param(frame(TEXT, TOO_BIG), id="1009")])
async def test_what_came_whole_before_a_fault_is_still_taken(hub: HubProcess, attack: bytes) -> None:
    user = new_name("u")
    async with mobile(hub, user) as phone, raw_desktop(hub, new_name("d"), user) as client:
        said = [frame(TEXT, envelope("agent:status", {"n": number}).encode()) for number in range(3)]
        await client.send(b"".join(said) + attack)
        for number in range(3):
            assert (await phone.expect("agent:status")).payload["n"] == number
        await client.hung_up()


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
async def test_a_close_with_a_code_that_may_not_be_sent(hub: HubProcess, code: int) -> None:
    async with raw_mobile(hub, new_name("u")) as client:
        await client.send(frame(CLOSE, code.to_bytes(2)))
        assert (await client.close_frame()).code == 1002


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1012, 3000, 4999])
async def test_a_close_with_any_other_code_is_answered_with_it(hub: HubProcess, code: int) -> None:
    async with raw_mobile(hub, new_name("u")) as client:
        await client.send(frame(CLOSE, code.to_bytes(2) + b"because"))
        assert await client.close_frame() == Close(code, "")


async def test_1000_a_clients_close_is_answered(hub: HubProcess) -> None:
    async with raw_mobile(hub, new_name("u")) as client:
        await client.send(frame(CLOSE, b"\x03\xe8bye"))
        assert (await client.close_frame()).code == 1000
        await client.hung_up()


async def test_a_message_of_the_limit_and_1024_parts_are_taken(hub: HubProcess) -> None:
    user = new_name("u")
    async with mobile(hub, user) as phone, raw_desktop(hub, new_name("d"), user) as client:
        text = envelope(
            "agent:stream", {"text": "x" * (1_048_576 - len(envelope("agent:stream", {"text": ""})))}
        ).encode()
        assert len(text) == 1_048_576
        parts = [text[start : start + 1024] for start in range(0, len(text), 1024)]
        await client.send(frame(TEXT, text))
        await client.send(frame(TEXT, parts[0], fin=False))
        await client.send(b"".join(frame(CONTINUATION, part, fin=False) for part in parts[1:-1]))
        await client.send(frame(CONTINUATION, parts[-1]))
        for _ in range(2):
            assert len((await phone.expect("agent:stream")).payload["text"]) > 1_048_000


async def test_4005_the_newer_connection_of_a_desktop_wins(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with mobile(hub, user) as phone, desktop(hub, desktop_id, user) as older:
        await phone.expect("desktop:online", desktop_id=desktop_id)
        async with desktop(hub, desktop_id, user) as newer:
            assert await older.closed() == Close(4005, "superseded")
            await phone.send("user:message", {"desktop_id": desktop_id})
            await newer.expect("user:message")
            # Who watches saw nothing of it.
            assert await phone.sync() == []


async def test_4005_the_newer_connection_of_a_device_wins(hub: HubProcess) -> None:
    user = new_name("u")
    async with (
        mobile(hub, user, device_id="v-1") as older,
        mobile(hub, user, device_id="v-2") as another,
        mobile(hub, user, device_id="v-1") as newer,
    ):
        assert await older.closed() == Close(4005, "superseded")
        assert await another.sync() == await newer.sync() == []


async def test_4005_a_new_owner_takes_the_desktop_from_the_old_one(hub: HubProcess) -> None:
    old_user, new_user, desktop_id = new_name("u"), new_name("u"), new_name("d")
    async with (
        mobile(hub, old_user) as old_phone,
        mobile(hub, new_user) as new_phone,
        desktop(hub, desktop_id, old_user) as older,
    ):
        await old_phone.expect("desktop:online", desktop_id=desktop_id)
        async with desktop(hub, desktop_id, new_user) as newer:
            assert await older.closed() == Close(4005, "superseded")
            await old_phone.expect("desktop:offline", desktop_id=desktop_id, reason="superseded")
            await new_phone.expect("desktop:online", desktop_id=desktop_id)
            await old_phone.send("user:message", {"desktop_id": desktop_id})
            await old_phone.expect("error", code="desktop_not_found")
            await newer.send("agent:status", {"state": "idle"})
            await new_phone.expect("agent:status")
            assert await old_phone.sync() == await newer.sync() == []


async def test_4006_a_stream_of_bad_messages(hub: HubProcess) -> None:
    async with mobile(hub, new_name("u")) as phone:
        for _ in range(60):
            await phone.socket.send("junk")
        assert [each.payload["code"] for each in await phone.sync()] == ["bad_envelope"] * 60
        await phone.socket.send("junk")
        errors, closed = await phone.last_words()
        assert [each.payload["code"] for each in errors] == ["bad_envelope"]
        assert closed == Close(4006, "protocol_abuse")


async def test_4007_too_many_of_one_user(brisk_hub: HubProcess) -> None:
    user = new_name("u")
    first = new_name("d")
    async with (
        desktop(brisk_hub, first, user),
        desktop(brisk_hub, new_name("d"), user),
        mobile(brisk_hub, user, device_id="v-1"),
        mobile(brisk_hub, user),
    ):
        async with desktop(brisk_hub, new_name("d"), user) as refused:
            assert await refused.closed() == Close(4007, "connection_limit")
        async with mobile(brisk_hub, user) as refused:
            assert await refused.closed() == Close(4007, "connection_limit")
        # Who takes the place of one of the two is none too many, and neither is another user's.
        async with desktop(brisk_hub, first, user) as again, mobile(brisk_hub, user, device_id="v-1") as device:
            assert not {each.type for each in await again.sync() + await device.sync()} & {"error", "goodbye"}
        async with mobile(brisk_hub, new_name("u")) as other:
            assert await other.sync() == []


async def test_4101_who_does_not_slow_down(brisk_hub: HubProcess) -> None:
    """50 a second and 100 at once are allowed; ten seconds' allowance more is what is borne."""
    async with desktop(brisk_hub, new_name("d"), new_name("u")) as agent:
        last_words = asyncio.create_task(agent.last_words())
        await flood(agent, 1500)
        errors, closed = await last_words
        assert closed == Close(4101, "rate_limited")
        assert {each.payload["code"] for each in errors} == {"rate_limited"}
        assert 500 <= len(errors) <= 1400


async def test_4102_who_reads_nothing(brisk_hub: HubProcess) -> None:
    def closed() -> float:
        return brisk_hub.metric("hub_closes_total", kind="mobile", code="4102", reason="slow_consumer")

    user, before = new_name("u"), closed()
    async with (
        raw_mobile(brisk_hub, user, receive_buffer=4096) as sleeper,
        mobile(brisk_hub, user) as reader,
        desktop(brisk_hub, new_name("d"), user) as agent,
    ):
        for number in range(12):
            await agent.send("agent:response", {"n": number, "text": "x" * 900_000})
            assert (await reader.expect("agent:response")).payload["n"] == number
        async with asyncio.timeout(10):
            while closed() == before:
                await asyncio.sleep(0.05)
        await sleeper.hung_up()
        assert await agent.sync() == []


async def flood(peer: Peer, messages: int) -> None:
    with contextlib.suppress(ConnectionClosed):
        for _ in range(messages):
            await peer.send("agent:stream")
