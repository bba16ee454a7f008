"""Presence changes read from a real Valkey for all who listen."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import pytest
from redis.asyncio import Redis

from actors.offsets import BEGINNING, Offset
from hub.events import presence_events
from hub.events.listener import Listener
from hub.events.presence_events import MOST_LISTENERS, PAGE, PLACES, PresenceEvents
from hub.presence.keys import STREAM
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.valkey_fixtures",)

WAIT_S = 10.0


@asynccontextmanager
async def reading(client: Redis, *, timeout_s: float = 5) -> AsyncIterator[PresenceEvents]:
    events = PresenceEvents(client, timeout_s=timeout_s)
    await events.start()
    try:
        yield events
    finally:
        await events.stop()


def add(server: ValkeyServer, number: int) -> str:
    """One change; its `at` is the number."""
    fields = ("desktop_id", "d", "user_id", "u", "state", "online", "reason", "", "at", number)
    return str(server.say("XADD", STREAM, "*", *fields).decode())


def trim(server: ValkeyServer, length: int) -> None:
    server.say("XTRIM", STREAM, "MAXLEN", "=", length)


async def take(listener: Listener) -> list[str]:
    """The next that comes: each `at` of a change, `gap AFTER`, or `place AT`."""
    async with asyncio.timeout(WAIT_S):
        while (text := await listener.take(1)) == b"":
            pass
    assert text is not None
    return [_told(block) for block in text.decode().split("\n\n") if block]


def _told(block: str) -> str:
    fields = dict(line.split(": ", 1) for line in block.split("\n"))
    match fields:
        case {"event": "gap", "data": data}:
            return "gap " + data.removeprefix('{"after":"').removesuffix('"}')
        case {"event": "presence", "data": data}:
            return data.rpartition(":")[2].removesuffix("}")
    return "place " + fields["id"]


async def take_all(listener: Listener, count: int) -> list[str]:
    came: list[str] = []
    while len(came) < count:
        came += await take(listener)
    return came


def numbers(first: int, behind: int) -> list[str]:
    return [str(number) for number in range(first, behind)]


async def test_from_now_on(client: Redis, valkey: ValkeyServer) -> None:
    last = add(valkey, 1)
    async with reading(client) as events:
        with events.listen(None) as listener:
            assert await take(listener) == [f"place {last}"]
            add(valkey, 2)
            assert await take(listener) == ["2"]


async def test_from_now_on_when_nothing_was_ever_said(client: Redis, valkey: ValkeyServer) -> None:
    async with reading(client) as events:
        with events.listen(None) as listener:
            assert await take(listener) == ["place 0-0"]
            add(valkey, 1)
            assert await take(listener) == ["1"]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What there is to be read at once is read before the next poll."""
    monkeypatch.setattr(presence_events, "POLL_S", 60)


@pytest.mark.usefixtures("patient")
async def test_behind_a_place_everything_once_and_in_order(client: Redis, valkey: ValkeyServer) -> None:
    count = 2 * PAGE + 7
    ids = [add(valkey, number) for number in range(count)]
    async with reading(client) as events:
        with events.listen(_offset(ids[4])) as one, events.listen(BEGINNING) as other:
            assert await take_all(one, count - 5) == numbers(5, count)
            assert await take_all(other, count) == numbers(0, count)


async def test_those_who_came_from_different_places_hear_the_same_then(client: Redis, valkey: ValkeyServer) -> None:
    ids = [add(valkey, number) for number in range(3)]
    async with reading(client) as events:
        with events.listen(_offset(ids[1])) as one, events.listen(BEGINNING) as other:
            await take_all(one, 1)
            await take_all(other, 3)
            add(valkey, 3)
            assert [await take(each) for each in (one, other)] == [["3"], ["3"]]


async def test_nobody_who_is_far_behind_comes_first_every_time(client: Redis, valkey: ValkeyServer) -> None:
    ids = [add(valkey, number) for number in range(PAGE + 2 * PLACES)]
    events = PresenceEvents(client, timeout_s=5)
    with ExitStack() as all_of_them:
        listeners = [all_of_them.enter_context(events.listen(_offset(each))) for each in ids[: PLACES + 1]]
        await events._round()
        served = [each for each in listeners if not each.has_room]
        for each in served:
            await take(each)
        await events._round()
        assert len(served) == PLACES
        assert not listeners[-1].has_room


@pytest.mark.usefixtures("patient")
async def test_more_places_than_are_read_from_at_a_time_are_all_served(client: Redis, valkey: ValkeyServer) -> None:
    count = 2 * PLACES
    ids = [add(valkey, number) for number in range(count + 1)]
    async with reading(client) as events:

        async def hear(number: int) -> list[str]:
            with events.listen(_offset(ids[number])) as listener:
                return await take_all(listener, count - number)

        heard = await asyncio.gather(*map(hear, range(count)))
    assert heard == [numbers(number + 1, count + 1) for number in range(count)]


