"""The scripts with what the mailroom's own work never leaves behind: damage, lost data, keys of another program."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from actors.ids import DesktopId, DeviceId, UserId
from actors.mail import Known, MailPage, NotStored, Receipt, Status, Stored, TooFast
from actors.offsets import BEGINNING, Offset
from hub.mail import keys
from hub.mail.limits import MailLimits
from hub.mail.lua import LONGER_MS
from tests.support.mail import D1, PHONE, U1, RedisDesk, make_letter, redis_desk
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.valkey_fixtures",)

MAILBOX, RECEIPTS, REMEMBERED = keys.mailbox(U1, D1), keys.receipts(U1, D1), keys.remembered(U1, D1)
KEPT = keys.kept(PHONE.user_id, PHONE.device_id)
FAR = "18446744073709551615-18446744073709551615"
DAY_MS = 86_400_000


@pytest.fixture
async def desk(client: Redis) -> AsyncIterator[RedisDesk]:
    async with redis_desk(client) as desk:
        yield desk
        assert desk.redis.ledger.outages == 0


async def store(desk: RedisDesk, message: str) -> Stored:
    answer = await desk.store(make_letter(message, "x"))
    assert isinstance(answer, Stored)
    return answer


async def messages(desk: RedisDesk) -> list[str | None]:
    return [letter.message_id for _, letter in await desk.read_all()]


# -- what lies in Redis --------------------------------------------------------------------------------------------


async def test_a_mailbox_in_redis(desk: RedisDesk, valkey: ValkeyServer) -> None:
    letter = make_letter("1", '{"é":1}', valid_until=desk.now_ms() + 60_000)
    answer = await desk.store(letter)
    assert isinstance(answer, Stored)
    entry = str(answer.entry).encode()
    fields = {b"k": b"m:1", b"f": '{"é":1}'.encode(), b"t": b"user:message", b"d": b"p1"}
    fields |= {b"p": letter.fingerprint.encode(), b"v": str(letter.valid_until).encode()}
    assert valkey.say("XRANGE", MAILBOX, "-", "+") == [(entry, fields)]
    receipt = b"|".join([b"stored", entry, b"8", letter.fingerprint.encode(), b"p1"])
    assert valkey.say("HGETALL", RECEIPTS) == {b"last": entry, b"bytes": b"8", b"m:1": receipt}
    assert valkey.say("ZSCORE", keys.EXPIRING, "u1 d1") == letter.valid_until
    await desk.settle(letter)
    receipt = b"|".join([b"delivered", b"", b"0", letter.fingerprint.encode(), b"p1"])
    assert valkey.say("HGETALL", RECEIPTS) == {b"last": entry, b"bytes": b"0", b"m:1": receipt}


async def test_keys_outlive_what_is_in_them_and_no_more(desk: RedisDesk, valkey: ValkeyServer) -> None:
    await store(desk, "1")
    desk.room.keep(PHONE, Receipt("1", D1, Status.DELIVERED))
    await desk.kept()
    for name in (MAILBOX, RECEIPTS, REMEMBERED):
        assert DAY_MS + LONGER_MS - 10_000 < valkey.say("PTTL", name) <= DAY_MS + LONGER_MS
    assert DAY_MS - 10_000 < valkey.say("PTTL", KEPT) <= DAY_MS


async def test_the_index_has_the_sooner_of_age_and_valid_until(desk: RedisDesk, valkey: ValkeyServer) -> None:
    now = desk.now_ms()
    await store(desk, "1")
    assert now + DAY_MS <= valkey.say("ZSCORE", keys.EXPIRING, "u1 d1") <= now + DAY_MS + 10_000
    for valid_until in (now + 90_000, now + 60_000, now + 70_000):
        await desk.store(make_letter(str(valid_until), valid_until=valid_until))
    assert valkey.say("ZSCORE", keys.EXPIRING, "u1 d1") == now + 60_000


# -- the pace of a user --------------------------------------------------------------------------------------------

PACE = keys.pace(U1)


async def test_the_pace_lasts_until_the_allowance_is_whole(client: Redis, valkey: ValkeyServer) -> None:
    async with redis_desk(client, MailLimits(rate=0.1, burst=9)) as desk:
        for number in range(3):
            await store(desk, str(number))
        assert 20_000 < valkey.say("PTTL", PACE) <= 30_000
    async with redis_desk(client) as desk:
        valkey.say("DEL", PACE)
        await store(desk, "without a limit")
        assert valkey.say("EXISTS", PACE) == 0


@pytest.mark.parametrize("damage", ["junk", "-5", "1e9", "", "9" * 30], ids=["junk", "below 0", "1e9", "empty", "far"])
async def test_a_pace_that_is_none_holds_up_nobody(client: Redis, valkey: ValkeyServer, damage: str) -> None:
    """The last one is a time far ahead, as if Redis' clock had gone back."""
    async with redis_desk(client, MailLimits(rate=0.1, burst=1)) as desk:
        valkey.say("SET", PACE, damage)
        await store(desk, "1")
        assert isinstance(await desk.store(make_letter("2")), TooFast)


