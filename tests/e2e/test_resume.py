"""Phones that come back, over real sockets (docs/protocol.md, "Coming back")."""

import asyncio

import pytest

from tests.support.clients import Peer, absent_desktop, desktop, mobile, new_name
from tests.support.hub_process import HubProcess
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


# -- offsets -----------------------------------------------------------------------------------------------------------


async def test_offsets_count_the_messages_of_a_connection_whose_epochs_grow(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    epochs = []
    async with mobile(hub, user) as phone:
        for _ in range(3):
            async with desktop(hub, desktop_id, user) as agent:
                for kind in ("agent:stream", "agent:response", "agent:status") * 2:
                    await agent.send(kind)
                offsets = [
                    (await phone.expect(kind)).offset for kind in ("agent:stream", "agent:response", "agent:status") * 2
                ]
                assert [seq for _, seq in offsets] == [1, 2, 3, 4, 5, 6]
                (epoch,) = {epoch for epoch, _ in offsets}
                epochs.append(epoch)
    assert epochs == sorted(set(epochs))


async def test_all_phones_see_the_same_offsets(hub: HubProcess) -> None:
    user = new_name("u")
    async with listener(hub, user, new_name("d")) as (agent, phone), mobile(hub, user) as tablet:
        await tell(agent, "agent:response", 1)
        assert (await phone.expect("agent:response")).text == (await tablet.expect("agent:response")).text


async def test_presence_tells_where_a_desktop_stands(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with mobile(hub, user) as phone:
        async with desktop(hub, desktop_id, user) as agent:
            epoch, seq = (await phone.expect("desktop:online")).offset
            assert seq == 0
            await tell(agent, "agent:stream", 1, 2)
            await last_heard(phone, 2)
            async with mobile(hub, user) as newcomer:
                assert (await newcomer.expect("desktop:online")).offset == (epoch, 2)
        assert (await phone.expect("desktop:offline")).offset == (epoch, 2)
        async with mobile(hub, user) as newcomer:
            assert (await newcomer.expect("desktop:offline")).offset == (epoch, 2)


async def test_a_phone_may_resume_from_where_presence_said_that_the_desktop_stands(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(hub, desktop_id, user) as agent:
        async with mobile(hub, user) as phone:
            place = (await phone.expect("desktop:online")).offset_text
        await tell(agent, "agent:stream", 1)
        await agent.sync()
        async with mobile(hub, user, resume={desktop_id: place}) as phone:
            came, resumed = await replayed(phone, desktop_id)
            assert (numbers(came), resumed.payload["complete"]) == ([1], True)


# -- resuming ----------------------------------------------------------------------------------------------------------


async def test_a_phone_without_resume_gets_what_comes_from_now_on(hub: HubProcess) -> None:
    user = new_name("u")
    async with listener(hub, user, new_name("d")) as (agent, phone):
        await tell(agent, "agent:response", 1)
        await last_heard(phone, 1)
        async with mobile(hub, user) as late:
            await tell(agent, "agent:response", 2)
            came = await late.up_to("agent:response")
            assert numbers(came) == [2]
            assert "resumed" not in {each.type for each in came}


async def test_what_a_phone_missed_comes_as_it_was_and_in_order(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(hub, desktop_id, user) as agent, mobile(hub, user) as steady:
        async with mobile(hub, user) as phone:
            await tell(agent, "agent:response", 0)
            place = await last_heard(phone, 0)
        await tell(agent, "agent:stream", 1, 2)
        await tell(agent, "agent:status", 3)
        await tell(agent, "agent:response", 4)
        heard = [
            await steady.expect(kind)
            for kind in ("agent:response", *["agent:stream"] * 2, "agent:status", "agent:response")
        ]
        async with mobile(hub, user, resume={desktop_id: place}) as phone:
            came, resumed = await replayed(phone, desktop_id)
            assert [each.text for each in came] == [each.text for each in heard[1:]]
            assert resumed.payload == {"desktop_id": desktop_id, "complete": True, "offset": heard[-1].offset_text}
            assert set(resumed.whole) == {"type", "payload", "timestamp"}
            await tell(agent, "agent:stream", 5)
            assert numbers(await phone.up_to("agent:stream")) == [5]


async def test_a_phone_that_missed_nothing_is_told_so(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with listener(hub, user, desktop_id) as (agent, phone):
        await tell(agent, "agent:stream", 1)
        place = await last_heard(phone, 1)
        async with mobile(hub, user, resume={desktop_id: place}) as back:
            came, resumed = await replayed(back, desktop_id)
            assert (came, resumed.payload) == ([], {"desktop_id": desktop_id, "complete": True, "offset": place})


@pytest.mark.parametrize("orderly", [True, False])
async def test_resuming_across_reconnections_of_the_desktop(hub: HubProcess, orderly: bool) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with mobile(hub, user) as steady:
        async with desktop(hub, desktop_id, user) as agent:
            await tell(agent, "agent:stream", 1, 2)
            place = (await steady.expect("agent:stream")).offset_text
            await steady.expect("agent:stream")
            if not orderly:
                agent.break_off()
        async with desktop(hub, desktop_id, user):
            pass  # It says nothing this time.
        async with desktop(hub, desktop_id, user) as agent:
            await tell(agent, "agent:stream", 3)
            end = (await steady.expect("agent:stream")).offset_text
            async with mobile(hub, user, resume={desktop_id: place}) as phone:
                came, resumed = await replayed(phone, desktop_id)
                assert numbers(came) == [2, 3]
                assert (resumed.payload["complete"], resumed.payload["offset"]) == (True, end)


@pytest.mark.parametrize("pieces", [False, True])
async def test_a_phone_comes_back_when_the_desktop_is_away_too(hub: HubProcess, pieces: bool) -> None:
    """All that is left is the journal, and pieces aren't in there."""
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(hub, desktop_id, user) as agent:
        async with mobile(hub, user) as phone:
            await tell(agent, "agent:response", 0)
            place = await last_heard(phone, 0)
        await tell(agent, "agent:status", 1)
        if pieces:
            await tell(agent, "agent:stream", 2)
        await tell(agent, "agent:response", 3)
        await agent.sync()
    await until(lambda: journalled_end(hub, user, desktop_id) is not None)
    async with mobile(hub, user, resume={desktop_id: place}) as phone:
        came, resumed = await replayed(phone, desktop_id)
        assert said(came) == [("agent:status", 1), ("agent:response", 3)]
        assert resumed.payload["complete"] is not pieces
        assert resumed.payload["offset"] == came[-1].offset_text == journalled_end(hub, user, desktop_id)
        async with desktop(hub, desktop_id, user) as agent:
            await tell(agent, "agent:stream", 4)
            assert numbers(await phone.up_to("agent:stream")) == [4]


async def test_from_the_beginning_comes_all_there_is(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    for number in (1, 2):
        async with desktop(hub, desktop_id, user) as agent:
            await tell(agent, "agent:response", number)
            await agent.sync()
        await until(lambda: journalled_end(hub, user, desktop_id) is not None)
    async with desktop(hub, desktop_id, user) as agent:
        await tell(agent, "agent:stream", 3)
        await agent.sync()
        async with mobile(hub, user, resume={desktop_id: "0-0"}) as phone:
            came, resumed = await replayed(phone, desktop_id)
            assert (numbers(came), resumed.payload["complete"]) == ([1, 2, 3], True)
            assert resumed.payload["offset"] == came[-1].offset_text


async def test_a_desktop_that_never_said_anything_has_nothing_to_replay(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(hub, desktop_id, user) as agent, mobile(hub, user, resume={desktop_id: "0-0"}) as phone:
        came, resumed = await replayed(phone, desktop_id)
        assert (came, resumed.payload["complete"]) == ([], True)
        await tell(agent, "agent:stream", 1)
        assert numbers(await phone.up_to("agent:stream")) == [1]


@pytest.mark.parametrize("bogus", ["0-1", "1-0", "1-7", "{epoch}-99", "{next}-1", f"{2**64 - 1}-{2**64 - 1}"])
async def test_a_place_that_never_was_is_never_complete(hub: HubProcess, bogus: str) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with listener(hub, user, desktop_id) as (agent, steady):
        await tell(agent, "agent:response", 1)
        end = (await steady.expect("agent:response")).offset
        place = bogus.format(epoch=end[0], next=end[0] + 1)
        async with mobile(hub, user, resume={desktop_id: place}) as phone:
            came, resumed = await replayed(phone, desktop_id)
            assert resumed.payload["complete"] is False
            assert set(numbers(came)) <= {1}
            await tell(agent, "agent:stream", 2)
            assert numbers(await phone.up_to("agent:stream")) == [2]


async def test_desktops_are_resumed_one_after_the_other(hub: HubProcess) -> None:
    user, names = new_name("u"), [new_name("d") for _ in range(3)]
    async with mobile(hub, user) as steady:
        gone = await absent_desktop(hub, user, steady)
        async with (
            desktop(hub, names[0], user) as first,
            desktop(hub, names[1], user) as second,
            desktop(hub, names[2], user) as third,
        ):
            for agent in (first, second, third):
                await tell(agent, "agent:response", 1, 2)
                await agent.sync()
            async with mobile(hub, user, resume={names[1]: "0-0", gone: "0-0", names[0]: "0-0"}) as phone:
                for desktop_id, missed in ((names[1], [1, 2]), (gone, []), (names[0], [1, 2])):
                    came = await phone.up_to("resumed")
                    assert came[-1].payload["desktop_id"] == desktop_id
                    assert came[-1].payload["complete"] is True
                    assert numbers(came) == missed
                    assert {each.whole["desktop_id"] for each in came if each.type in FROM_DESKTOPS} <= {desktop_id}
                for number, agent in enumerate((first, second, third)):
                    await tell(agent, "agent:stream", number)
                    assert numbers(await phone.up_to("agent:stream")) == [number]


@pytest.mark.parametrize("kind", ["agent:response", "agent:stream"])
async def test_what_comes_during_a_replay_comes_behind_it(hub: HubProcess, kind: str) -> None:
    """Phones come back again and again while their desktop speaks without a pause."""
    user, desktop_id = new_name("u"), new_name("d")
    spoken = 0

    async def speak(agent: Peer) -> None:
        nonlocal spoken
        while True:
            await agent.send(kind, {"n": spoken, "text": "x" * 300})
            spoken += 1
            await asyncio.sleep(0.001)

    async with listener(hub, user, desktop_id) as (agent, steady):
        speaking = asyncio.create_task(speak(agent))
        for _ in range(3):
            seen = spoken
            place = (await steady.expect(kind, n=seen)).offset_text
            await steady.expect(kind, n=seen + 200)
            async with mobile(hub, user, resume={desktop_id: place}) as phone:
                missed, resumed = await replayed(phone, desktop_id)
                live = await phone.up_to(kind, n=missed[-1].payload["n"] + 100)
                whole = numbers([*missed, *live])
                assert whole == list(range(seen + 1, seen + 1 + len(whole)))
                assert resumed.payload["complete"] is True
                assert resumed.payload["offset"] == missed[-1].offset_text
        assert not speaking.done(), speaking.exception()
        speaking.cancel()
