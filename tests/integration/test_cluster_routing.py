"""Calls to a cluster that is well: every command reaches the master of its key, whatever moves meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hub.doctor.redis_permissions import NEEDED, NEEDED_IN_CLUSTER
from hub.store.calls import Calls, Command, StoreAway
from hub.store.client import Client, connect
from hub.store.routing import slot_of, slot_of_key
from hub.store.scan import scan
from hub.store.script import Script
from hub.store.subscription import Subscription
from tests.support.valkey import ValkeyServer, free_ports
from tests.support.valkey_cluster import ValkeyCluster

pytest_plugins = ("tests.support.valkey_fixtures",)

KEYS = [f"hub:{{u{number}}}:k" for number in range(30)]
"""On all three masters."""

CHANNELS = {"SPUBLISH", "SSUBSCRIBE"}
"""What names channels: the server tells the places of keys only."""

APPEND = Script("return redis.call('RPUSH', KEYS[1], ARGV[1])")
APPEND_TO_BOTH = Script("redis.call('RPUSH', KEYS[1], ARGV[1]) return redis.call('RPUSH', KEYS[2], ARGV[1])")
SCRIPTS = (APPEND, APPEND_TO_BOTH)


@pytest.fixture
def calls(cluster_client: Client) -> Calls:
    return Calls(cluster_client, 5, SCRIPTS)


async def run(calls: Calls, *commands: Command) -> list[Any]:
    async with calls.bounded():
        return await calls.run(commands)


def another(cluster: ValkeyCluster, slot: int) -> ValkeyServer:
    """A master that doesn't have the slot."""
    return next(master for master in cluster.masters if master is not cluster.master_of(slot))


@contextmanager
def on_its_way(cluster: ValkeyCluster, key: str) -> Iterator[ValkeyServer]:
    """The slot of `key` is leaving its master for the one given; in the end it is back."""
    slot = slot_of_key(key)
    home, target = cluster.master_of(slot), another(cluster, slot)
    cluster.begin_move(slot, target)
    yield target
    if cluster.master_of(slot) is home:
        cluster.move_keys(slot, target)
        cluster.end_move(slot, target)
    cluster.move(slot, home)


@contextmanager
def moved(cluster: ValkeyCluster, key: str) -> Iterator[ValkeyServer]:
    """The slot of `key` has moved."""
    with on_its_way(cluster, key) as target:
        cluster.move_keys(slot_of_key(key), target)
        cluster.end_move(slot_of_key(key), target)
        yield target


async def test_answers_come_in_the_order_asked(calls: Calls, cluster: ValkeyCluster) -> None:
    assert len({id(cluster.master_of(slot_of_key(key))) for key in KEYS}) == 3
    assert await run(calls, *(("SET", key, key) for key in KEYS)) == [b"OK"] * len(KEYS)
    assert await run(calls, *(("GET", key) for key in KEYS)) == [key.encode() for key in KEYS]


@pytest.mark.parametrize(
    "command", [each for each in (*NEEDED, *NEEDED_IN_CLUSTER) if each[0] not in CHANNELS], ids=lambda each: each[0]
)
async def test_it_knows_where_the_key_of_each_command_stands(calls: Calls, command: tuple[str, ...]) -> None:
    ask: Command = ("COMMAND", "GETKEYS", *command)
    if slot_of(command) is None:
        with pytest.raises(StoreAway, match="no key arguments"):
            await run(calls, ask)
    else:
        [[key]] = await run(calls, ask)
        assert [slot_of(command)] == await run(calls, ("CLUSTER", "KEYSLOT", key))


def test_a_channel_has_a_slot_as_a_key_has(cluster: ValkeyCluster) -> None:
    channel = "hub:node:{x}y"
    assert slot_of(("SPUBLISH", channel, "m")) == cluster.nodes[0].say("CLUSTER", "KEYSLOT", channel)


async def test_a_script_is_loaded_where_it_is_missing(calls: Calls, cluster: ValkeyCluster) -> None:
    cluster.everywhere("SCRIPT", "FLUSH")
    appends: list[Command] = [(*APPEND.on(key), "a") for key in KEYS]
    assert await run(calls, *appends, *appends) == [1] * len(KEYS) + [2] * len(KEYS)
    cluster.masters[1].say("SCRIPT", "FLUSH")
    assert await run(calls, *appends) == [3] * len(KEYS)


