"""Who lives: leases on a real Valkey. Looks are taken by hand, and this side's clock is moved by hand."""

import asyncio
import logging
import time

import pytest

from actors.ids import NodeId
from hub.cluster import keys, leases, scripts
from hub.cluster.leases import Leases
from hub.store.calls import Calls, StoreAway
from hub.store.client import Client
from tests.support.actors import HandClock
from tests.support.presence import CALL_MS, eventually
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.valkey_fixtures",)

LEASE_S = 10.0
LEASE_MS = 10_000


class Beater:
    """A node's leases, beating when told to."""

    def __init__(self, client: Client, node_id: str, clock: HandClock) -> None:
        self.node_id = NodeId(node_id)
        self.told: list[object] = []
        self.cleaned: list[NodeId] = []
        self.may_clean = asyncio.Event()
        self.may_clean.set()
        self.fails: Exception | None = None
        self.leases = Leases(
            Calls(client, CALL_MS / 1000, scripts.ALL, 2),
            node_id=self.node_id,
            lease_s=LEASE_S,
            about=lambda: {"state": "ready", "connections": {"mobile": 3}},
            gone=lambda node_id: self.told.append(f"gone {node_id}"),
            anew=lambda: self.told.append("anew"),
            clean=self._clean,
            monotonic=clock.monotonic,
        )

    async def _clean(self, node_id: NodeId) -> None:
        self.cleaned.append(node_id)
        await self.may_clean.wait()
        if self.fails:
            raise self.fails

    async def look(self) -> set[str]:
        await self.leases.look()
        return set(self.leases.live)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def a(client: Client, clock: HandClock) -> Beater:
    return Beater(client, "a/1", clock)


@pytest.fixture
def b(client: Client, clock: HandClock) -> Beater:
    return Beater(client, "b/1", clock)


def run_out(valkey: ValkeyServer, node_id: str) -> None:
    """The node's lease ran out just now."""
    valkey.say("ZADD", keys.LEASES, now_ms() - 1, node_id)


def now_ms() -> int:
    return int(time.time() * 1000)


def lease_of(valkey: ValkeyServer, node_id: str) -> float:
    """How long it is still good, in seconds."""
    return (float(valkey.say("ZSCORE", keys.LEASES, node_id)) - now_ms()) / 1000


async def test_nodes_see_each_other_and_what_they_tell(a: Beater, b: Beater, valkey: ValkeyServer) -> None:
    assert await a.look() == set()
    assert await b.look() == {"a/1"}
    assert await a.look() == {"b/1"}
    about = {"state": "ready", "connections": {"mobile": 3}}
    assert a.leases.nodes() == [{"node_id": "a/1", **about}, {"node_id": "b/1", **about}]
    assert lease_of(valkey, "a/1") == pytest.approx(LEASE_S, abs=0.5)
    assert a.told == b.told == []


async def test_what_a_node_tells_that_is_no_object_is_nothing(a: Beater, b: Beater, valkey: ValkeyServer) -> None:
    await b.look()
    valkey.say("HSET", keys.ABOUT, "b/1", "[not JSON")
    valkey.say("ZADD", keys.LEASES, now_ms() + 5000, "c/1")
    await a.look()
    assert a.leases.nodes()[1:] == [{"node_id": "b/1"}, {"node_id": "c/1"}]


async def test_gone_is_told_once_and_only_when_this_nodes_own_lease_was_long_there(
    a: Beater, b: Beater, valkey: ValkeyServer, clock: HandClock
) -> None:
    await b.look()
    await a.look()
    run_out(valkey, "b/1")
    clock.passed_s = LEASE_S - 0.1
    assert await a.look() == set()
    assert a.told == []
    clock.passed_s = LEASE_S
    await a.look()
    clock.passed_s += 1
    await a.look()
    assert a.told == ["gone b/1"]


async def test_a_node_of_which_only_a_word_was_heard_is_gone_too(
    a: Beater, b: Beater, valkey: ValkeyServer, clock: HandClock
) -> None:
    await a.look()
    clock.passed_s = LEASE_S
    a.leases.know(NodeId("x/1"))
    a.leases.know(b.node_id)
    await b.look()
    await a.look()
    assert a.told == []  # the look didn't begin later than it was heard
    clock.passed_s += 0.1
    await a.look()
    assert a.told == ["gone x/1"]


async def test_a_node_that_comes_back_and_goes_again_is_told_again(
    a: Beater, b: Beater, valkey: ValkeyServer, clock: HandClock
) -> None:
    await a.look()
    for _ in range(2):
        await b.look()
        clock.passed_s += LEASE_S
        await a.look()
        run_out(valkey, "b/1")
        clock.passed_s += 1
        await a.look()
    assert a.told == ["gone b/1", "gone b/1"]
    assert b.told == ["anew"]
    assert b.leases.turn == 1


