"""Who is connected where: shares in a real Valkey."""

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest

from actors.ids import NodeId, UserId
from actors.nodes import Share
from hub.cluster import asked, keys, scripts
from hub.cluster.words import decode_share, encode_share
from hub.store.calls import Calls
from hub.store.client import Client
from tests.support.cluster import U1, ValkeyBench, enter, share, valkey_bench
from tests.support.presence import CALL_MS, eventually
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.valkey_fixtures",)

HERE = "hub:{u1}:here"


@pytest.fixture
async def bench(valkey: ValkeyServer) -> AsyncIterator[ValkeyBench]:
    async with valkey_bench(valkey) as bench:
        yield bench


@pytest.fixture
async def frail_bench(frail_server: ValkeyServer) -> AsyncIterator[ValkeyBench]:
    async with valkey_bench(frail_server) as bench:
        yield bench


async def run(client: Client, *command: str | int | bytes) -> object:
    calls = Calls(client, CALL_MS / 1000, scripts.ALL)
    async with calls.bounded():
        (reply,) = await calls.run([command])
    return reply


async def write(client: Client, node_id: str, held: Share, turn: int = 0) -> None:
    await run(client, *scripts.ENTER.on(HERE), node_id, encode_share(held, turn), held.version, 60_000)


async def test_what_stands_in_redis(bench: ValkeyBench, valkey: ValkeyServer) -> None:
    a = await bench.join("a/1", share_ttl_s=600)
    await enter(bench, a, share(4))
    assert decode_share(valkey.say("HGET", HERE, "a/1")) == share(4)
    assert 590_000 < valkey.say("PTTL", HERE) <= 600_000


async def test_a_write_that_was_held_up_does_not_undo_a_later_one(client: Client, valkey: ValkeyServer) -> None:
    await write(client, "a/1", share(4))
    await write(client, "a/1", share(3))
    assert decode_share(valkey.say("HGET", HERE, "a/1")) == share(4)
    await write(client, "a/1", Share(5))
    await write(client, "a/1", share(4))
    assert decode_share(valkey.say("HGET", HERE, "a/1")) == Share(5)
    await write(client, "a/1", share(5), turn=1)
    assert decode_share(valkey.say("HGET", HERE, "a/1")) == share(5)


async def test_what_another_program_wrote_in_a_nodes_place_is_overwritten(client: Client, valkey: ValkeyServer) -> None:
    valkey.say("HSET", HERE, "a/1", "something else")
    await write(client, "a/1", share(1))
    assert decode_share(valkey.say("HGET", HERE, "a/1")) == share(1)


async def test_the_share_of_a_dead_node_is_left_out_and_taken_away(bench: ValkeyBench, valkey: ValkeyServer) -> None:
    a, b = await bench.join("a/1"), await bench.join("b/1")
    await enter(bench, a, share(1))
    valkey.say("HSET", HERE, "dead/1", encode_share(share(9), 0))  # type: ignore[arg-type]
    assert await enter(bench, b, None) == {"a/1": share(1)}
    await eventually(lambda: valkey.say("HKEYS", HERE) == [b"a/1"])
    await eventually(lambda: bench.nodes[b.node_id].roster.struck == 1)


async def test_a_share_that_was_written_anew_is_not_taken_away(client: Client, valkey: ValkeyServer) -> None:
    await write(client, "a/1", share(3), turn=1)
    assert await run(client, *scripts.STRIKE.on(HERE), "a/1", encode_share(share(3), 0)) == 0
    assert await run(client, *scripts.STRIKE.on(HERE), "a/1", encode_share(share(3), 1)) == 1
    assert valkey.say("EXISTS", HERE) == 0


async def test_a_node_that_came_since_the_last_look_is_seen_at_once(bench: ValkeyBench) -> None:
    a = await bench.join("a/1", lease_s=1000)
    b = await bench.join("b/1", lease_s=1000)
    await enter(bench, b, share(1))
    assert not bench.nodes[a.node_id].nodes_known
    assert await enter(bench, a, share(1)) == {"b/1": share(1)}
    assert bench.nodes[a.node_id].nodes_known == 1


async def test_a_share_that_cannot_be_read_is_left_out_and_stays(bench: ValkeyBench, valkey: ValkeyServer) -> None:
    a, b = await bench.join("a/1"), await bench.join("b/1")
    await enter(bench, a, share(1))
    await enter(bench, b, share(1))
    valkey.say("HSET", HERE, "a/1", "1 of a newer format")
    assert await enter(bench, b, None) == {}
    assert valkey.say("HGET", HERE, "a/1") == b"1 of a newer format"
    assert bench.nodes[b.node_id].roster.malformed == 1


async def test_a_key_of_another_type_spoils_nobody_elses_answer(bench: ValkeyBench, valkey: ValkeyServer) -> None:
    a = await bench.join("a/1")
    valkey.say("SET", HERE, "somebody else's")
    a.ask("u1", share(1))
    a.ask("u1 read", None)
    a.ask("u2", share(1), UserId("u2"))
    await bench.until(lambda: len(a.answers) == 3)
    assert a.answers == [("u1", None), ("u1 read", None), ("u2", {})]
    assert "anew" not in a.news


