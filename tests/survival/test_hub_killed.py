"""The hub is killed, or stopped, at any moment: what was said to be stored arrives (docs/operations.md)."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import pytest

from tests.support.clients import Peer, desktop, mobile, new_name
from tests.support.hub_process import HubProcess
from tests.support.traffic import Lives, ReturningDesktop, SendingPhone, acking_desktop, beside, come_before

DEATHS = ("kill", "kill", "stop", "kill")
PHONES = 2
MESSAGES = 100
"""Of each phone to each of two desktops."""
PROGRESS_S = 30.0
LARGE = 50_000
MANY_LARGE = 40


@pytest.fixture(scope="module")
def own_hub() -> Iterator[HubProcess]:
    """Tests may end it and start it again on its data."""
    hub = HubProcess({"HUB_RATE_LIMIT": "off", "HUB_DRAIN_SPREAD_S": "0"})
    try:
        yield hub.start()
    finally:
        hub.close()


async def say(phone: Peer, desktop_id: str, message_id: str, text: str = "hello") -> list[str]:
    """Send one message, and return all that has been said about messages up to its `stored`."""
    await phone.send("user:message", {"desktop_id": desktop_id, "text": text}, message_id=message_id)
    said = []
    while True:
        receipt = (await phone.expect("receipt")).payload
        said.append(f"{receipt['message_id']} {receipt['status']}")
        if said[-1] == f"{message_id} stored":
            return said


async def test_what_is_stored_for_a_desktop_that_is_away_survives(own_hub: HubProcess) -> None:
    """One phone is there all the while, another one comes back when the desktop has its message."""
    user, desktop_id, here, later = new_name("u"), new_name("d"), new_name("v"), new_name("v")
    async with desktop(own_hub, desktop_id, user) as agent:
        await agent.leave()
    for device in (here, later):
        async with mobile(own_hub, user, device_id=device) as phone:
            await say(phone, desktop_id, f"of {device}")
    own_hub.kill()
    own_hub.start()
    async with mobile(own_hub, user, device_id=here) as phone, desktop(own_hub, desktop_id, user) as agent:
        for device in (here, later):
            assert (await agent.expect("user:message")).whole["message_id"] == f"of {device}"
        await phone.expect("receipt", message_id=f"of {here}", status="delivered")
        async with mobile(own_hub, user, device_id=later) as late:
            await late.expect("receipt", message_id=f"of {later}", status="delivered")
    async with mobile(own_hub, user) as phone, desktop(own_hub, desktop_id, user) as agent:
        assert await come_before(phone, agent, desktop_id) == []


@pytest.mark.parametrize("side", [desktop, acking_desktop], ids=["without acks", "with acks"])
async def test_what_is_stored_for_a_desktop_that_does_not_read_survives(
    own_hub: HubProcess, side: Callable[..., AbstractAsyncContextManager[Peer]]
) -> None:
    """What was written to it and never read is lost without acks: that is what acks are for."""
    user, desktop_id, device, acks = new_name("u"), new_name("d"), new_name("v"), side is acking_desktop
    ids = [f"m-{number}" for number in range(MANY_LARGE)]
    said: list[str] = []
    async with side(own_hub, desktop_id, user) as asleep, mobile(own_hub, user, device_id=device) as phone:
        asleep.socket.transport.pause_reading()
        for each in ids:
            said += await say(phone, desktop_id, each, "x" * LARGE)
        own_hub.kill()
        asleep.break_off()
    own_hub.start()
    undelivered = [each for each in ids if f"{each} delivered" not in said]
    assert 0 < len(undelivered) < len(ids)
    awaited = ids if acks else undelivered
    async with mobile(own_hub, user, device_id=device) as phone:
        async with side(own_hub, desktop_id, user) as agent:
            assert await come_before(phone, agent, desktop_id) == awaited
            for each in awaited:
                await phone.expect("receipt", message_id=each, status="delivered")
            if acks:
                await agent.send("ack", {"message_id": awaited[0]})
                await phone.expect("receipt", message_id=awaited[0], status="acknowledged")
        async with side(own_hub, desktop_id, user) as agent:
            came = await come_before(phone, agent, desktop_id)
            assert [each for each in came if each in ids] == (awaited[1:] if acks else [])


@dataclass
class Pair:
    """A desktop, and the phones that send to it."""

    agent: ReturningDesktop
    phones: list[SendingPhone]

    @classmethod
    async def make(cls, hub: HubProcess, lives: Lives, user_id: str, *, acks: bool) -> "Pair":
        desktop_id = new_name("d")
        async with desktop(hub, desktop_id, user_id):
            pass  # so that the user is known to have it
        phones = [SendingPhone(hub, lives, user_id, desktop_id, new_name("v"), MESSAGES) for _ in range(PHONES)]
        return cls(ReturningDesktop(hub, lives, user_id, desktop_id, acks=acks), phones)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [20261])
async def test_nothing_is_lost_and_nothing_comes_twice_when_the_hub_dies_at_any_moment(
    own_hub: HubProcess, seed: int
) -> None:
    """Two desktops, one of which acknowledges; two phones send to each, and again what they have no receipt for."""
    lives, user = Lives(), new_name("u")
    pairs = [await Pair.make(own_hub, lives, user, acks=acks) for acks in (False, True)]
    agents = [pair.agent for pair in pairs]
    async with beside(*(agent.take() for agent in agents)):
        await asyncio.gather(
            die_now_and_then(own_hub, random.Random(seed), lambda: sum(len(agent.arrivals) for agent in agents)),
            *(phone.send_all() for pair in pairs for phone in pair.phones),
        )
        for pair in pairs:
            for phone in pair.phones:
                await all_came(pair.agent, phone)
    for pair in pairs:
        for phone in pair.phones:
            assert pair.agent.first_arrivals(phone) == phone.ids, "every message, in order"
            if not pair.agent.acks:
                came_as_promised(pair.agent, phone)


async def die_now_and_then(hub: HubProcess, chance: random.Random, arrived: Callable[[], int]) -> None:
    """Once for each of `DEATHS`, while nine tenths of the messages arrive; the hub is started again each time."""
    moments = sorted(chance.sample(range(2 * PHONES * MESSAGES * 9 // 10), len(DEATHS)))
    for moment, death in zip(moments, chance.sample(DEATHS, len(DEATHS)), strict=True):
        async with asyncio.timeout(PROGRESS_S):
            while arrived() < moment:
                await asyncio.sleep(0)
        await asyncio.sleep(chance.random() * 0.005)
        await end(hub, death)
        hub.start()


async def end(hub: HubProcess, death: str) -> None:
    if death == "kill":
        hub.kill()
    else:
        assert await asyncio.to_thread(hub.stop) == 0


async def all_came(agent: ReturningDesktop, phone: SendingPhone) -> None:
    """Ask the hub what became of each message, until it is the last that can become of it."""
    last = "acknowledged" if agent.acks else "delivered"
    async with asyncio.timeout(PROGRESS_S):
        while set((await phone.ask_again()).values()) != {last}:
            pass


def came_as_promised(agent: ReturningDesktop, phone: SendingPhone) -> None:
    """Without acks: never twice in one life of the hub, nor in a life after it was said to be delivered."""
    mine = [each for each in agent.arrivals if each.message_id in phone.said]
    assert len({(each.life, each.message_id) for each in mine}) == len(mine)
    for each in mine:
        told = [said.life for said in phone.said[each.message_id] if said.status == "delivered"]
        assert all(each.life <= life for life in told), f"{each} was delivered in the lives {told}"