async def test_a_script_that_is_known_does_not_overtake_one_that_is_missing(
    calls: Calls, cluster: ValkeyCluster
) -> None:
    cluster.everywhere("SCRIPT", "FLUSH")
    key, other = KEYS[0], "hub:{u0}:other"
    await run(calls, (*APPEND_TO_BOTH.on(key, other), "a"))
    await run(calls, (*APPEND.on(key), "b"), (*APPEND_TO_BOTH.on(key, other), "c"))
    assert cluster.say("LRANGE", key, 0, -1) == [b"a", b"b", b"c"]


async def test_a_script_that_nobody_gave_is_an_outage(calls: Calls) -> None:
    with pytest.raises(StoreAway, match="NoScriptError"):
        await run(calls, (*Script("return 7").on("k"),))


async def test_what_has_no_key_goes_to_every_master(calls: Calls, cluster: ValkeyCluster) -> None:
    cluster.everywhere("SCRIPT", "FLUSH")
    assert await run(calls, ("PING",), ("SCRIPT", "LOAD", APPEND.text), ("GET", "k")) == [
        b"PONG",
        APPEND.sha.encode(),
        None,
    ]
    assert cluster.everywhere("SCRIPT", "EXISTS", APPEND.sha) == [[True]] * 3


async def test_every_master_is_asked(calls: Calls) -> None:
    async with calls.bounded():
        answers = await calls.on_every_master(("INFO", "server"))
    assert len(set(answers)) == 3


async def test_all_keys_are_gone_through(calls: Calls) -> None:
    await run(calls, *(("HSET", key, "f", "v") for key in KEYS), ("SET", "hub:{u}:k", "no hash"))
    found = [name async for page in scan(calls, "hub:{*", "hash") for name in page]
    assert sorted(found) == sorted(KEYS)


async def test_a_wrong_type_stands_among_the_answers(calls: Calls) -> None:
    await run(calls, ("SET", KEYS[0], "v"))
    wrong, right = await run(calls, ("HGETALL", KEYS[0]), ("GET", KEYS[0]))
    assert "WRONGTYPE" in str(wrong)
    assert right == b"v"


async def test_keys_of_several_slots_in_one_command_are_an_outage(calls: Calls) -> None:
    with pytest.raises(StoreAway, match="same slot"):
        await run(calls, (*APPEND_TO_BOTH.on(KEYS[0], KEYS[1]), "a"))


async def test_the_deadline_holds_for_all_masters_together(cluster_client: Client) -> None:
    calls = Calls(cluster_client, 0.3, ())
    with pytest.raises(StoreAway, match=r"within 0\.3 s"):
        await run(calls, *(("BLPOP", key, 5) for key in KEYS))
    assert await run(calls, ("GET", KEYS[0])) == [None]


async def test_a_moved_slot_is_followed(calls: Calls, cluster: ValkeyCluster) -> None:
    await run(calls, *(("SET", key, key) for key in KEYS))
    with moved(cluster, KEYS[0]):
        assert await run(calls, *(("GET", key) for key in KEYS)) == [key.encode() for key in KEYS]
        cluster.everywhere("SCRIPT", "FLUSH")
        assert await run(calls, (*APPEND.on("{u0}:new"), "a"), (*APPEND.on("{u0}:new"), "b")) == [1, 2]
    assert await run(calls, ("GET", KEYS[0]), ("LRANGE", "{u0}:new", 0, -1)) == [KEYS[0].encode(), [b"a", b"b"]]


async def test_a_key_that_has_left_already_is_asked_for_at_the_other_master(
    calls: Calls, cluster: ValkeyCluster
) -> None:
    await run(calls, ("SET", KEYS[0], "v"))
    with on_its_way(cluster, KEYS[0]) as target:
        cluster.move_keys(slot_of_key(KEYS[0]), target)
        target.say("SCRIPT", "FLUSH")
        appends: list[Command] = [(*APPEND.on("{u0}:list"), each) for each in ("a", "b", "c")]
        assert await run(calls, ("GET", KEYS[0]), *appends) == [b"v", 1, 2, 3]
    assert await run(calls, ("LRANGE", "{u0}:list", 0, -1)) == [[b"a", b"b", b"c"]]


