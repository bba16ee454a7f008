"""Redis is killed, and comes back with its data, at every step of a message's way (docs/operations.md).

One hub on a Valkey of its own; each test kills that at its step, and starts it again.
"""

import asyncio
import json
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.clients import WAIT_S, Peer, desktop, mobile, new_name
from tests.support.hub_process import HubProcess
from tests.support.raw import raw_client
from tests.support.resuming_phone import ResumingPhone
from tests.support.traffic import (
    Lives,
    ReturningDesktop,
    SendingPhone,
    acking_desktop,
    beside,
    come_before,
)
from tests.support.valkey import ValkeyServer

AT_ONCE_S = 2.0
"""Redis' deadline of 0.4 s, on a machine that is busy with other things."""
RING = 16
LARGE_ANSWERS = 80


@dataclass
class Scene:
    """A user with one desktop and one device, on a hub whose Redis is to die."""

    hub: HubProcess
    redis: ValkeyServer
    user: str
    desktop_id: str
    device: str
    witness: Peer
    """A phone of another device, there all the while: so the hub has the user's desktops in memory."""

    def phone(self) -> Any:
        return mobile(self.hub, self.user, device_id=self.device)

    def agent(self, *, acks: bool = False) -> Any:
        return (acking_desktop if acks else desktop)(self.hub, self.desktop_id, self.user)

    async def say(self, phone: Peer, message_id: str = "m") -> None:
        await phone.send("user:message", {"desktop_id": self.desktop_id}, message_id=message_id)

    def hang(self) -> None:
        """What is asked from now on lies in its sockets."""
        self.redis.signal(signal.SIGSTOP)

    async def comes_back(self) -> None:
        """Start Redis again, and wait until the hub keeps messages again."""
        self.redis.start()
        await self.keeps_messages()

    async def keeps_messages(self) -> None:
        """Wait until a message to a desktop that is away is taken."""
        elsewhere = f"{self.desktop_id}.elsewhere"
        async with desktop(self.hub, elsewhere, self.user):
            pass
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            name = new_name("probe")
            await self.witness.send("user:message", {"desktop_id": elsewhere}, message_id=name)
            if await answer_to(self.witness, name) == "stored":
                return
            await asyncio.sleep(0.02)
        raise AssertionError("the hub keeps no messages again")

    def journal_is_written(self) -> bool:
        return self.hub.metric("hub_journal_lag_seconds") == 0

    async def became(self, phone: Peer, message_id: str = "m") -> str:
        """Send the message again, and return what became of the first one."""
        await self.say(phone, message_id)
        receipt = await phone.expect("receipt", message_id=message_id, status="duplicate")
        return str(receipt.payload["latest"])


async def answer_to(phone: Peer, message_id: str) -> str:
    """What is said first about a message: the status of its receipt, or the error's code."""
    while True:
        message = await phone.next()
        if message.type in {"receipt", "error"} and message.payload["message_id"] == message_id:
            return str(message.payload.get("status", message.payload.get("code")))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def own_server() -> Iterator[ValkeyServer]:
    server = ValkeyServer("--appendonly", "yes", "--appendfsync", "always")
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def own_hub(own_server: ValkeyServer) -> Iterator[HubProcess]:
    """So little in memory that a replay comes from the journal."""
    hub = HubProcess({"HUB_REDIS_URL": own_server.url, "HUB_RATE_LIMIT": "off", "HUB_RING_MESSAGES": str(RING)})
    try:
        yield hub.start()
    finally:
        hub.close()


@pytest.fixture
async def scene(own_hub: HubProcess, own_server: ValkeyServer) -> AsyncIterator[Scene]:
    """The desktop is known, and away."""
    user, desktop_id = new_name("u"), new_name("d")
    async with mobile(own_hub, user) as witness:
        scene = Scene(own_hub, own_server, user, desktop_id, new_name("v"), witness)
        await scene.keeps_messages()
        async with scene.agent() as agent:
            await agent.leave()
        await witness.expect("desktop:offline", desktop_id=desktop_id)
        yield scene
    own_server.kill()
    own_server.start()


async def test_before_the_send_to_a_desktop_that_is_here(scene: Scene) -> None:
    async with scene.phone() as phone, scene.agent() as agent:
        scene.redis.kill()
        await scene.say(phone)
        assert await answer_to(phone, "m") == "delivered"
        await agent.expect("user:message")
        await scene.comes_back()
        assert await scene.became(phone) == "delivered"
        assert await come_before(phone, agent, scene.desktop_id) == []


