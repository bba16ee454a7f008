"""Revocations of two nodes on one real Valkey."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from actors.clock import SystemClock
from hub.revocation.entries import STREAM
from hub.revocation.keeper import RevocationKeeper
from hub.revocation.known import KnownRevocations, Revocation
from hub.revocation.stream import PAGE, RevocationStream
from hub.store.calls import StoreAway
from tests.support.presence import eventually
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.valkey_fixtures",)

CLOCK = SystemClock()
TIMEOUT_S = 0.4
LEARNT_S = 1.0


def _stream(client: Redis, kept_s: float = 3600) -> RevocationStream:
    return RevocationStream(client, kept_s=kept_s, timeout_s=TIMEOUT_S, clock=CLOCK)


def _revocation(number: int) -> Revocation:
    now = CLOCK.wall_ms()
    return Revocation(f"r{number}", ("jti", f"t{number}"), now, now + 60_000)


@asynccontextmanager
async def node(client: Redis) -> AsyncIterator[tuple[RevocationKeeper, KnownRevocations]]:
    known = KnownRevocations(CLOCK)
    keeper = RevocationKeeper(_stream(client), known, longest_s=3600, leeway_s=0, clock=CLOCK, close=len)
    await keeper.start()
    try:
        yield keeper, known
    finally:
        await keeper.stop()


def _names(known: KnownRevocations) -> set[str]:
    return {each.target[-1] for each in known}


async def test_what_is_written_is_read_from_any_place_on(client: Redis) -> None:
    stream = _stream(client)
    assert await stream.read(None) == []
    await stream.append([_revocation(1), _revocation(2)])
    await stream.append([_revocation(3)])
    entries = await stream.read(None)
    assert len(entries) == 3
    assert await stream.read(entries[1][0]) == entries[1:]


async def test_a_page_is_bounded(client: Redis) -> None:
    stream = _stream(client)
    await stream.append([_revocation(number) for number in range(PAGE + 1)])
    assert len(await stream.read(None)) == PAGE


async def test_what_is_too_old_is_cut_off(client: Redis, valkey: ValkeyServer) -> None:
    for number in range(300):
        valkey.say("XADD", STREAM, f"{1000 + number}-0", "old", "old")
    await _stream(client).append([_revocation(1)])
    assert valkey.say("XLEN", STREAM) <= 100 + 1, "whole nodes of 100 entries go"


async def test_a_key_of_another_type_is_as_good_as_away(client: Redis, valkey: ValkeyServer) -> None:
    valkey.say("SET", STREAM, "x")
    with pytest.raises(StoreAway, match="no stream"):
        await _stream(client).read(None)
    async with node(client) as (keeper, _):
        assert not keeper.up_to_date
        assert not (await keeper.revoke(("jti", "t1"), None)).written
        valkey.say("DEL", STREAM)
        await eventually(lambda: keeper.up_to_date and valkey.say("XLEN", STREAM) == 1)


async def test_another_node_learns_of_it_within_a_second_and_a_later_one_at_its_start(client: Redis) -> None:
    async with node(client) as (keeper, _), node(client) as (_, other):
        done = await keeper.revoke(("jti", "t1"), None)
        assert done.written
        assert await eventually(lambda: _names(other) == {"t1"}) < LEARNT_S
        async with node(client) as (late, known):
            assert late.up_to_date
            assert _names(known) == {"t1"}


async def test_both_revoke_at_once(client: Redis, valkey: ValkeyServer) -> None:
    async with node(client) as (one, its), node(client) as (two, others):
        await asyncio.gather(
            *(keeper.revoke(("jti", f"t{n}"), None) for n in range(50) for keeper in (one, two)),
        )
        await eventually(lambda: len(_names(its)) == len(_names(others)) == 50 and one.unwritten == two.unwritten == 0)
        assert valkey.say("XLEN", STREAM) == 100


async def test_data_lost_is_written_again(client: Redis, valkey: ValkeyServer) -> None:
    async with node(client) as (keeper, _), node(client) as (other, _):
        for number in range(10):
            await keeper.revoke(("jti", f"t{number}"), None)
        await eventually(lambda: keeper.unwritten == other.unwritten == 0 and other.in_force == 10)
        valkey.say("FLUSHALL")
        await eventually(lambda: 10 <= valkey.say("XLEN", STREAM) <= 20)
        async with node(client) as (late, _):
            await eventually(lambda: late.in_force == 10)


@pytest.mark.hostile
async def test_a_server_that_hangs_holds_nobody_up(frail_client: Redis, frail_server: ValkeyServer) -> None:
    async with node(frail_client) as (keeper, known), node(frail_client) as (_, other):
        frail_server.signal(signal.SIGSTOP)
        begun = time.monotonic()
        done = await keeper.revoke(("jti", "t1"), None)
        assert time.monotonic() - begun < TIMEOUT_S + 0.5
        assert not done.written
        assert _names(known) == {"t1"}
        async with node(frail_client) as (late, _):
            assert not late.up_to_date
        frail_server.signal(signal.SIGCONT)
        await eventually(lambda: _names(other) == {"t1"})


@pytest.mark.hostile
async def test_a_server_that_dies_and_comes_back_has_it(frail_client: Redis, frail_server: ValkeyServer) -> None:
    async with node(frail_client) as (keeper, _), node(frail_client) as (_, other):
        await keeper.revoke(("jti", "before"), None)
        frail_server.kill()
        assert not (await keeper.revoke(("jti", "meanwhile"), None)).written
        await eventually(lambda: not keeper.up_to_date)
        frail_server.start()
        await eventually(lambda: _names(other) == {"before", "meanwhile"} and keeper.unwritten == 0)
    async with node(frail_client) as (_, late):
        assert _names(late) == {"before", "meanwhile"}
