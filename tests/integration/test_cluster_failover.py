"""Masters die, hang and change: every call ends in time, and calls work again as soon as the cluster does."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from hub.store.calls import Calls, StoreAway
from hub.store.client import Client, connect
from hub.store.routing import slot_of_key
from hub.store.subscription import Subscription
from tests.support.presence import NODE, eventually, make_record, small_hub
from tests.support.tcp_proxy import TcpProxy
from tests.support.valkey import ValkeyServer, free_ports
from tests.support.valkey_cluster import ValkeyCluster, role

pytest_plugins = ("tests.support.valkey_fixtures",)

DEADLINE_S = 0.4
LATE_S = 0.5
"""So much later than its deadline may a call end on a machine that is busy."""
BACK_S = 8.0

KEYS = [f"k{number}" for number in range(12)]
"""On all three masters."""
CHANNEL = KEYS[0]


@pytest.fixture
def whole(frail_cluster: ValkeyCluster) -> Iterator[ValkeyCluster]:
    """The module's cluster, in order again after the test."""
    yield frail_cluster
    frail_cluster.mend()


@pytest.fixture
async def whole_client(whole: ValkeyCluster) -> AsyncIterator[Client]:
    client = connect(whole.url, int(DEADLINE_S * 1000))
    yield client
    await client.aclose()


class Traffic:
    """Counts up in each key without a pause, and notes what happened."""

    def __init__(self, client: Client) -> None:
        self.calls = Calls(client, DEADLINE_S, ())
        self.done = 0
        self.failed = 0
        self.longest_s = 0.0
        self.attempts = 0

    async def once(self) -> bool:
        began = time.monotonic()
        self.attempts += 1
        try:
            async with self.calls.bounded():
                replies = await self.calls.run([("INCR", key) for key in KEYS])
        except StoreAway:
            self.failed += 1
            return False
        else:
            assert all(isinstance(reply, int) and reply <= self.attempts for reply in replies), "done twice"
            self.done += 1
            return True
        finally:
            self.longest_s = max(self.longest_s, time.monotonic() - began)

    async def until_back(self) -> None:
        """Go on until calls have failed, and work again."""
        deadline = time.monotonic() + BACK_S
        while not (await self.once() and self.failed):
            assert time.monotonic() < deadline, "calls don't work again"
            await asyncio.sleep(0.01)
        assert self.longest_s < DEADLINE_S + LATE_S


@pytest.fixture
async def traffic(whole: ValkeyCluster, whole_client: Client) -> Traffic:
    whole.say("FLUSHALL")
    traffic = Traffic(whole_client)
    assert await traffic.once()
    return traffic


@pytest.fixture
async def subscription(whole_client: Client) -> AsyncIterator[Subscription]:
    subscription = Subscription(whole_client, CHANNEL, DEADLINE_S)
    await subscription.open()
    yield subscription
    await subscription.close()


async def open_again(subscription: Subscription) -> None:
    async with asyncio.timeout(BACK_S):
        while True:
            try:
                await subscription.open()
            except StoreAway:
                await asyncio.sleep(0.05)
            else:
                return


async def publish(client: Client, payload: bytes) -> None:
    calls = Calls(client, DEADLINE_S, ())
    async with calls.bounded():
        assert await calls.run([("SPUBLISH", CHANNEL, payload)]) == [1]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hangs"])
async def test_a_master_dies_and_its_replica_takes_over(
    whole: ValkeyCluster, whole_client: Client, traffic: Traffic, subscription: Subscription, how: signal.Signals
) -> None:
    master = whole.master_of(slot_of_key(CHANNEL))
    replica = whole.replica_of(master)
    if how is signal.SIGKILL:
        master.kill()
    else:
        master.signal(how)
    coming_back = asyncio.create_task(traffic.until_back())
    async with asyncio.timeout(2.5):
        with pytest.raises(StoreAway):
            await subscription.read()
    await coming_back
    await asyncio.to_thread(whole.promoted, replica)
    await open_again(subscription)
    await publish(whole_client, b"heard")
    assert await subscription.read() == [b"heard"]