async def test_before_the_send_to_a_desktop_that_is_away(scene: Scene) -> None:
    async with scene.phone() as phone:
        scene.redis.kill()
        begun = time.monotonic()
        await scene.say(phone)
        assert await answer_to(phone, "m") == "unavailable"
        assert time.monotonic() - begun < AT_ONCE_S
        await scene.comes_back()
        await scene.say(phone)
        assert await answer_to(phone, "m") == "stored"
        async with scene.agent() as agent:
            assert await come_before(phone, agent, scene.desktop_id) == ["m"]
            await phone.expect("receipt", message_id="m", status="delivered")


@pytest.mark.parametrize("taken", [False, True], ids=["Redis never sees it", "Redis takes it, unheard"])
async def test_between_send_and_receipt_to_a_desktop_that_is_here(scene: Scene, taken: bool) -> None:
    """Whatever Redis did, the message is handed over once."""
    async with scene.phone() as phone, scene.agent() as agent:
        scene.hang()
        await scene.say(phone)
        await phone.sync()
        if taken:
            assert await answer_to(phone, "m") == "delivered"  # the hub waits no longer
            scene.redis.signal(signal.SIGCONT)
            await scene.keeps_messages()
        else:
            scene.redis.kill()
            assert await answer_to(phone, "m") == "delivered"
            await scene.comes_back()
        assert await come_before(phone, agent, scene.desktop_id) == ["m"]
        assert await scene.became(phone) == "delivered"
    async with scene.phone() as phone, scene.agent() as agent:
        assert await come_before(phone, agent, scene.desktop_id) == []


@pytest.mark.parametrize("taken", [False, True], ids=["Redis never sees it", "Redis takes it, unheard"])
async def test_between_send_and_receipt_to_a_desktop_that_is_away(scene: Scene, taken: bool) -> None:
    """The phone sends it again, and it comes once, even if Redis took it the first time."""
    async with scene.phone() as phone:
        scene.hang()
        await scene.say(phone)
        await phone.sync()
        if not taken:
            scene.redis.kill()
        assert await answer_to(phone, "m") == "unavailable"
        if taken:
            scene.redis.signal(signal.SIGCONT)
            await scene.keeps_messages()
            scene.redis.kill()
        await scene.comes_back()
        await scene.say(phone)
        # A hung Redis that the hub was about to connect to anew has not seen it either.
        assert await answer_to(phone, "m") in ({"duplicate", "stored"} if taken else {"stored"})
        async with scene.agent() as agent:
            assert await come_before(phone, agent, scene.desktop_id) == ["m"]
            await phone.expect("receipt", message_id="m", status="delivered")


async def test_after_stored_and_the_desktop_comes_while_redis_is_away(scene: Scene) -> None:
    async with scene.phone() as phone:
        await scene.say(phone)
        assert await answer_to(phone, "m") == "stored"
        scene.redis.kill()
        async with scene.agent() as agent:
            assert await agent.sync() == []
            scene.redis.start()
            assert (await agent.expect("user:message")).whole["message_id"] == "m"
            await phone.expect("receipt", message_id="m", status="delivered")
            await scene.keeps_messages()
            assert await come_before(phone, agent, scene.desktop_id) == []


async def test_after_delivered(scene: Scene) -> None:
    async with scene.phone() as phone:
        async with scene.agent() as agent:
            await scene.say(phone)
            await phone.expect("receipt", message_id="m", status="delivered")
            scene.redis.kill()
            assert [each.whole["message_id"] for each in await agent.sync()] == ["m"]
        await scene.comes_back()
        assert await scene.became(phone) == "delivered"
        async with scene.agent() as agent:
            assert await come_before(phone, agent, scene.desktop_id) == []


async def test_after_the_hand_over_and_before_the_ack(scene: Scene) -> None:
    async with scene.phone() as phone:
        async with scene.agent(acks=True) as agent:
            await scene.say(phone)
            await phone.expect("receipt", message_id="m", status="delivered")
            scene.redis.kill()
            await agent.expect("user:message")
        await scene.comes_back()
        async with scene.agent(acks=True) as agent:
            assert await come_before(phone, agent, scene.desktop_id) == ["m"]
            await agent.send("ack", {"message_id": "m"})
            await phone.expect("receipt", message_id="m", status="acknowledged")