async def test_what_is_asked_for_one_user_while_he_waits_is_one(bench: ValkeyBench) -> None:
    a = await bench.join("a/1")
    for version in range(1, 11):
        a.ask("", share(version))
        a.ask("", None)
    await bench.until(lambda: len(a.answers) == 20)
    assert bench.nodes[a.node_id].roster.entered == 1


async def test_shares_are_renewed_and_the_answers_told(bench: ValkeyBench, valkey: ValkeyServer) -> None:
    a, b = await bench.join("a/1", share_ttl_s=0.4), await bench.join("b/1")
    await enter(bench, b, share(1))
    await enter(bench, a, share(2))
    await bench.until(lambda: bench.nodes[a.node_id].roster.entered >= 6)
    assert decode_share(valkey.say("HGET", HERE, "a/1")) == share(2)
    assert a.renewed[-1] == (U1, {"b/1": share(1)})


async def test_a_share_that_changed_since_the_round_began_is_not_renewed(bench: ValkeyBench) -> None:
    a = await bench.join("a/1", share_ttl_s=0.4)
    roster = bench.nodes[a.node_id].roster
    a.shares[U1] = share(1)
    roster._begin_round()
    await enter(bench, a, share(2))
    assert roster._renewals.take(1.0) == []


async def test_more_than_may_wait_is_answered_none_in_order_and_entered_anew(
    bench: ValkeyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked, "MOST", 3)
    a = await bench.join("a/1")
    for number in range(5):
        a.ask(str(number), share(1), UserId(f"u{number % 2}"))
    await bench.until(lambda: len(a.answers) == 5 and "anew" in a.news)
    assert a.answers == [("0", None), ("2", None), ("1", None), ("3", {}), ("4", {})]
    assert a.news == ["anew"]
    assert bench.nodes[a.node_id].roster.outages == 1


async def test_a_hung_redis_is_an_outage_within_the_timeout(
    frail_bench: ValkeyBench, frail_server: ValkeyServer
) -> None:
    a = await frail_bench.join("a/1", timeout_s=0.1)
    await enter(frail_bench, a, share(1))
    frail_server.signal(signal.SIGSTOP)
    a.ask("hung", share(2))
    a.ask("waits", share(1), UserId("u2"))
    assert await eventually(lambda: len(a.answers) == 3) < 0.5
    a.ask("away", None)
    await asyncio.sleep(0)
    assert [answer for _, answer in a.answers[1:]] == [None] * 3
    frail_server.signal(signal.SIGCONT)
    await frail_bench.until(lambda: "anew" in a.news)
    assert await enter(frail_bench, a, share(3)) == {}
    assert frail_bench.nodes[a.node_id].roster.outages == 1


async def test_redis_is_asked_again_only_when_it_is_worth_it(
    frail_bench: ValkeyBench, frail_server: ValkeyServer
) -> None:
    worth = False
    a = await frail_bench.join("a/1", available=lambda: worth)
    frail_server.kill()
    assert await enter(frail_bench, a, share(1)) is None
    frail_server.start()
    await asyncio.sleep(0.4)
    assert await enter(frail_bench, a, share(1)) is None
    worth = True
    await frail_bench.until(lambda: "anew" in a.news)
    assert await enter(frail_bench, a, share(1)) == {}


async def test_one_that_starts_without_redis_enters_everything_when_it_is_there(
    frail_bench: ValkeyBench, frail_server: ValkeyServer
) -> None:
    frail_server.kill()
    a = await frail_bench.join("a/1")
    assert await enter(frail_bench, a, share(1)) is None
    frail_server.start()
    await frail_bench.until(lambda: "anew" in a.news and ("missed", None) in a.news)
    assert await enter(frail_bench, a, share(1)) == {}


async def test_stopping_does_what_waits_and_answers_none_from_then_on(bench: ValkeyBench, valkey: ValkeyServer) -> None:
    a, b = await bench.join("a/1"), await bench.join("b/1")
    await enter(bench, a, share(1))
    a.ask("last", Share(2))
    a.say(b, 1)
    await bench.leave(a)
    assert ("last", {}) in a.answers
    a.ask("late", share(3))
    a.say(b, 2)
    await asyncio.sleep(0)
    assert ("late", None) in a.answers
    assert decode_share(valkey.say("HGET", HERE, "a/1")) == Share(2)
    assert valkey.say("ZRANGE", keys.LEASES, 0, -1) == [b"b/1"]
    await bench.until(lambda: b.heard(a) == [1])


async def test_stopping_while_redis_is_away_takes_no_longer_than_the_deadline(
    frail_bench: ValkeyBench, frail_server: ValkeyServer
) -> None:
    a = await frail_bench.join("a/1", timeout_s=0.1)
    frail_server.signal(signal.SIGSTOP)
    a.ask("hung", share(1))
    async with asyncio.timeout(1):
        await frail_bench.nodes.pop(NodeId("a/1")).stop(0.3)
    assert a.answers == [("hung", None)]
    frail_server.signal(signal.SIGCONT)