async def test_a_pace_under_a_key_of_another_program(client: Redis, valkey: ValkeyServer) -> None:
    async with redis_desk(client, MailLimits(rate=50, burst=1)) as desk:
        valkey.say("HSET", PACE, "other", "program")
        assert await desk.store(make_letter("1")) is NotStored.AWAY
        assert desk.redis.ledger.outages == 0


# -- lost data -----------------------------------------------------------------------------------------------------


async def test_lost_receipts_are_made_again_when_the_letter_is_read(desk: RedisDesk, valkey: ValkeyServer) -> None:
    first = await store(desk, "1")
    valkey.say("DEL", RECEIPTS, REMEMBERED)
    assert (await desk.read()).reached == first.entry
    assert await desk.store(make_letter("1", "x")) == Known(Status.STORED)
    await desk.settle(make_letter("1", "x"))
    assert valkey.say("XLEN", MAILBOX) == 0


async def test_with_lost_receipts_the_stream_tells_the_entry_before(desk: RedisDesk, valkey: ValkeyServer) -> None:
    first = await store(desk, "1")
    valkey.say("DEL", RECEIPTS)
    assert (await store(desk, "2")).previous == first.entry


async def test_of_two_copies_the_one_without_a_receipt_goes(desk: RedisDesk, valkey: ValkeyServer) -> None:
    await store(desk, "1")
    valkey.say("DEL", RECEIPTS)
    await store(desk, "1")
    assert await messages(desk) == ["1"]
    assert valkey.say("XLEN", MAILBOX) == 1


async def test_a_reader_who_is_ahead_of_a_store_that_lost_data_begins_anew(
    desk: RedisDesk, valkey: ValkeyServer
) -> None:
    entry = (await store(desk, "1")).entry
    page = await desk.read(Offset(entry.epoch + 1000, 0))
    assert ([letter.message_id for _, letter in page.letters], page.reached) == (["1"], entry)
    valkey.say("FLUSHALL")
    assert await desk.read(entry) == MailPage((), BEGINNING, more=False)
    assert (await store(desk, "2")).previous == BEGINNING


async def test_the_count_of_bytes_comes_right_when_the_mailbox_is_empty(desk: RedisDesk, valkey: ValkeyServer) -> None:
    await store(desk, "1")
    await store(desk, "2")
    valkey.say("HSET", RECEIPTS, "bytes", "1000")
    await desk.settle(make_letter("1", "x"))
    assert valkey.say("HGET", RECEIPTS, "bytes") == b"999"
    await desk.settle(make_letter("2", "x"))
    assert valkey.say("HGET", RECEIPTS, "bytes") == b"0"


async def test_a_lost_mailbox_is_not_full(desk: RedisDesk, valkey: ValkeyServer) -> None:
    await store(desk, "1")
    valkey.say("HSET", RECEIPTS, "bytes", MailLimits().bytes)
    valkey.say("DEL", MAILBOX)
    await store(desk, "2")
    assert valkey.say("HGET", RECEIPTS, "bytes") == b"1"


# -- damage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        ("what", "ever"),
        ("k", "m:9"),
        ("f", "{}"),
        ("k", "bytes", "f", "{}"),
        ("k", "m:9", "f", "{}"),
        ("k", "m:9", "f", "{}", "t", "t", "d", "", "p", "p", "v", "soon"),
        ("k", "m:9", "f", "{}", "t", "t", "d", "", "p", "|", "v", "9999999999999"),
    ],
)
async def test_a_strange_entry_does_not_stop_the_mailbox(
    desk: RedisDesk, valkey: ValkeyServer, fields: tuple[str, ...]
) -> None:
    await store(desk, "1")
    valkey.say("XADD", MAILBOX, "*", *fields)
    await store(desk, "2")
    for _ in range(2):
        assert [each for each in await messages(desk) if each != "9"] == ["1", "2"]
    await desk.settle(make_letter("1", "x"))
    await desk.settle(make_letter("2", "x"))
    assert [each for each in await messages(desk) if each != "9"] == []


