"""The contract's keys as other services find them, and what the store makes of damaged ones."""

import asyncio

import pytest
from redis.asyncio import Redis

from actors.ids import DesktopId, NodeId, UserId
from actors.messages import CameOnline, WentOffline
from hub.store.calls import StoreAway
from hub.store.client import connect
from tests.support.presence import CALL_MS, NODE, NOW, make_record, make_store, told
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.valkey_fixtures",)


async def test_the_keys_are_those_of_the_contract(client: Redis, valkey: ValkeyServer) -> None:
    record = make_record(epoch=NOW * 1000)
    await make_store(client).apply([CameOnline(record, announce=True)])
    assert valkey.say("HGETALL", "hub:{u1}:desktop:d1") == {
        b"desktop_id": b"d1",
        b"user_id": b"u1",
        b"node_id": NODE.encode(),
        b"connection_id": record.connection_id.encode(),
        b"epoch": str(NOW * 1000).encode(),
        b"name": b"Desk",
        b"platform": b"linux",
        b"since": str(NOW).encode(),
        b"last_seen": str(NOW).encode(),
    }
    assert valkey.say("ZSCORE", "hub:{u1}:desktops", "d1") == NOW
    assert valkey.say("GET", "hub:owner:d1") == b"u1"
    ((_, fields),) = valkey.say("XRANGE", "hub:presence", "-", "+")
    assert fields == {b"desktop_id": b"d1", b"user_id": b"u1", b"state": b"online", b"reason": b"", b"at": b"%d" % NOW}


async def test_life_signs_tell_the_clock_of_redis(client: Redis, valkey: ValkeyServer) -> None:
    signs = await make_store(client).life_signs(NODE)
    seconds, microseconds = valkey.say("TIME")
    assert signs.clock_us is not None
    assert abs(int(seconds) * 1_000_000 + int(microseconds) - signs.clock_us) < 2_000_000


async def test_a_record_lives_for_its_ttl_from_each_renewal(client: Redis, valkey: ValkeyServer) -> None:
    store = make_store(client, ttl_s=120)
    await store.apply([CameOnline(make_record(), announce=True)])
    valkey.say("PEXPIRE", "hub:{u1}:desktop:d1", 5000)
    await store.apply([CameOnline(make_record(last_seen=NOW + 7), announce=False)])
    assert 110_000 < valkey.say("PTTL", "hub:{u1}:desktop:d1") <= 120_000
    assert valkey.say("HGET", "hub:{u1}:desktop:d1", "last_seen") == str(NOW + 7).encode()


async def test_the_known_ones_are_forgotten_after_a_month_and_the_sorted_set_stays(
    client: Redis, valkey: ValkeyServer
) -> None:
    await make_store(client).apply([CameOnline(make_record(), announce=True)])
    assert valkey.say("TTL", "hub:{u1}:known") == pytest.approx(30 * 86400, abs=5)
    assert valkey.say("TTL", "hub:{u1}:desktops") == -1


async def test_a_lost_record_is_made_anew_with_its_owner(client: Redis, valkey: ValkeyServer) -> None:
    store = make_store(client)
    await store.apply([CameOnline(make_record(), announce=True)])
    valkey.say("FLUSHALL")
    await store.apply([CameOnline(make_record(), announce=False)])
    assert (await store.desktop(DesktopId("d1"))).state == "online"


async def test_the_stream_is_capped(client: Redis, valkey: ValkeyServer) -> None:
    store = make_store(client, stream_length=100)
    for start in range(0, 1000, 250):
        await store.apply([CameOnline(make_record(f"d{n}", f"u{n}"), announce=True) for n in range(start, start + 250)])
    assert 100 <= valkey.say("XLEN", "hub:presence") <= 250
    assert valkey.say("ZCARD", "hub:told:{hub:presence}") == 100


async def test_many_answers_come_in_the_order_asked(client: Redis) -> None:
    store = make_store(client)
    await store.apply([CameOnline(make_record(f"d{n}", f"u{n % 7}"), announce=True) for n in range(0, 250, 2)])
    ids = [DesktopId(f"d{n}") for n in reversed(range(250))]
    answers = await store.desktops(ids)
    assert [answer.desktop_id for answer in answers] == ids
    assert [answer.state for answer in answers] == ["offline", "online"] * 125


async def test_at_most_a_thousand_are_asked_for(client: Redis) -> None:
    with pytest.raises(ValueError, match="1000"):
        await make_store(client).desktops([DesktopId("d")] * 1001)


