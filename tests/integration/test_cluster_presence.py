"""Presence on a real cluster: what concerns all keys concerns those of every master."""

import pytest

from actors.messages import CameOnline
from hub.presence import keys
from hub.store.calls import StoreAway
from hub.store.client import Client
from tests.support.presence import NODE, NOW, cut_off, make_record, make_store
from tests.support.valkey_cluster import ValkeyCluster

pytest_plugins = ("tests.support.valkey_fixtures",)

OTHER = "beta/1111bbbb"
USERS = [f"u{number}" for number in range(12)]
"""On all three masters."""


def found(cluster: ValkeyCluster, pattern: str) -> list[str]:
    """The names that match, of all masters."""
    return sorted(name.decode() for names in cluster.everywhere("KEYS", pattern) for name in names)


async def test_a_lost_nodes_records_are_found_on_every_master(cluster: ValkeyCluster, cluster_client: Client) -> None:
    lost = [make_record("d1", user) for user in USERS]
    kept = [make_record("d2", user, node=OTHER) for user in USERS]
    store = make_store(cluster_client)
    await store.apply([CameOnline(each, announce=True) for each in (*lost, *kept)])
    assert all(cluster.everywhere("KEYS", keys.EVERY_RECORD))
    assert await store.clear_node(NODE) == len(USERS)
    assert found(cluster, keys.EVERY_RECORD) == sorted(f"hub:{{{user}}}:desktop:d2" for user in USERS)


async def test_what_a_lost_node_owes_is_found_on_every_master(cluster: ValkeyCluster, cluster_client: Client) -> None:
    dying = make_store(cluster_client)
    with cut_off(dying, 1), pytest.raises(StoreAway):
        await dying.apply([CameOnline(make_record("d1", user, node=OTHER), announce=True) for user in USERS])
    await make_store(cluster_client).clear_node(NODE)
    told = [fields[b"user_id"].decode() for _, fields in cluster.say("XRANGE", keys.STREAM, "-", "+")]
    assert sorted(told) == sorted(USERS)
    assert found(cluster, keys.EVERY_OWED) == []


async def test_life_signs_are_those_of_every_master(cluster: ValkeyCluster, cluster_client: Client) -> None:
    store = make_store(cluster_client)
    await store.leave_mark(NODE)
    signs = await store.life_signs(NODE)
    lives = [server["run_id"] for server in cluster.everywhere("INFO", "server")]
    assert signs.run_id.split() == sorted(lives)
    assert signs.kept
    assert signs.clock_us is not None
    assert signs.clock_us > NOW * 1000