@pytest.mark.parametrize(
    "receipt",
    ["", "stored", "lost|1-1|1|p|d", "stored|1|1|p|d", "stored|99999999999999999999-1|1|p|d", "stored|1-1|many|p|d"],
)
async def test_a_damaged_receipt_counts_as_none(desk: RedisDesk, valkey: ValkeyServer, receipt: str) -> None:
    valkey.say("HSET", RECEIPTS, "m:1", receipt)
    await store(desk, "1")
    valkey.say("HSET", RECEIPTS, "m:1", receipt)
    assert await desk.acknowledge("1") is None
    assert await messages(desk) == ["1"]
    assert await desk.acknowledge("1") == PHONE


@pytest.mark.parametrize("damage", ["", "x", "nan", "-1", "1e300", "9" * 400])
async def test_damaged_counts_do_not_stop_the_mailbox(desk: RedisDesk, valkey: ValkeyServer, damage: str) -> None:
    valkey.say("HSET", RECEIPTS, "bytes", damage, "last", damage)
    entry = (await store(desk, "1")).entry
    assert (await desk.read()).reached == entry
    await desk.settle(make_letter("1", "x"))
    assert valkey.say("HGET", RECEIPTS, "bytes") == b"0"


async def test_a_stream_at_its_end_is_no_outage(desk: RedisDesk, valkey: ValkeyServer) -> None:
    valkey.say("XADD", MAILBOX, FAR, "k", "m:9", "f", "{}")
    valkey.say("XADD", KEPT, FAR, "what", "ever")
    assert await desk.store(make_letter("1")) is NotStored.AWAY
    assert (await desk.read()).letters == ()
    desk.room.keep(PHONE, Receipt("1", D1, Status.DELIVERED))
    assert await desk.kept() == []
    desk.room.forget(PHONE, Offset(2**64 - 1, 2**64 - 1))
    await desk.kept()
    assert isinstance(await desk.store(make_letter("1", desktop="d2")), Stored)


@pytest.mark.parametrize("name", [MAILBOX, RECEIPTS, REMEMBERED, KEPT, keys.EXPIRING])
async def test_a_key_of_another_program_is_nobodys_outage(desk: RedisDesk, valkey: ValkeyServer, name: str) -> None:
    valkey.say("SET", name, "1")
    letter = make_letter("1")
    blocked = name in (MAILBOX, RECEIPTS, REMEMBERED)
    assert (await desk.store(letter) is NotStored.AWAY) == blocked
    page = await desk.read()
    assert (page.letters == ()) == blocked
    await desk.settle(letter, done=False)
    await desk.acknowledge("1")
    desk.room.keep(PHONE, Receipt("1", D1, Status.DELIVERED))
    assert len(await desk.kept()) == (name != KEPT)
    desk.room.forget(PHONE, BEGINNING)
    assert isinstance(await desk.store(make_letter("1", desktop="d2")), Stored)
    assert valkey.say("GET", name) == b"1"


async def test_forgetting_is_bounded_and_catches_up(client: Redis, valkey: ValkeyServer) -> None:
    async with redis_desk(client) as desk:
        for number in range(30):
            await desk.settle(make_letter(str(number)))
    async with redis_desk(client, MailLimits(messages=2, remembered_messages=2)) as desk:
        for number in range(30, 40):
            await desk.settle(make_letter(str(number)))
    assert valkey.say("HLEN", RECEIPTS) == 2
    assert valkey.say("ZRANGE", REMEMBERED, 0, -1) == [b"m:38", b"m:39"]


async def test_receipts_of_a_lost_mailbox_are_forgotten_like_others(client: Redis, valkey: ValkeyServer) -> None:
    async with redis_desk(client, MailLimits(messages=2, remembered_messages=2)) as desk:
        await store(desk, "1")
        valkey.say("DEL", MAILBOX)
        for number in range(2, 5):
            await desk.settle(make_letter(str(number)))
    assert valkey.say("HEXISTS", RECEIPTS, "m:1") == 0


async def test_users_and_devices_with_odd_names(desk: RedisDesk) -> None:
    letter = make_letter("1", user="a:b@c", desktop="d.1:x", device="p:1")
    assert isinstance(await desk.store(letter), Stored)
    sender = await desk.ask(desk.room.acknowledge, UserId("a:b@c"), DesktopId("d.1:x"), "1")
    assert (sender.user_id, sender.device_id) == (UserId("a:b@c"), DeviceId("p:1"))
