"""One channel, on a connection of its own."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import cast

import pytest
from redis.asyncio import Redis

from hub.store import subscription as module
from hub.store.calls import Calls, StoreAway
from hub.store.client import connect
from hub.store.exchange import Pool
from hub.store.subscription import Subscription
from tests.support.presence import CALL_MS
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.valkey_fixtures",)

CHANNEL = "hub:node:n/1"


@pytest.fixture
async def subscription(client: Redis) -> AsyncIterator[Subscription]:
    subscription = Subscription(client, CHANNEL, 5)
    await subscription.open()
    yield subscription
    await subscription.close()


@pytest.fixture
async def frail_subscription(frail_client: Redis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Subscription]:
    """One that looks for life every 50 ms."""
    monkeypatch.setattr(module, "SILENCE_S", 0.05)
    subscription = Subscription(frail_client, CHANNEL, 0.3)
    await subscription.open()
    yield subscription
    await subscription.close()


async def publish(client: Redis, *payloads: bytes) -> None:
    calls = Calls(client, 5, ())
    async with calls.bounded():
        assert await calls.run([("SPUBLISH", CHANNEL, payload) for payload in payloads]) == [1] * len(payloads)


async def test_what_is_published_comes_in_order_and_whole(client: Redis, subscription: Subscription) -> None:
    payloads = [b"", b"\r\n$-1\r\n", bytes(range(256)), "é".encode(), os.urandom(1 << 20), b"last"]
    await publish(client, *payloads)
    heard: list[bytes] = []
    while len(heard) < len(payloads):
        heard += await subscription.read()
    assert heard == payloads


async def test_what_has_come_is_read_at_once(client: Redis, subscription: Subscription) -> None:
    payloads = [b"%d" % number for number in range(1000)]
    await publish(client, *payloads)
    heard: list[bytes] = []
    reads = 0
    while len(heard) < 1000:
        heard += await subscription.read()
        reads += 1
    assert heard == payloads
    assert reads < 100


async def test_a_read_that_is_given_up_loses_nothing(client: Redis, subscription: Subscription) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await subscription.read()
    await publish(client, b"1")
    assert await subscription.read() == [b"1"]


async def test_it_takes_no_connection_of_the_pool(client: Redis, subscription: Subscription) -> None:
    assert client.connection_pool._available_connections == []
    assert not client.connection_pool._in_use_connections


async def test_the_part_of_redis_py_that_is_reached_into(client: Redis) -> None:
    connection = cast("Pool", client.connection_pool).make_connection()
    await connection.connect()
    assert isinstance(connection._reader, asyncio.StreamReader)
    assert isinstance(connection._writer, asyncio.StreamWriter)
    await connection.disconnect(nowait=True)


async def test_silence_is_no_end_while_the_server_answers(
    frail_client: Redis, frail_server: ValkeyServer, frail_subscription: Subscription
) -> None:
    reading = asyncio.create_task(frail_subscription.read())
    while not frail_server.say("INFO", "commandstats").get("cmdstat_ping", {}).get("calls", 0) >= 3:
        await asyncio.sleep(0.01)
    await publish(frail_client, b"still here")
    assert await reading == [b"still here"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "hangs"])
async def test_a_server_that_goes_away_is_noticed(
    frail_server: ValkeyServer, frail_subscription: Subscription, how: signal.Signals
) -> None:
    frail_server.signal(how)
    async with asyncio.timeout(2):
        with pytest.raises(StoreAway, match=r"hung up|Connection"):
            await frail_subscription.read()
        with pytest.raises(StoreAway):
            await frail_subscription.open()
        with pytest.raises(StoreAway, match="isn't open"):
            await frail_subscription.read()


async def test_it_opens_again(
    frail_server: ValkeyServer, frail_client: Redis, frail_subscription: Subscription
) -> None:
    frail_server.kill()
    with pytest.raises(StoreAway):
        await frail_subscription.read()
    frail_server.start()
    await frail_subscription.open()
    await publish(frail_client, b"again")
    assert await frail_subscription.read() == [b"again"]


async def test_an_account_that_may_not_listen_is_told_so(valkey: ValkeyServer) -> None:
    valkey.say("ACL", "SETUSER", "deaf", "reset", "on", ">pw", "+@all", "resetchannels")
    client = connect(valkey.url.replace("unix://", "unix://deaf:pw@"), CALL_MS)
    with pytest.raises(StoreAway, match="NOPERM"):
        await Subscription(client, CHANNEL, 5).open()
    await client.aclose()
    valkey.say("ACL", "DELUSER", "deaf")


async def test_closing_ends_who_reads(client: Redis) -> None:
    subscription = Subscription(client, CHANNEL, 5)
    await subscription.open()
    reading = asyncio.create_task(subscription.read())
    await asyncio.sleep(0)
    await subscription.close()
    with pytest.raises(StoreAway):
        await reading
    await subscription.close()
