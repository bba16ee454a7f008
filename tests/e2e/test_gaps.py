"""What phones can't get any more, and how they are told (docs/protocol.md, "Coming back", "Slow readers")."""

import json
from collections.abc import Iterator

import pytest

from tests.support.clients import Close, Message, desktop, mobile, new_name
from tests.support.hub_process import HubProcess
from tests.support.hub_settings import NewHub
from tests.support.raw import TEXT, RawClient, raw_mobile
from tests.support.replays import (
    FROM_DESKTOPS,
    journalled_end,
    last_heard,
    listener,
    numbers,
    replayed,
    said,
    tell,
    until,
)

pytest_plugins = ("tests.support.hub_fixtures",)

RING = 4
RING_SLACK = 64
"""So many more it may hold, since its bounds are not looked at with every message."""
MANY = 200
JOURNAL = 20
REPLAYED = 8
INBOX_BYTES = 524_288


@pytest.fixture(scope="module")
def small_hub() -> Iterator[HubProcess]:
    """A hub that keeps little of what desktops say, and has little room for slow phones."""
    hub = HubProcess(
        {
            "HUB_RATE_LIMIT": "off",
            "HUB_RING_MESSAGES": str(RING),
            "HUB_JOURNAL_MESSAGES": str(JOURNAL),
            "HUB_REPLAY_MESSAGES": str(REPLAYED),
            "HUB_MAX_MESSAGE_BYTES": "65536",
            "HUB_INBOX_BYTES": str(INBOX_BYTES),
            "HUB_WRITE_STALL_S": "20",
        }
    )
    try:
        yield hub.start()
    finally:
        hub.close()


# -- what is not there any more ----------------------------------------------------------------------------------------


async def resume_from_start(hub: HubProcess, user: str, desktop_id: str) -> tuple[list[Message], bool]:
    async with mobile(hub, user, resume={desktop_id: "0-0"}) as phone:
        came, resumed = await replayed(phone, desktop_id)
        return came, resumed.payload["complete"]