async def test_an_orderly_failover_loses_and_repeats_nothing(
    whole: ValkeyCluster, whole_client: Client, traffic: Traffic, subscription: Subscription
) -> None:
    replica = whole.replica_of(whole.master_of(slot_of_key(CHANNEL)))
    failing_over = asyncio.create_task(asyncio.to_thread(whole.fail_over, replica))
    while not failing_over.done():
        await traffic.once()
    await failing_over
    deadline = time.monotonic() + BACK_S
    while not await traffic.once():
        assert time.monotonic() < deadline
    assert traffic.longest_s < DEADLINE_S + LATE_S
    async with traffic.calls.bounded():
        counts = await traffic.calls.run([("GET", key) for key in KEYS])
    assert all(traffic.done <= int(count) <= traffic.attempts for count in counts)
    await open_again(subscription)
    await publish(whole_client, b"heard")
    assert await subscription.read() == [b"heard"]


async def test_presence_notices_that_another_master_died_and_is_mirrored_anew(
    whole: ValkeyCluster, whole_client: Client
) -> None:
    whole.say("FLUSHALL")
    async with small_hub(whole_client) as hub:
        hub.connect(make_record())
        await hub.settled()
        rounds = hub.mirror.mirrored_anew
        mark, record = (slot_of_key(key) for key in (f"hub:mark:{NODE}", "hub:{u1}:desktop:d1"))
        used = {whole.master_of(slot).port for slot in (mark, record)}
        idle = next(node for node in whole.nodes if role(node) == "master" and node.port not in used)
        replica = whole.replica_of(idle)
        idle.kill()
        await eventually(lambda: not hub.mirror.available, within_s=BACK_S)
        await eventually(lambda: hub.mirror.available and hub.mirror.mirrored_anew > rounds, within_s=BACK_S)
        assert role(replica) == "master"


# -- one primary with a replica, behind one address ------------------------------------------------------------------


@pytest.fixture
def primary() -> Iterator[ValkeyServer]:
    server = ValkeyServer("--repl-diskless-sync-delay", "0", port=free_ports(1)[0])
    server.start()
    yield server
    server.close()


@pytest.fixture
def replica(primary: ValkeyServer) -> Iterator[ValkeyServer]:
    server = ValkeyServer(port=free_ports(1)[0])
    server.start()
    server.follow(primary.port)
    yield server
    server.close()


async def test_a_replica_takes_over_behind_the_same_address(primary: ValkeyServer, replica: ValkeyServer) -> None:
    async with TcpProxy(primary.port) as proxy:
        client = connect(f"redis://127.0.0.1:{proxy.port}", int(DEADLINE_S * 1000))
        traffic = Traffic(client)
        subscription = Subscription(client, CHANNEL, DEADLINE_S)
        await subscription.open()
        for _ in range(20):
            assert await traffic.once()
        primary.kill()
        with pytest.raises(StoreAway):
            await subscription.read()
        assert not await traffic.once()
        replica.say("REPLICAOF", "NO", "ONE")
        proxy.target = replica.port
        await traffic.until_back()
        await open_again(subscription)
        await publish(client, b"heard")
        assert await subscription.read() == [b"heard"]
        await subscription.close()
        await client.aclose()


async def test_a_primary_that_was_made_a_replica_is_left_when_the_address_moves(
    primary: ValkeyServer, replica: ValkeyServer
) -> None:
    async with TcpProxy(primary.port) as proxy:
        client = connect(f"redis://127.0.0.1:{proxy.port}", int(DEADLINE_S * 1000))
        traffic = Traffic(client)
        assert await traffic.once()
        replica.say("REPLICAOF", "NO", "ONE")
        primary.say("REPLICAOF", "127.0.0.1", replica.port)
        with pytest.raises(StoreAway, match="ReadOnlyError"):
            async with traffic.calls.bounded():
                await traffic.calls.run([("INCR", KEYS[0])])
        proxy.target = replica.port
        await proxy.cut()
        traffic.failed = 1
        await traffic.until_back()
        await client.aclose()