async def test_a_users_desktops(client: Redis) -> None:
    store = make_store(client)
    away = make_record("d1", last_seen=NOW - 9)
    await store.apply([CameOnline(away, announce=True), CameOnline(make_record("d2"), announce=True)])
    await store.apply([WentOffline(away, "closed", NOW)])
    answer = await store.user(UserId("u1"))
    assert answer.state == "online"
    assert [(each.desktop_id, each.state, each.last_seen) for each in answer.desktops] == [
        ("d2", "online", NOW),
        ("d1", "offline", NOW - 9),
    ]
    assert (await store.user(UserId("nobody"))).state == "offline"


async def test_a_key_of_the_wrong_type_harms_nobody_else(client: Redis, valkey: ValkeyServer) -> None:
    store = make_store(client)
    valkey.say("SET", "hub:{u1}:desktop:d1", "what")
    valkey.say("SET", "hub:{u3}:desktops", "what")
    valkey.say("SET", "hub:owner:d1", "u1")
    changes = [CameOnline(make_record(f"d{n}", f"u{n}"), announce=True) for n in (1, 2)]
    await store.apply(changes)
    assert [each.state for each in await store.desktops([DesktopId("d1"), DesktopId("d2")])] == ["offline", "online"]
    assert await store.known(UserId("u3")) == []


@pytest.mark.parametrize("damage", [("epoch", "soon"), ("since", ""), ("last_seen", "x")])
async def test_a_damaged_record_counts_as_absent_and_is_written_over(
    client: Redis, valkey: ValkeyServer, damage: tuple[str, str]
) -> None:
    store = make_store(client)
    await store.apply([CameOnline(make_record(epoch=1), announce=True)])
    valkey.say("HSET", "hub:{u1}:desktop:d1", *damage)
    valkey.say("HSET", "hub:{u1}:known", "d1", "{")
    assert (await store.desktop(DesktopId("d1"))).state == "offline"
    await store.apply([CameOnline(make_record(epoch=2), announce=True)])
    assert (await store.desktop(DesktopId("d1"))).state == "online"


async def test_names_in_any_script_come_back_whole(client: Redis) -> None:
    store = make_store(client)
    name = "Büro 東京 \r\n$5\r\n"
    await store.apply([CameOnline(make_record(name=name), announce=True)])
    assert (await store.desktop(DesktopId("d1"))).name == name
    assert (await store.known(UserId("u1")))[0].name == name


async def test_earlier_lives_of_this_node_are_cleared_and_no_others(client: Redis, valkey: ValkeyServer) -> None:
    store = make_store(client)
    nodes = {"d1": "alpha/old", "d2": NODE, "d3": "alpha2/x", "d4": "beta/x"}
    await store.apply([CameOnline(make_record(d, f"u{d}", node=n), announce=True) for d, n in nodes.items()])
    assert await store.clear_earlier_lives("alpha", NodeId(NODE)) == 1
    assert [each.state for each in await store.desktops([DesktopId(d) for d in nodes])] == ["offline"] + ["online"] * 3
    assert (await store.known(UserId("ud1")))[0].reason == "node_lost"
    assert told(valkey) == [*((d, "online", "") for d in nodes), ("d1", "offline", "node_lost")]


async def test_clearing_thousands_lets_others_in_between(client: Redis) -> None:
    store = make_store(client)
    old = [make_record(f"d{n}", f"u{n}", node="alpha/old") for n in range(3000)]
    for start in range(0, 3000, 500):
        await store.apply([CameOnline(each, announce=False) for each in old[start : start + 500]])
    clearing = asyncio.create_task(store.clear_earlier_lives("alpha", NodeId(NODE)))
    calls = 0
    while not clearing.done():
        await store.apply([CameOnline(make_record("mine"), announce=True)])
        calls += 1
    assert await clearing == 3000
    assert calls > 3


async def test_a_desktop_that_came_back_meanwhile_keeps_its_record(client: Redis) -> None:
    store = make_store(client)
    await store.apply([CameOnline(make_record(epoch=1, node="alpha/old"), announce=True)])
    await store.apply([CameOnline(make_record(epoch=2), announce=True)])
    assert await store.clear_earlier_lives("alpha", NodeId(NODE)) == 0
    assert (await store.desktop(DesktopId("d1"))).state == "online"


async def test_a_call_that_is_cancelled_leaves_no_answer_for_the_next(client: Redis) -> None:
    store = make_store(client)
    await store.apply([CameOnline(make_record(), announce=True)])
    for turns in range(60):
        task = asyncio.create_task(store.desktops([DesktopId("d1")] * 300))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await store.desktop(DesktopId("d2"))).state == "offline"


async def test_nobody_there() -> None:
    client = connect("unix:///nowhere/valkey.sock", CALL_MS)
    store = make_store(client)
    with pytest.raises(StoreAway):
        await store.apply([CameOnline(make_record(), announce=True)])
    assert [each.state for each in await store.desktops([DesktopId("d1")] * 2)] == ["unknown"] * 2
    assert (await store.user(UserId("u1"))).state == "unknown"
    await client.aclose()
