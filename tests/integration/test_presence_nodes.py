"""Several nodes on one real Valkey: what the stream is told, whoever writes it and whoever dies on the way."""

import asyncio

import pytest
from redis.asyncio import Redis

from actors.ids import DesktopId, NodeId
from actors.messages import CameOnline, PresenceChange, WentOffline
from hub.presence.store import RedisPresenceStore
from hub.store.calls import StoreAway
from tests.support.presence import NOW, cut_off, eventually, make_record, make_store, small_hub, told
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.valkey_fixtures",)

A, C = NodeId("alpha/aaaa"), NodeId("alpha/cccc")
ON, OFF, LOST = ("d1", "online", ""), ("d1", "offline", "closed"), ("d1", "offline", "node_lost")
RECORD = "hub:{u1}:desktop:d1"


def came(epoch: int, node: str = A, *, user: str = "u1", announce: bool = True) -> CameOnline:
    return CameOnline(make_record("d1", user, epoch, node=node), announce=announce)


def went(epoch: int, node: str = A, *, forget: bool = False) -> WentOffline:
    return WentOffline(make_record("d1", epoch=epoch, node=node), "closed", NOW, forget=forget)


async def test_a_desktop_that_moves_was_never_away(client: Redis, valkey: ValkeyServer) -> None:
    for change in (came(1), came(2, C), went(1)):
        await make_store(client).apply([change])
    assert told(valkey) == [ON]
    await make_store(client).apply([went(2, C)])
    await make_store(client).apply([went(1)])
    assert told(valkey) == [ON, OFF]


async def test_a_desktop_that_moves_to_another_owner(client: Redis, valkey: ValkeyServer) -> None:
    async with small_hub(client, node=A, alone=False) as here, small_hub(client, node=C, alone=False) as there:
        here.connect(make_record("d1", "u1", 1, node=A))
        await here.settled()
        there.connect(make_record("d1", "u2", 2, node=C))
        await there.settled()
        here.mirror.record(went(1, forget=True))
        await here.settled()
        assert there.taken_over == [("d1", 2, "u1")]
        assert here.taken_over == []
    users = [fields[b"user_id"] for _, fields in valkey.say("XRANGE", "hub:presence", "-", "+")]
    assert (told(valkey), users) == ([ON, ON, OFF], [b"u1", b"u2", b"u1"])


async def test_who_came_first_is_nobodys_successor(client: Redis, valkey: ValkeyServer) -> None:
    taken: list[object] = []
    valkey.say("HSET", "hub:owner:d1", "not", "ours")
    for change in (came(1), came(2), came(1, user="u2")):
        await make_store(client).apply([change], owner_changed=lambda *change: taken.append(change))
    assert taken == []


async def test_a_bug_of_who_is_told_of_a_former_owner_stays_there(client: Redis) -> None:
    async with small_hub(client) as hub:
        hub.taken_over = []
        hub.mirror._owner_changed = lambda *_: 1 / 0
        for number, user in enumerate(("u1", "u2"), 1):
            hub.connect(make_record("d1", user, number))
        await hub.settled()
        assert hub.mirror.outages == 0


async def test_a_record_that_ran_out_ends_with_one_entry(client: Redis, valkey: ValkeyServer) -> None:
    await make_store(client).apply([came(1)])
    valkey.say("DEL", RECORD)
    for _ in range(2):
        await make_store(client).apply([went(1)])
    assert told(valkey) == [ON, OFF]


async def test_a_lost_node_is_cleaned_up_once_by_however_many(client: Redis, valkey: ValkeyServer) -> None:
    lost = [make_record(f"d{n}", f"u{n}", node=A) for n in range(300)]
    kept = [make_record(f"e{n}", f"u{n}", node=C) for n in range(300)]
    await make_store(client).apply([CameOnline(each, announce=True) for each in (*lost, *kept)])
    ended = await asyncio.gather(*(make_store(client).clear_node(A) for _ in range(3)))
    assert sum(ended) == 300
    assert await make_store(client).clear_node(A) == 0
    offline = [desktop for desktop, state, reason in told(valkey) if (state, reason) == ("offline", "node_lost")]
    assert sorted(offline) == sorted(each.desktop_id for each in lost)
    assert valkey.say("EXISTS", *(f"hub:{{u{n}}}:desktop:e{n}" for n in range(300))) == 300


@pytest.mark.parametrize("trips", range(8))
@pytest.mark.parametrize("answered", [True, False], ids=["asked", "carried-out"])
async def test_a_survivor_that_dies_half_way(client: Redis, valkey: ValkeyServer, trips: int, answered: bool) -> None:
    await make_store(client).apply([came(1)])
    dying = make_store(client)
    with cut_off(dying, trips, answered=answered):
        try:
            await dying.clear_node(A)
        except StoreAway:
            await make_store(client).clear_node(A)
    assert told(valkey) == [ON, LOST]
    assert valkey.say("KEYS", "hub:{*}:owed") == []