async def test_after_an_outage_of_redis_nobody_is_judged_for_one_lease(
    frail_server: ValkeyServer, frail_client: Client, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = Beater(frail_client, "a/1", clock), Beater(frail_client, "b/1", clock)
    await b.look()
    await a.look()
    clock.passed_s = LEASE_S
    frail_server.kill()
    for _ in range(2):
        with pytest.raises(StoreAway):
            await a.look()
    assert a.leases.outages == 1
    assert [record.levelno for record in caplog.records].count(logging.WARNING) == 1
    frail_server.start()
    frail_server.say("FLUSHALL")
    await a.look()
    assert a.told == ["anew"]
    assert a.leases.turn == 1
    clock.passed_s += LEASE_S - 1
    await a.look()
    assert a.told == ["anew"]
    clock.passed_s += 1
    await a.look()
    assert a.told == ["anew", "gone b/1"]


async def test_a_first_look_that_finds_no_lease_is_no_reason_to_enter_anew(a: Beater) -> None:
    await a.look()
    await a.look()
    assert (a.told, a.leases.turn) == ([], 0)


async def test_when_nobody_has_beaten_for_long_all_leases_move_on(a: Beater, b: Beater, valkey: ValkeyServer) -> None:
    await b.look()
    away_ms = 60_000
    valkey.say("ZINCRBY", keys.LEASES, -away_ms, "b/1")
    valkey.say("SET", keys.BEAT, now_ms() - away_ms)
    assert await a.look() == {"b/1"}
    assert lease_of(valkey, "b/1") == pytest.approx(LEASE_S - LEASE_S / leases.BEATS_PER_LEASE, abs=0.5)


async def test_a_beat_that_is_a_bit_late_moves_nothing(a: Beater, b: Beater, valkey: ValkeyServer) -> None:
    await b.look()
    valkey.say("SET", keys.BEAT, now_ms() - 2000)
    await a.look()
    assert lease_of(valkey, "b/1") == pytest.approx(LEASE_S, abs=0.5)


async def test_when_redis_clock_was_set_back_leases_follow(a: Beater, b: Beater, valkey: ValkeyServer) -> None:
    await b.look()
    ahead_ms = 3_600_000
    valkey.say("ZINCRBY", keys.LEASES, ahead_ms, "b/1")
    valkey.say("SET", keys.BEAT, now_ms() + ahead_ms)
    assert await a.look() == {"b/1"}
    assert lease_of(valkey, "b/1") < LEASE_S


async def test_one_of_the_others_cleans_up_after_a_lost_node(a: Beater, b: Beater, valkey: ValkeyServer) -> None:
    valkey.say("ZADD", keys.LEASES, 1, "dead/1")
    valkey.say("HSET", keys.ABOUT, "dead/1", "{}")
    valkey.say("SET", keys.BEAT, now_ms())
    a.may_clean.clear()
    await a.look()
    await b.look()
    await eventually(lambda: a.cleaned == ["dead/1"])
    assert valkey.say("ZRANGE", keys.LOST, 0, -1) == [b"dead/1"]
    claimed_at = valkey.say("ZSCORE", keys.LOST, "dead/1")
    await asyncio.sleep(0.005)
    await a.look()
    assert float(valkey.say("ZSCORE", keys.LOST, "dead/1")) > float(claimed_at)
    a.may_clean.set()
    await eventually(lambda: a.leases.cleaned == 1)
    await b.look()
    assert b.cleaned == []
    assert valkey.say("EXISTS", keys.LOST) == 0
    assert valkey.say("HEXISTS", keys.ABOUT, "dead/1") == 0


async def test_lost_nodes_are_cleaned_up_one_after_the_other(a: Beater, valkey: ValkeyServer) -> None:
    valkey.say("ZADD", keys.LOST, 0, "dead/1", 0, "dead/2")
    for count in (1, 2):
        await a.look()
        await eventually(lambda count=count: a.leases.cleaned == count)  # type: ignore[misc]
    assert a.cleaned == ["dead/1", "dead/2"]


@pytest.mark.parametrize("failure", [StoreAway("gone"), RuntimeError("injected: a bug")])
async def test_what_one_did_not_finish_another_does_later(
    a: Beater, b: Beater, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    valkey.say("ZADD", keys.LOST, 0, "dead/1")
    a.fails = failure
    await a.look()
    await eventually(lambda: a.cleaned == ["dead/1"] and a.leases._cleaning is None)
    await b.look()
    assert b.cleaned == []
    monkeypatch.setattr(leases, "CLAIM_S", 0.0)
    await b.look()
    await eventually(lambda: b.leases.cleaned == 1)
    assert a.leases.cleaned == 0


async def test_a_lost_node_that_beats_is_not_lost(a: Beater, b: Beater, valkey: ValkeyServer) -> None:
    valkey.say("ZADD", keys.LOST, 0, "b/1")
    await b.look()
    await a.look()
    assert valkey.say("EXISTS", keys.LOST) == 0
    assert a.cleaned == []


async def test_beating_by_itself_and_leaving(
    valkey: ValkeyServer, client: Client, a: Beater, b: Beater, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEATS_PER_LEASE", 1000)
    quick = Beater(client, "quick/1", HandClock())
    await quick.leases.start()
    assert await a.look() == {"quick/1"}
    valkey.say("ZREM", keys.LEASES, "quick/1")
    await eventually(lambda: quick.told == ["anew"])
    await quick.leases.stop()
    assert await b.look() == {"a/1"}
    assert valkey.say("HKEYS", keys.ABOUT) == [b"a/1", b"b/1"]


async def test_a_key_of_another_type_is_an_outage(a: Beater, valkey: ValkeyServer) -> None:
    valkey.say("SET", keys.LEASES, "somebody else's")
    with pytest.raises(StoreAway, match="of another type"):
        await a.look()
    assert a.leases.outages == 1


async def test_a_node_that_leaves_desktops_behind_counts_for_as_long_as_they_have_to_come_back(
    a: Beater, b: Beater, valkey: ValkeyServer
) -> None:
    valkey.say("ZADD", keys.LOST, 0, "dead/1")
    b.may_clean.clear()
    await b.look()
    await a.look()
    await a.leases.stop(stays_s=3.0)
    assert await b.look() == {"a/1"}
    assert 2.0 < lease_of(valkey, "a/1") <= 3.0
    assert a.cleaned == []
