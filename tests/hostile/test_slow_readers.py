"""Peers that don't read, and peers that write what nobody can hold: the hub's memory stays bounded."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from tests.support.clients import Close, desktop, mobile, new_name
from tests.support.hub_process import HubProcess
from tests.support.raw import CONTINUATION, PING, TEXT, RawClient, frame, frame_head, raw_desktop, raw_mobile

pytestmark = pytest.mark.hostile

MIB = 1 << 20
STALL_S = 1.0
CLOSED_WITHIN_S = 10.0


@pytest.fixture(scope="module")
def own_hub() -> Iterator[HubProcess]:
    """A hub whose memory nobody else changes."""
    hub = HubProcess({"HUB_RATE_LIMIT": "off", "HUB_WRITE_STALL_S": str(STALL_S), "HUB_CLOSE_DEADLINE_S": "1"})
    try:
        yield hub.start()
    finally:
        hub.close()


class Growth:
    """How far the hub's memory has grown since, at the most."""

    def __init__(self, hub: HubProcess) -> None:
        self._hub = hub
        self._before = hub.memory
        self.most = 0

    async def watch(self) -> None:
        while True:
            self.most = max(self.most, self._hub.memory - self._before)
            await asyncio.sleep(0.01)


async def warm_up(hub: HubProcess, bytes_of_text: int = 900_000) -> None:
    """Have the hub do once what is measured then: memory that it took for good isn't growth."""
    user = new_name("u")
    async with mobile(hub, user) as phone, desktop(hub, new_name("d"), user) as agent:
        for _ in range(4):
            await agent.send("agent:response", {"text": "x" * bytes_of_text})
            await phone.expect("agent:response")


def slow_ones(hub: HubProcess) -> float:
    """How many phones were closed as slow consumers, so far."""
    return hub.metric("hub_closes_total", kind="mobile", code="4102", reason="slow_consumer")


async def closed_slow(hub: HubProcess, many: float) -> None:
    """Wait until so many were closed as slow consumers."""
    async with asyncio.timeout(CLOSED_WITHIN_S):
        while await asyncio.to_thread(slow_ones, hub) < many:
            await asyncio.sleep(0.05)


async def test_phones_that_never_read_are_closed_and_hold_up_nobody(own_hub: HubProcess) -> None:
    """What waits for each is under its inbox's limit, so that only the stalled write gives them away."""
    sleepers = 8
    user = new_name("u")
    await warm_up(own_hub, 200_000)
    growth, before = Growth(own_hub), slow_ones(own_hub)
    async with AsyncExitStack() as stack:
        reader = await stack.enter_async_context(mobile(own_hub, user))
        agent = await stack.enter_async_context(desktop(own_hub, new_name("d"), user))
        asleep = [
            await stack.enter_async_context(raw_mobile(own_hub, user, receive_buffer=4096)) for _ in range(sleepers)
        ]
        watching = asyncio.create_task(growth.watch())
        for number in range(10):
            await agent.send("agent:response", {"n": number, "text": "x" * 200_000})
            assert (await reader.expect("agent:response")).payload["n"] == number
        await closed_slow(own_hub, before + sleepers)
        await asyncio.gather(*(each.hung_up() for each in asleep))
        assert await agent.sync() == await reader.sync() == []
        watching.cancel()
    # A frame is one object, in however many inboxes it lies: all of them and what is on its way to the kernel.
    assert growth.most < 16 * MIB


async def test_a_flood_of_pings_without_reading_stops_the_reading(own_hub: HubProcess) -> None:
    async with raw_mobile(own_hub, new_name("u"), receive_buffer=4096) as flooder:
        growth, before = Growth(own_hub), slow_ones(own_hub)
        watching = asyncio.create_task(growth.watch())
        pings = frame(PING, b"x" * 125) * 500
        begun = time.monotonic()
        sent = await flooder.send_for(CLOSED_WITHIN_S, pings)
        assert time.monotonic() - begun < CLOSED_WITHIN_S
        watching.cancel()
        assert sent < 16 * MIB
        assert growth.most < 4 * MIB
    await closed_slow(own_hub, before + 1)


async def test_pings_of_a_peer_that_reads_are_all_answered(own_hub: HubProcess) -> None:
    async with raw_mobile(own_hub, new_name("u")) as client:
        await client.send(frame(PING, b"abc") * 1000)
        for _ in range(1000):
            assert (await client.frame()).body == b"abc"