async def test_a_listener_that_takes_nothing_keeps_nobody_from_hearing(client: Redis, valkey: ValkeyServer) -> None:
    async with reading(client) as events:
        with events.listen(BEGINNING) as idle, events.listen(BEGINNING) as eager:
            for number in range(3):
                add(valkey, number)
                assert await take(eager) == [str(number)]
            assert await take_all(idle, 3) == numbers(0, 3)


async def test_what_was_trimmed_is_a_gap(client: Redis, valkey: ValkeyServer) -> None:
    first, second = add(valkey, 1), add(valkey, 2)
    add(valkey, 3)
    trim(valkey, 1)
    async with reading(client) as events:
        with events.listen(_offset(first)) as listener:
            assert await take(listener) == [f"gap {first}", "3"]
            add(valkey, 4)
            assert await take(listener) == ["4"]
        with events.listen(_offset(second)) as listener:
            assert (await take(listener))[0] == f"gap {second}"
        with events.listen(BEGINNING) as listener:
            assert await take(listener) == ["3", "4"]


async def test_the_oldest_entry_that_is_left_is_no_gap(client: Redis, valkey: ValkeyServer) -> None:
    ids = [add(valkey, number) for number in range(3)]
    trim(valkey, 2)
    async with reading(client) as events:
        with events.listen(_offset(ids[1])) as listener:
            assert await take(listener) == ["2"]


async def test_a_redis_that_lost_its_data_is_a_gap(client: Redis, valkey: ValkeyServer) -> None:
    last = add(valkey, 1)
    async with reading(client) as events:
        with events.listen(BEGINNING) as listener:
            assert await take(listener) == ["1"]
            valkey.say("DEL", STREAM)
            assert await take(listener) == [f"gap {last}"]
            add(valkey, 2)
            assert await take(listener) == ["2"]


async def test_an_id_of_the_future_is_a_gap_and_everything_there_is(client: Redis, valkey: ValkeyServer) -> None:
    add(valkey, 1)
    async with reading(client) as events:
        with events.listen(Offset(2**60, 0)) as listener:
            assert await take_all(listener, 2) == [f"gap {2**60}-0", "1"]


async def test_entries_of_other_programs_are_passed_over(client: Redis, valkey: ValkeyServer) -> None:
    for _ in range(PAGE + 1):
        valkey.say("XADD", STREAM, "*", "what", "ever")
    add(valkey, 1)
    async with reading(client) as events:
        with events.listen(BEGINNING) as listener:
            assert await take(listener) == ["1"]


async def test_a_key_that_is_something_else_is_waited_for(client: Redis, valkey: ValkeyServer) -> None:
    valkey.say("SET", STREAM, "junk")
    async with reading(client) as events:
        with events.listen(BEGINNING) as listener:
            assert await listener.take(0.4) == b""
            valkey.say("DEL", STREAM)
            add(valkey, 1)
            assert await take(listener) == ["1"]


async def test_redis_away_and_back(frail_client: Redis, frail_server: ValkeyServer) -> None:
    """Nothing that was said meanwhile is missed; who came meanwhile begins when it is back."""
    add(frail_server, 1)
    async with reading(frail_client, timeout_s=0.3) as events:
        with events.listen(BEGINNING) as listener:
            assert await take(listener) == ["1"]
            frail_server.signal(signal.SIGSTOP)
            with events.listen(None) as late:
                assert await late.take(0.8) == b""
                frail_server.signal(signal.SIGCONT)
                last = add(frail_server, 2)
                assert await take(late) == [f"place {last}"]
            assert await take(listener) == ["2"]
            frail_server.kill()
            assert await listener.take(0.4) == b""
            frail_server.start()
            add(frail_server, 3)
            assert await take(listener) == ["3"]


async def test_no_more_than_so_many_listen(client: Redis) -> None:
    events = PresenceEvents(client, timeout_s=5)
    listening = [events.listen(None) for _ in range(MOST_LISTENERS)]
    for each in listening:
        assert not events.crowded
        each.__enter__()
    assert events.crowded
    listening[0].__exit__(None, None, None)
    assert not events.crowded


async def test_the_end_ends_every_listener(client: Redis) -> None:
    async with reading(client) as events:
        with events.listen(None) as one, events.listen(None) as other:
            events.close()
            assert [await each.take(10) for each in (one, other)] == [None, None]


async def test_nobody_listens_and_redis_is_not_asked(client: Redis, valkey: ValkeyServer) -> None:
    async with reading(client) as events:
        with events.listen(None) as listener:
            await take(listener)
        await asyncio.sleep(2 * presence_events.POLL_S)  # The round that may be under way.
        asked = _reads(valkey)
        await asyncio.sleep(3 * presence_events.POLL_S)
        assert _reads(valkey) == asked


def _reads(server: ValkeyServer) -> int:
    """How often the stream's newest entry was asked for."""
    stats = server.say("INFO", "commandstats")["cmdstat_xrevrange"]
    return int(stats["calls"])


def _offset(text: str) -> Offset:
    epoch, seq = text.split("-")
    return Offset(int(epoch), int(seq))