async def test_pieces_that_left_the_memory_are_missing(small_hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(small_hub, desktop_id, user) as agent:
        await tell(agent, "agent:stream", *range(RING))
        await agent.sync()
        came, complete = await resume_from_start(small_hub, user, desktop_id)
        assert (numbers(came), complete) == (list(range(RING)), True)
        await tell(agent, "agent:stream", *range(RING, MANY))
        await agent.sync()
        came, complete = await resume_from_start(small_hub, user, desktop_id)
        assert numbers(came) == list(range(MANY))[-len(came) :]
        assert RING <= len(came) <= RING + RING_SLACK
        assert complete is False


async def test_whole_answers_that_left_the_memory_are_in_the_journal(small_hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(small_hub, desktop_id, user) as agent:
        await tell(agent, "agent:stream", *range(MANY))
        await tell(agent, "agent:response", *range(MANY, MANY + JOURNAL))
        await agent.sync()
        async with mobile(small_hub, user) as phone:
            epoch, seq = (await phone.expect("desktop:online")).offset
        place = f"{epoch}-{seq - RING - 1}"
        async with mobile(small_hub, user, resume={desktop_id: place}) as phone:
            came, resumed = await replayed(phone, desktop_id)
            assert said(came) == [("agent:response", number) for number in range(MANY + JOURNAL)][-RING - 1 :]
            assert resumed.payload["complete"] is True


async def test_a_replay_from_the_journal_has_a_bound(small_hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    for said_before in (0, REPLAYED):
        async with desktop(small_hub, desktop_id, user) as agent:
            await tell(agent, "agent:response", *range(said_before, said_before + REPLAYED))
            await agent.sync()
        await until(lambda: journalled_end(small_hub, user, desktop_id) is not None)
        came, complete = await resume_from_start(small_hub, user, desktop_id)
        assert numbers(came) == list(range(said_before, said_before + REPLAYED))
        assert complete is (said_before == 0)


async def test_a_journal_has_a_bound(small_hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(small_hub, desktop_id, user) as agent:
        async with mobile(small_hub, user) as phone:
            await tell(agent, "agent:response", 0)
            place = await last_heard(phone, 0)
        await tell(agent, "agent:response", *range(1, 2 * JOURNAL))
        await agent.sync()
    await until(lambda: journalled_end(small_hub, user, desktop_id) is not None)
    assert small_hub.redis("XLEN", f"hub:{{{user}}}:journal:{desktop_id}") == JOURNAL
    async with mobile(small_hub, user, resume={desktop_id: place}) as phone:
        came, resumed = await replayed(phone, desktop_id)
        assert numbers(came) == list(range(2 * JOURNAL))[-REPLAYED:]
        assert resumed.payload["complete"] is False


async def test_nobody_knows_whether_anything_is_missing_when_the_hub_was_killed(
    new_hub: NewHub,
) -> None:
    hub: HubProcess = new_hub().start()
    user, desktop_id = new_name("u"), new_name("d")
    async with listener(hub, user, desktop_id) as (agent, phone):
        await tell(agent, "agent:response", 1, 2)
        place = (await phone.expect("agent:response")).offset_text
        await last_heard(phone, 2)
        await until(lambda: hub.redis("XLEN", f"hub:{{{user}}}:journal:{desktop_id}") == 3)
        hub.kill()
    hub.start()
    async with mobile(hub, user, resume={desktop_id: place}) as phone:
        came, resumed = await replayed(phone, desktop_id)
        assert (numbers(came), resumed.payload["complete"]) == ([2], False)
    async with listener(hub, user, desktop_id) as (agent, phone):
        await tell(agent, "agent:response", 3)
        await last_heard(phone, 3)
        async with mobile(hub, user, resume={desktop_id: place}) as back:
            came, resumed = await replayed(back, desktop_id)
            assert (numbers(came), resumed.payload["complete"]) == ([2, 3], False)
    assert hub.stop() == 0


# -- a stale epoch -----------------------------------------------------------------------------------------------------


async def test_a_desktop_whose_epoch_is_stale_comes_back_with_a_newer_one(small_hub: HubProcess) -> None:
    """As if it had been at a hub whose clock was an hour ahead."""
    user, desktop_id = new_name("u"), new_name("d")
    async with mobile(small_hub, user) as phone:
        async with desktop(small_hub, desktop_id, user) as agent:
            await tell(agent, "agent:response", 1)
            epoch, _ = (await phone.expect("agent:response")).offset
        await until(lambda: journalled_end(small_hub, user, desktop_id) is not None)
        ahead = epoch + 3_600_000_000
        state = f"hub:{{{user}}}:journal-state:{desktop_id}"
        small_hub.redis("HSET", state, "epoch", ahead, "end", f"{ahead}-7")
        async with desktop(small_hub, desktop_id, user) as agent:
            await tell(agent, "agent:response", 2)
            assert await agent.closed() == Close(4202, "resync")
        async with desktop(small_hub, desktop_id, user) as agent:
            await tell(agent, "agent:response", 3)
            heard = await phone.expect("agent:response", n=3)
            assert heard.offset > (ahead, 7)
            async with mobile(small_hub, user, resume={desktop_id: f"{ahead}-7"}) as back:
                came, resumed = await replayed(back, desktop_id)
                assert (numbers(came), resumed.payload["complete"]) == ([3], True)


# -- slow readers ------------------------------------------------------------------------------------------------------


async def test_a_slow_phone_loses_pieces_is_told_and_gets_all_the_rest(small_hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    gaps = small_hub.metric("hub_gaps_told_total")
    async with (
        listener(small_hub, user, desktop_id) as (agent, steady),
        raw_mobile(small_hub, user, receive_buffer=4096) as slow,
    ):
        sent = 0
        while small_hub.metric("hub_gaps_told_total") == gaps:
            for kind in (*["agent:stream"] * 9, "agent:response"):
                await agent.send(kind, {"n": sent, "text": "x" * 8000})
                sent += 1
            await steady.expect("agent:response", n=sent - 1)
            assert sent < 1000
        await tell(agent, "agent:response", sent)
        came: list[Message] = []
        while not came or said(came)[-1:] != [("agent:response", sent)]:
            came.append(await next_of(slow))
        pieces = {number for kind, number in said(came) if kind == "agent:stream"}
        answers = [number for kind, number in said(came) if kind == "agent:response"]
        assert answers == [number for number in range(sent) if number % 10 == 9] + [sent]
        assert numbers(came) == sorted(numbers(came))
        assert len(pieces) < sent * 9 // 10
        told = [place for place, each in enumerate(came) if each.type == "resumed"]
        first = came[told[0]]
        before = [each for each in came[: told[0]] if each.type in FROM_DESKTOPS]
        assert first.payload == {"desktop_id": desktop_id, "complete": False, "offset": before[-1].offset_text}
        assert numbers(before) == list(range(len(before))), "nothing is missing up to there"
        while (last := await next_of(slow)).type != "resumed":
            pass
        assert last.payload == first.payload, "and once more when it has caught up"
        await tell(agent, "agent:stream", sent + 1)
        assert numbers([await next_of(slow)]) == [sent + 1]
        assert "resumed" not in {each.type for each in await steady.sync()}


async def next_of(slow: RawClient) -> Message:
    """The next message, whatever it is; pings go by."""
    while (came := await slow.frame()).opcode != TEXT:
        pass
    text = came.body.decode()
    return Message(text, json.loads(text))