@pytest.mark.parametrize("part", [b"", b"x"])
async def test_empty_and_tiny_fragments_take_no_memory(own_hub: HubProcess, part: bytes) -> None:
    async with raw_desktop(own_hub, new_name("d"), new_name("u")) as warm:
        await attack_with_fragments(warm, part)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(raw_desktop(own_hub, new_name("d"), new_name("u"))) for _ in range(10)
        ]
        growth = Growth(own_hub)
        watching = asyncio.create_task(growth.watch())
        begun = time.monotonic()
        await asyncio.gather(*(attack_with_fragments(client, part) for client in clients))
        assert time.monotonic() - begun < CLOSED_WITHIN_S
        watching.cancel()
        assert growth.most < 10 * MIB, "more than 1 MiB for each"


async def attack_with_fragments(client: RawClient, part: bytes) -> None:
    """As many of them as the hub takes before it hangs up. That they get 1008 is in tests/e2e/test_closing.py."""
    await client.send(frame(TEXT, part, fin=False))
    sent = await client.send_for(CLOSED_WITHIN_S, frame(CONTINUATION, part, fin=False) * 2000)
    assert sent > 0


async def test_a_frame_over_the_limit_is_refused_by_its_head(own_hub: HubProcess) -> None:
    growth = Growth(own_hub)
    for size in (MIB + 1, 1 << 40, (1 << 63) - 1):
        async with raw_desktop(own_hub, new_name("d"), new_name("u")) as client:
            await client.send(frame_head(TEXT, size))
            assert await client.close_frame() == Close(1009, "too_big")
    await growth_now(growth)
    assert growth.most < MIB


async def test_a_message_over_the_limit_in_fragments_is_refused_before_its_end(own_hub: HubProcess) -> None:
    await warm_up(own_hub)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(raw_desktop(own_hub, new_name("d"), new_name("u"))) for _ in range(8)
        ]
        growth = Growth(own_hub)
        watching = asyncio.create_task(growth.watch())
        part = frame(CONTINUATION, b"x" * 65_536, fin=False)
        for client in clients:
            await client.send(frame(TEXT, b"x", fin=False))
        sent = await asyncio.gather(*(client.send_for(CLOSED_WITHIN_S, part * 10) for client in clients))
        watching.cancel()
        assert min(sent) > MIB
        # Each sent many times as much. A read takes at most what the kernel's buffer held, some 6 MiB.
        assert growth.most < 8 * 8 * MIB


async def growth_now(growth: Growth) -> None:
    """Look once."""
    watching = asyncio.create_task(growth.watch())
    await asyncio.sleep(0)
    watching.cancel()


async def test_more_than_a_mailbox_takes_gets_queue_full_and_a_desktop_that_sleeps_is_closed(
    own_hub: HubProcess,
) -> None:
    """Two pairs: one desktop sleeps, and the other pair's messages flow on all the while."""
    user, other, asleep, awake = new_name("u"), new_name("u"), new_name("d"), new_name("d")
    async with (
        mobile(own_hub, user) as phone,
        mobile(own_hub, other) as other_phone,
        desktop(own_hub, awake, other) as other_agent,
        raw_desktop(own_hub, asleep, user, receive_buffer=4096) as sleeper,
    ):
        for number in range(8):
            await phone.send("user:message", {"desktop_id": asleep, "text": "x" * 900_000}, message_id=f"m-{number}")
            await other_phone.send("user:message", {"desktop_id": awake, "n": number})
            assert (await other_agent.expect("user:message")).payload["n"] == number
        answers = [each for each in await phone.sync() if each.type in {"error", "receipt"}]
        refused = [each.payload for each in answers if each.type == "error"]
        assert {each["code"] for each in refused} == {"queue_full"}
        assert all(each["retry_after_ms"] > 0 for each in refused)
        stored = {each.payload["message_id"] for each in answers if each.payload.get("status") == "stored"}
        assert stored | {each["message_id"] for each in refused} == {f"m-{number}" for number in range(8)}
        await phone.expect("desktop:offline", desktop_id=asleep, reason="lost", within_s=20)
        await sleeper.hung_up()
        assert await other_agent.sync() == []
