"""The mailroom around the scripts: batches, order, bounds, outages."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from functools import partial

import pytest
from redis.asyncio import Redis

from actors.mail import Known, NotStored, Receipt, Status, Stored
from actors.offsets import BEGINNING
from hub.mail import keys, room
from hub.mail.limits import MailLimits
from hub.store.calls import Calls, Command, Reply
from hub.store.servers import Servers
from tests.support.mail import D1, PHONE, U1, RedisDesk, make_letter, redis_desk
from tests.support.presence import eventually
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.valkey_fixtures",)

TIMEOUT_S = 0.4


@pytest.fixture
async def desk(client: Redis) -> AsyncIterator[RedisDesk]:
    async with redis_desk(client) as desk:
        yield desk


@pytest.fixture
async def frail_desk(frail_client: Redis) -> AsyncIterator[RedisDesk]:
    async with redis_desk(frail_client, timeout_s=TIMEOUT_S) as desk:
        yield desk


@pytest.fixture
def round_trips(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many commands went in each round trip."""
    sizes: list[int] = []

    class CountingCalls(Calls):
        async def run(self, commands: Sequence[Command], at: Servers | None = None) -> list[Reply]:
            if commands[-1][0] != "SCRIPT":
                sizes.append(len(commands))
            return await super().run(commands, at)

    monkeypatch.setattr(room, "Calls", CountingCalls)
    return sizes


async def come_back(desk: RedisDesk) -> None:
    returns = desk.returns
    desk.reachable = True
    await eventually(lambda: desk.returns == returns + 1)


# -- batches -------------------------------------------------------------------------------------------------------


async def test_what_comes_during_a_round_trip_goes_together(round_trips: list[int], client: Redis) -> None:
    async with redis_desk(client) as desk:
        first = asyncio.create_task(desk.read())
        await eventually(lambda: len(round_trips) == 1)
        await asyncio.gather(first, *(desk.read() for _ in range(room.BATCH + 2)))
    assert round_trips == [1, room.BATCH, 2]