async def test_what_needs_all_keys_waits_until_all_have_left_and_keeps_its_order(
    calls: Calls, cluster: ValkeyCluster
) -> None:
    both = "{u0}:1", "{u0}:2"
    assert await run(calls, (*APPEND_TO_BOTH.on(*both), "a")) == [1]
    with on_its_way(cluster, both[0]) as target:
        cluster.move_keys(slot_of_key("u0"), target, most=1)
        running = asyncio.create_task(run(calls, *((*APPEND_TO_BOTH.on(*both), each) for each in "bcd")))
        await asyncio.sleep(0.05)
        assert not running.done()
        cluster.move_keys(slot_of_key("u0"), target)
        assert await running == [2, 3, 4]
    assert await run(calls, ("LRANGE", both[1], 0, -1)) == [[b"a", b"b", b"c", b"d"]]


async def test_slots_move_under_traffic_and_nothing_is_done_twice_or_out_of_order(
    calls: Calls, cluster: ValkeyCluster
) -> None:
    said: dict[str, list[bytes]] = {key: [] for key in KEYS[:6]}
    stop = asyncio.Event()

    async def talk() -> None:
        number = 0
        while not stop.is_set():
            batch = [(key, b"%d" % (number := number + 1)) for key in said for _ in range(5)]
            lengths = await run(calls, *((*APPEND.on(key), text) for key, text in batch))
            for key, text in batch:
                said[key].append(text)
            assert lengths[4] == len(said[KEYS[0]])

    talking = asyncio.create_task(talk())
    try:
        for key in KEYS[:3]:
            slot = slot_of_key(key)
            home = cluster.master_of(slot)
            for target in (another(cluster, slot), home):
                for step in (cluster.begin_move, cluster.move_keys, cluster.end_move):
                    await asyncio.to_thread(step, slot, target)
    finally:
        stop.set()
        await talking
    for key, texts in said.items():
        assert await run(calls, ("LRANGE", key, 0, -1)) == [texts]


@pytest.fixture
async def subscription(cluster_client: Client) -> AsyncIterator[Subscription]:
    subscription = Subscription(cluster_client, KEYS[0], 2)
    await subscription.open()
    yield subscription
    await subscription.close()


async def test_what_is_published_is_heard(calls: Calls, subscription: Subscription) -> None:
    assert await run(calls, ("SPUBLISH", KEYS[0], b"\xff")) == [1]
    assert await subscription.read() == [b"\xff"]


async def test_a_subscription_ends_when_its_slot_moves_and_opens_where_it_is(
    calls: Calls, cluster: ValkeyCluster, subscription: Subscription
) -> None:
    with moved(cluster, KEYS[0]):
        with pytest.raises(StoreAway, match=r"slot moved|hung up"):
            await subscription.read()
        await subscription.open()
        assert await run(calls, ("SPUBLISH", KEYS[0], b"1")) == [1]
        assert await subscription.read() == [b"1"]


async def test_one_seed_that_is_down_doesnt_matter(cluster: ValkeyCluster) -> None:
    client = connect(f"redis+cluster://127.0.0.1:1,127.0.0.1:{cluster.masters[2].port}", 400)
    assert await run(Calls(client, 2, ()), ("GET", "k")) == [None]
    await client.aclose()


async def test_no_node_that_can_be_asked_is_an_outage() -> None:
    client = connect("redis+cluster://127.0.0.1:1,127.0.0.1:2", 400)
    with pytest.raises(StoreAway, match=r"127\.0\.0\.1"):
        await run(Calls(client, 2, ()), ("GET", "k"))
    await client.aclose()


async def test_a_server_that_is_no_cluster_is_an_outage() -> None:
    single = ValkeyServer(port=free_ports(1)[0])
    single.start()
    client = connect(f"redis+cluster://127.0.0.1:{single.port}", 400)
    try:
        with pytest.raises(StoreAway, match="cluster support disabled"):
            await run(Calls(client, 2, ()), ("GET", "k"))
    finally:
        await client.aclose()
        single.close()


async def test_slots_that_move_atomically_hold_nobody_up(calls: Calls, cluster: ValkeyCluster) -> None:
    both = "{u0}:1", "{u0}:2"
    slot = slot_of_key(both[0])
    home = cluster.master_of(slot)
    done = 0
    for target in (another(cluster, slot), home):
        moving = asyncio.create_task(asyncio.to_thread(cluster.move_atomically, slot, target))
        while not moving.done():
            done += 1
            assert await run(calls, (*APPEND_TO_BOTH.on(*both), done)) == [done]
        await moving
    assert await run(calls, ("LLEN", both[0])) == [done]