@pytest.mark.parametrize("trips", [0, 1])
@pytest.mark.parametrize("answered", [True, False], ids=["asked", "carried-out"])
@pytest.mark.parametrize("change", [came(2), went(1)], ids=["came", "went"])
async def test_a_node_that_dies_while_it_writes(
    client: Redis, valkey: ValkeyServer, change: PresenceChange, trips: int, answered: bool
) -> None:
    """What it wrote is told by who cleans up; what it didn't write has never been."""
    first: list[PresenceChange] = [came(1)] if isinstance(change, WentOffline) else [came(1), went(1)]
    store = make_store(client)
    await store.apply(first)
    with cut_off(store, trips, answered=answered), pytest.raises(StoreAway):
        await store.apply([change])
    await make_store(client).clear_node(A)
    wrote = trips > 0 or not answered
    if isinstance(change, WentOffline):
        assert told(valkey) == ([ON, OFF] if wrote else [ON, LOST])
    else:
        assert told(valkey) == ([ON, OFF, ON, LOST] if wrote else [ON, OFF])


AGAIN: list[PresenceChange] = [came(1, announce=False)]
MOVED_AND_WENT: list[PresenceChange] = [came(2, C), went(2, C)]


@pytest.mark.parametrize(("changes", "expected"), [(AGAIN, [ON]), (MOVED_AND_WENT, [ON, OFF])], ids=["again", "moved"])
async def test_what_a_dead_node_owes_comes_before_what_is_new(
    client: Redis, valkey: ValkeyServer, changes: list[PresenceChange], expected: list[object]
) -> None:
    store = make_store(client)
    with cut_off(store, 1), pytest.raises(StoreAway):
        await store.apply([came(1)])
    assert told(valkey) == []
    await make_store(client).apply(changes)
    assert told(valkey) == expected
    await make_store(client).clear_node(NodeId("alpha/other"))
    assert told(valkey) == expected


async def test_a_node_that_was_taken_for_lost_writes_everything_anew(client: Redis, valkey: ValkeyServer) -> None:
    async with small_hub(client, node=A, alone=False) as hub:
        hub.connect(make_record("d1", "u1", 1, node=A))
        hub.connect(make_record("d2", "u1", 1, node=A))
        await hub.settled()
        assert await hub.store.clear_node(A) == 2
        hub.disconnect("d2")
        await eventually(lambda: hub.mirror.mirrored_anew == 2 and hub.mirror.lag_s == 0)
        assert (await hub.store.desktop(DesktopId("d1"))).state == "online"
    assert [each for each in told(valkey) if each[0] == "d1"] == [ON, LOST, ON]
    assert [state for desktop, state, _ in told(valkey) if desktop == "d2"] == ["online", "offline"]


async def test_siblings_of_one_name_leave_each_other_alone(client: Redis) -> None:
    async with small_hub(client, node=A, alone=False) as one, small_hub(client, node=C, alone=False) as other:
        one.connect(make_record("d1", "u1", 1, node=A))
        await one.settled()
        await other.settled()
        assert other.mirror.earlier_lives_cleared == 0
        assert (await other.store.desktop(DesktopId("d1"))).state == "online"


async def test_a_round_does_not_hide_that_a_desktop_came(client: Redis, valkey: ValkeyServer) -> None:
    """A round that begins while a change waits leaves it alone, or the change would find the record there."""
    async with small_hub(client) as hub:
        await hub.settled()
        hub.connect(make_record())
        hub.mirror._begin_round()
        assert not hub.mirror._round
        await hub.settled()
    assert told(valkey) == [ON]


async def test_a_batch_takes_one_round_trip_more_for_its_entries(client: Redis, valkey: ValkeyServer) -> None:
    records = [make_record(f"d{n}", f"u{n}", 1) for n in range(20)]

    async def trips(store: RedisPresenceStore, changes: list[PresenceChange], renewed: int = 0) -> list[int]:
        with cut_off(store, 99) as counted:
            await store.apply(changes, records[:renewed])
        return counted

    store = make_store(client)
    assert await trips(store, [CameOnline(each, announce=True) for each in records]) == [40, 20]
    assert await trips(store, [], renewed=20) == [40], "what was owed is struck off with it"
    assert await trips(store, [], renewed=20) == [20]
    assert await trips(store, [WentOffline(each, "closed", NOW) for each in records]) == [20, 20]
    await store.settle()
    assert valkey.say("KEYS", "hub:{*}:owed") == []