async def test_a_batch_has_so_many_bytes(round_trips: list[int], client: Redis) -> None:
    half = "x" * (room.BATCH_BYTES // 2)
    async with redis_desk(client) as desk:
        await asyncio.gather(*(desk.store(make_letter(str(number), half, desktop=f"d{number}")) for number in range(3)))
    # With each batch goes one command for the index.
    assert round_trips == [2, 2, 2]


async def test_letters_of_one_batch_are_one_entry_in_the_index_for_each_mailbox(
    round_trips: list[int], client: Redis, valkey: ValkeyServer
) -> None:
    async with redis_desk(client) as desk:
        letters = [make_letter(str(number), desktop=f"d{number % 2}") for number in range(10)]
        await asyncio.gather(*map(desk.store, letters))
    assert round_trips == [11]
    assert valkey.say("ZCARD", keys.EXPIRING) == 2


async def test_of_the_letters_of_one_batch_the_soonest_counts(desk: RedisDesk, valkey: ValkeyServer) -> None:
    soonest = desk.now_ms() + 60_000
    letters = [make_letter(str(later), valid_until=soonest + later) for later in (5, 0, 7)]
    await asyncio.gather(*map(desk.store, letters))
    assert valkey.say("ZSCORE", keys.EXPIRING, "u1 d1") == soonest


async def test_the_first_batch_is_in_order_though_redis_has_forgotten_the_scripts(
    client: Redis, valkey: ValkeyServer
) -> None:
    valkey.say("SCRIPT", "FLUSH")
    async with redis_desk(client) as desk:
        desk.room.keep(PHONE, Receipt("1", D1, Status.DELIVERED))
        assert [each.receipt.message_id for each in await desk.kept()] == ["1"]


async def test_an_askers_bug_is_its_own(desk: RedisDesk, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    desk.room.read(U1, D1, BEGINNING, fail)
    assert (await desk.read()).letters == ()
    assert "taking an answer of the mailroom failed" in caplog.text
    assert desk.redis.ledger.outages == 0


async def test_it_sweeps_by_itself(client: Redis) -> None:
    async with redis_desk(client, sweep_s=0.02) as desk:
        await desk.store(make_letter(valid_until=desk.now_ms() + 200))
        await eventually(lambda: desk.told == [(PHONE, Receipt("1", D1, Status.EXPIRED))])
        assert desk.redis.ledger.expired == 1


async def test_it_counts(desk: RedisDesk) -> None:
    await desk.store(make_letter("1"))
    await desk.store(make_letter("1"))
    await desk.store(make_letter("1", "other"))
    ledger = desk.redis.ledger
    assert (ledger.stored, ledger.duplicates, ledger.expired) == (1, 1, 0)
    assert desk.redis.lag_s == 0


async def test_more_than_may_wait_is_answered_as_if_redis_were_away(
    desk: RedisDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_WAITING", 2)
    answers = await asyncio.gather(*(desk.acknowledge("1") for _ in range(2)), desk.settle(make_letter("1")))
    assert answers == [None, None, None]
    assert desk.redis.lag_s == 0
    assert await desk.store(make_letter("1")) == Known(Status.DELIVERED)


async def test_more_bytes_than_may_wait_are_answered_as_if_redis_were_away(
    desk: RedisDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_WAITING_BYTES", 100)
    letters = [make_letter(str(number), "x" * 60) for number in range(2)]
    first, second = await asyncio.gather(*map(desk.store, letters))
    assert isinstance(first, Stored)
    assert second is NotStored.AWAY
    assert isinstance(await desk.store(letters[1]), Stored)


# -- stopping ------------------------------------------------------------------------------------------------------


async def test_before_the_start_and_after_the_end_redis_is_away(client: Redis) -> None:
    desk = RedisDesk(client, MailLimits())
    assert await desk.store(make_letter()) is NotStored.AWAY
    await desk.redis.start()
    assert isinstance(await desk.store(make_letter()), Stored)
    await desk.redis.stop(1)
    assert await desk.store(make_letter()) is NotStored.AWAY


async def test_what_waits_is_done_before_the_end(client: Redis) -> None:
    async with redis_desk(client) as desk:
        await desk.read()
        asked = [asyncio.create_task(desk.store(make_letter(str(number)))) for number in range(300)]
        await asyncio.sleep(0)
    assert all(isinstance(answer, Stored) for answer in await asyncio.gather(*asked))


async def test_a_stop_does_not_wait_for_redis_longer_than_it_may(
    frail_server: ValkeyServer, frail_client: Redis
) -> None:
    desk = RedisDesk(frail_client, MailLimits(), timeout_s=30)
    await desk.redis.start()
    frail_server.signal(signal.SIGSTOP)
    asked = asyncio.create_task(desk.read())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await desk.redis.stop(0.05)
    assert await asked is None


# -- outages -------------------------------------------------------------------------------------------------------


async def test_everything_is_answered_while_redis_is_away(frail_desk: RedisDesk, frail_server: ValkeyServer) -> None:
    desk = frail_desk
    frail_server.kill()
    for _ in range(2):
        assert await desk.store(make_letter()) is NotStored.AWAY
        assert await desk.read() is None
        await desk.settle(make_letter("2"))
        assert await desk.acknowledge("1") is None
        desk.room.keep(PHONE, Receipt("1", D1, Status.DELIVERED))
        assert await desk.kept_if_here() is None
    assert (desk.redis.ledger.outages, desk.returns) == (1, 0)
    assert desk.redis.lag_s > 0


async def test_answers_keep_their_order_through_an_outage(frail_desk: RedisDesk, frail_server: ValkeyServer) -> None:
    desk = frail_desk
    heard: list[str] = []

    def ask(number: int) -> None:
        desk.room.store(make_letter(str(number)), partial(note, number))

    def note(number: int, answer: object) -> None:
        heard.append(f"{number} {answer}")
        if number < 100:
            ask(number + 1000)

    frail_server.kill()
    for number in range(200):
        ask(number)
    await eventually(lambda: len(heard) == 300)
    assert heard == [f"{number} {NotStored.AWAY}" for number in [*range(200), *range(1000, 1100)]]


async def test_what_happened_meanwhile_is_written_down_first(frail_desk: RedisDesk, frail_server: ValkeyServer) -> None:
    desk = frail_desk
    await desk.store(make_letter("1"))
    await desk.store(make_letter("2"))
    frail_server.signal(signal.SIGSTOP)
    assert await desk.store(make_letter("3")) is NotStored.AWAY
    await desk.settle(make_letter("1"))
    await desk.settle(make_letter("3"))
    assert await desk.acknowledge("2") is None
    desk.room.keep(PHONE, Receipt("1", D1, Status.DELIVERED))
    frail_server.signal(signal.SIGCONT)
    await come_back(desk)
    assert (await desk.read()).letters == ()
    assert await desk.store(make_letter("1")) == Known(Status.DELIVERED)
    assert await desk.store(make_letter("2")) == Known(Status.ACKNOWLEDGED)
    assert isinstance(await desk.store(make_letter("3")), Known)
    assert [each.receipt.message_id for each in await desk.kept()] == ["1"]
    assert desk.redis.lag_s == 0


async def test_it_returns_only_when_that_is_worth_while(frail_desk: RedisDesk, frail_server: ValkeyServer) -> None:
    desk = frail_desk
    desk.reachable = False
    frail_server.kill()
    assert await desk.read() is None
    frail_server.start()
    await asyncio.sleep(2 * room.PROBE_S)
    assert await desk.store(make_letter()) is NotStored.AWAY
    assert desk.returns == 0
    await come_back(desk)
    assert (await desk.read()).letters == ()
    assert desk.returns == 1


async def test_a_redis_that_takes_no_writes_is_away(frail_desk: RedisDesk, frail_server: ValkeyServer) -> None:
    desk = frail_desk
    frail_server.say("CONFIG", "SET", "min-replicas-to-write", 1)
    assert await desk.store(make_letter()) is NotStored.AWAY
    await asyncio.sleep(2 * room.PROBE_S)
    assert (desk.redis.ledger.outages, desk.returns) == (1, 0)
    frail_server.say("CONFIG", "SET", "min-replicas-to-write", 0)
    await come_back(desk)
    assert isinstance(await desk.store(make_letter()), Stored)


async def test_a_redis_that_takes_no_writes_is_away_before_anything_is_asked(
    frail_client: Redis, frail_server: ValkeyServer
) -> None:
    frail_server.say("CONFIG", "SET", "min-replicas-to-write", 1)
    async with redis_desk(frail_client, timeout_s=TIMEOUT_S) as desk:
        await eventually(lambda: desk.redis.ledger.outages == 1)
        frail_server.say("CONFIG", "SET", "min-replicas-to-write", 0)
        await come_back(desk)


async def test_a_letter_that_redis_took_without_our_knowing_is_in_the_index(
    frail_desk: RedisDesk, frail_server: ValkeyServer
) -> None:
    await frail_desk.read()
    frail_server.kill()
    assert await frail_desk.store(make_letter()) is NotStored.AWAY
    frail_server.start()
    await come_back(frail_desk)
    assert frail_server.say("ZRANGE", keys.EXPIRING, 0, -1) == [b"u1 d1"]


async def test_only_the_newest_is_owed(
    frail_desk: RedisDesk, frail_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_OWED", 2)
    frail_server.kill()
    for number in range(5):
        await frail_desk.settle(make_letter(str(number)))
    frail_server.start()
    await come_back(frail_desk)
    answers = [await frail_desk.store(make_letter(str(number))) for number in range(5)]
    assert [isinstance(answer, Known) for answer in answers] == [False, False, False, True, True]
    assert frail_desk.redis.ledger.dropped == 3


async def test_what_is_owed_stays_owed_when_redis_goes_away_again(
    frail_client: Redis, frail_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = 0

    class BreakingCalls(Calls):
        async def run(self, commands: Sequence[Command], at: Servers | None = None) -> list[Reply]:
            nonlocal broken
            if len(commands) == room.BATCH and broken < 2:
                broken += 1
                raise ConnectionError
            return await super().run(commands, at)

    monkeypatch.setattr(room, "Calls", BreakingCalls)
    async with redis_desk(frail_client, timeout_s=TIMEOUT_S) as desk:
        frail_server.kill()
        await desk.read()
        for number in range(room.BATCH + 1):
            await desk.settle(make_letter(str(number)))
        frail_server.start()
        await come_back(desk)
        assert (broken, desk.redis.ledger.outages, desk.redis.ledger.dropped) == (2, 1, 0)
    assert frail_server.say("ZCARD", keys.remembered(U1, D1)) == room.BATCH + 1


async def test_nobody_asks_and_it_notices_all_the_same(frail_client: Redis, frail_server: ValkeyServer) -> None:
    async with redis_desk(frail_client, timeout_s=TIMEOUT_S, sweep_s=0.02) as desk:
        frail_server.kill()
        await eventually(lambda: desk.redis.ledger.outages == 1)
        frail_server.start()
        await come_back(desk)


async def test_a_bug_of_ours_is_answered_as_an_outage_and_over(
    desk: RedisDesk, caplog: pytest.LogCaptureFixture
) -> None:
    assert await desk.store(make_letter("\ud800")) is NotStored.AWAY
    await desk.settle(make_letter("\ud800"))
    await come_back(desk)
    assert isinstance(await desk.store(make_letter("1")), Stored)
    assert "met a bug" in caplog.text
    assert desk.redis.ledger.dropped == 2  # with the letter's time for the index


async def test_who_was_turned_away_for_want_of_room_is_told_when_there_is_some(
    desk: RedisDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.mail.room.MOST_WAITING", 2)
    first, _, third = await asyncio.gather(*(desk.read() for _ in range(3)))
    assert (first is None, third is None) == (False, True)
    await eventually(lambda: desk.returns == 1)


async def test_what_may_wait_goes_with_the_first_that_may_not(desk: RedisDesk) -> None:
    heard: list[str] = []
    desk.room.read(U1, D1, BEGINNING, lambda _: heard.append("read"))
    desk.room.store(make_letter("1"), lambda _: heard.append("store"))
    await eventually(lambda: len(heard) == 2)
    assert heard == ["read", "store"], "in the order of asking"