@pytest.mark.parametrize("in_flight", [False, True], ids=["while Redis is away", "as Redis dies"])
async def test_between_ack_and_acknowledged(scene: Scene, in_flight: bool) -> None:
    """An ack is never lost: it is done when Redis is back."""
    async with scene.phone() as phone:
        async with scene.agent(acks=True) as agent:
            await scene.say(phone)
            await phone.expect("receipt", message_id="m", status="delivered")
            if in_flight:
                scene.hang()
            else:
                scene.redis.kill()
            await agent.send("ack", {"message_id": "m"})
            assert [each.whole["message_id"] for each in await agent.sync()] == ["m"]
            scene.redis.kill()
        await scene.comes_back()
        assert await scene.became(phone) == "acknowledged"
        async with scene.agent(acks=True) as agent:
            assert await come_before(phone, agent, scene.desktop_id) == []


async def test_while_answers_are_journaled(scene: Scene) -> None:
    """Phones that are here notice nothing, and the journal misses nothing when Redis is back."""
    later = ResumingPhone(scene.hub, scene.user, scene.desktop_id)
    async with scene.phone() as phone, scene.agent() as agent:
        for number in range(60):
            if number == 20:
                scene.redis.kill()
            if number == 40:
                scene.redis.start()
            await agent.send("agent:response", {"n": number})
            assert (await phone.expect("agent:response")).payload["n"] == number
        await until(scene.journal_is_written)
        await later.listen_up_to_resumed()
        assert later.always_complete
        assert [json.loads(text)["payload"]["n"] for text in later.texts] == [*range(60)]


async def test_in_the_middle_of_a_replay(scene: Scene) -> None:
    """The phone is told that something is missing, and gets it when it comes again."""
    path = f"/ws/mobile?resume={scene.desktop_id}:0-0"
    token = scene.hub.mint.mobile(scene.user, device_id=scene.device)
    came: list[int] = []
    async with scene.agent() as agent:
        for number in range(LARGE_ANSWERS):
            await agent.send("agent:response", {"n": number, "text": "x" * 20_000})
        await agent.sync()
        await until(scene.journal_is_written)
        async with raw_client(scene.hub.port, receive_buffer=4096) as slow:
            await slow.upgrade(path, {"Authorization": f"Bearer {token}"})
            while (message := json.loads((await slow.frame()).body))["type"] != "resumed":
                if message["type"] == "agent:response":
                    came.append(message["payload"]["n"])
                if len(came) == 3:
                    scene.redis.kill()
        assert message["payload"]["complete"] is False
        assert came == sorted(set(came))
        await scene.comes_back()
        await agent.send("agent:response", {"n": LARGE_ANSWERS})
        await until(scene.journal_is_written)
    before_the_gap = next(place for place, n in enumerate([*came, -1]) if place != n)
    assert before_the_gap < LARGE_ANSWERS - RING
    again = ResumingPhone(scene.hub, scene.user, scene.desktop_id)
    again.at = f"{message['payload']['offset'].partition('-')[0]}-{before_the_gap}"
    await again.listen_up_to_resumed()
    assert again.always_complete
    numbers = [json.loads(text)["payload"]["n"] for text in again.texts]
    assert [*came[:before_the_gap], *numbers] == [*range(LARGE_ANSWERS + 1)]


@pytest.mark.parametrize("seed", [20261])
@pytest.mark.parametrize("acks", [False, True], ids=["without acks", "with acks"])
async def test_at_any_moment_of_live_traffic(scene: Scene, acks: bool, seed: int) -> None:
    """The desktop is here all the while: every message comes once, and is known to have come."""
    chance, lives, last = random.Random(seed), Lives(), "acknowledged" if acks else "delivered"
    agent = ReturningDesktop(scene.hub, lives, scene.user, scene.desktop_id, acks=acks)
    phones = [SendingPhone(scene.hub, lives, scene.user, scene.desktop_id, new_name("v"), 150) for _ in range(2)]

    async def die_now_and_then() -> None:
        for moment in sorted(chance.sample(range(250), 4)):
            while len(agent.arrivals) < moment:
                await asyncio.sleep(0)
            await asyncio.sleep(chance.random() * 0.002)
            scene.redis.kill()
            while len(agent.arrivals) < moment + 10:
                await asyncio.sleep(0.001)
            scene.redis.start()

    async with asyncio.timeout(30), beside(agent.take()):
        while not await asyncio.to_thread(scene.hub.metric, "hub_connections", kind="desktop"):
            await asyncio.sleep(0.01)
        await asyncio.gather(die_now_and_then(), *(phone.send_all() for phone in phones))
        await scene.keeps_messages()
        for each in phones:
            while set((await each.ask_again()).values()) != {last}:
                pass
    came = [each.message_id for each in agent.arrivals]
    assert sorted(came) == sorted([*phones[0].ids, *phones[1].ids])
