"""Heartbeats, silence and tokens that run out: the contract's minutes, once for real with seconds."""

import asyncio
import time

import pytest

from tests.support.clients import Close, Peer, desktop, envelope, mobile, new_name
from tests.support.hub_process import HubProcess
from tests.support.raw import PING, PONG, TEXT, RawClient, frame, raw_desktop, raw_mobile

pytest_plugins = ("tests.support.hub_fixtures",)

TIMEOUT_S = 2.0
SLOW_S = 1.5
"""How late a timer may be on a busy machine."""

EXPIRED = Close(4201, "token_expired")


async def dies_of_silence(client: RawClient, begun: float) -> None:
    assert await client.close_frame() == Close(4103, "heartbeat_timeout")
    assert TIMEOUT_S - 0.1 <= time.monotonic() - begun <= TIMEOUT_S + SLOW_S


async def lives_on(client: RawClient, sign_of_life: bytes) -> None:
    """Give a sign of life every half second for more than twice the timeout, and read nothing bad."""
    until = time.monotonic() + 2 * TIMEOUT_S + 0.5
    while time.monotonic() < until:
        await client.send(sign_of_life)
        await asyncio.sleep(TIMEOUT_S / 4)
    await client.say("heartbeat")
    await client.expect("heartbeat:ack")


async def test_silence_ends_a_connection_and_any_frame_is_a_sign_of_life(brisk_hub: HubProcess) -> None:
    silent, user = new_name("d"), new_name("u")
    async with (
        mobile(brisk_hub, user) as watcher,
        raw_desktop(brisk_hub, silent, user) as silent_desktop,
        raw_mobile(brisk_hub, new_name("u")) as silent_phone,
        raw_desktop(brisk_hub, new_name("d"), new_name("u")) as ponging,
        raw_desktop(brisk_hub, new_name("d"), new_name("u")) as pinging,
        raw_mobile(brisk_hub, new_name("u")) as talking,
    ):
        begun = time.monotonic()
        await asyncio.gather(
            dies_of_silence(silent_desktop, begun),
            dies_of_silence(silent_phone, begun),
            lives_on(ponging, frame(PONG)),
            lives_on(pinging, frame(PING, b"are you there?")),
            lives_on(talking, frame(TEXT, envelope("heartbeat").encode())),
            watcher.expect("desktop:offline", desktop_id=silent, reason="timeout"),
        )


async def test_phones_are_pinged_and_desktops_are_not(brisk_hub: HubProcess) -> None:
    async with (
        raw_mobile(brisk_hub, new_name("u")) as phone,
        raw_desktop(brisk_hub, new_name("d"), new_name("u")) as agent,
    ):
        begun = time.monotonic()
        for _ in range(2):
            assert (await phone.frame()).opcode == PING
            await phone.send(frame(PONG))
        assert time.monotonic() - begun >= TIMEOUT_S / 4
        await agent.say("heartbeat")
        await agent.expect("heartbeat:ack")
        assert agent.buffered == b""


async def test_pings_are_answered_with_what_they_say(brisk_hub: HubProcess) -> None:
    async with raw_desktop(brisk_hub, new_name("d"), new_name("u")) as agent:
        await agent.send(frame(PING, b"hello"))
        assert await agent.frame() == (PONG, b"hello")


@pytest.mark.hostile
async def test_a_token_that_runs_out_ends_the_connection_within_a_second(brisk_hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    begun = time.time()
    async with (
        desktop(brisk_hub, desktop_id, user, life_s=1.2) as agent,
        mobile(brisk_hub, user, life_s=1.2) as phone,
        mobile(brisk_hub, user) as watcher,
    ):

        async def run_out(peer: Peer) -> None:
            said, closed = await peer.last_words()
            assert closed == EXPIRED
            assert said[-1].payload["code"] == "token_expired"
            assert 1.1 <= time.time() - begun <= 1.2 + 1 + SLOW_S

        await asyncio.gather(run_out(agent), run_out(phone))
        # The desktop is expected back with a new token, so the grace runs first.
        await watcher.expect("desktop:offline", desktop_id=desktop_id, reason="closed")


async def test_a_new_token_in_time_keeps_the_connection(brisk_hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with (
        desktop(brisk_hub, desktop_id, user, life_s=1.5) as agent,
        mobile(brisk_hub, user, life_s=1.5) as phone,
    ):
        await agent.send("auth:refresh", {"token": brisk_hub.mint.desktop(desktop_id, user)})
        await phone.send("auth:refresh", {"token": brisk_hub.mint.mobile(user)})
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            assert not [each for each in await agent.sync() + await phone.sync() if each.type == "error"]
            await asyncio.sleep(0.3)


async def test_a_new_token_that_is_no_good_is_refused_and_changes_nothing(brisk_hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(brisk_hub, desktop_id, user, life_s=2.0) as agent:
        for token, code in (
            (brisk_hub.mint.desktop(new_name("d"), user), "forbidden"),
            (brisk_hub.mint.desktop(desktop_id, new_name("u")), "forbidden"),
            (brisk_hub.mint.mobile(user), "forbidden"),
            (brisk_hub.mint.desktop(desktop_id, user, life_s=-60), "token_expired"),
            ("junk", "token_invalid"),
        ):
            await agent.send("auth:refresh", {"token": token})
            error = await agent.expect("error")
            assert error.payload["code"] == code
            assert token not in error.text
        assert await agent.closed() == EXPIRED
