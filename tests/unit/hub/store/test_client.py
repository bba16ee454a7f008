import pytest
from redis.asyncio import SSLConnection

from hub.redis_url import Address
from hub.store.client import MOST_CONNECTIONS, connect, connect_to_one
from hub.store.cluster import ClusterClient

URLS = [
    ("unix:///run/x.sock", {"path": "/run/x.sock"}),
    ("redis://h:1/3", {"host": "h", "port": 1, "db": 3}),
    ("rediss://:secret@h:1", {"host": "h", "password": "secret"}),
]


@pytest.mark.parametrize(("url", "expected"), URLS)
async def test_where_it_connects(url: str, expected: dict[str, object]) -> None:
    client = connect_to_one(url, 500)
    options = client.connection_pool.connection_kwargs
    assert {name: options[name] for name in expected} == expected
    assert options["socket_connect_timeout"] == 0.5
    assert client.connection_pool.max_connections == MOST_CONNECTIONS
    await client.aclose()


async def test_nothing_is_tried_again() -> None:
    client = connect_to_one("redis://h", 500)
    assert client.connection_pool.connection_kwargs["retry"].get_retries() == 0
    await client.aclose()


async def test_redis_pys_own_deadline_is_off() -> None:
    """It swallows cancellations now and then (see `connect`), so that a call takes twice its time."""
    client = connect_to_one("redis://h", 500)
    assert client.connection_pool.connection_kwargs["socket_timeout"] is None
    await client.aclose()


@pytest.mark.parametrize("url", ["http://:secret@h", "h:6379", ""])
def test_other_schemes_are_refused_without_the_password(url: str) -> None:
    with pytest.raises(ValueError, match="rediss://") as caught:
        connect(url, 500)
    assert "secret" not in str(caught.value)


async def test_a_cluster_is_known_by_its_scheme() -> None:
    client = connect("rediss+cluster://u:pw@h:1,[::1]:2?ssl_check_hostname=no", 500)
    assert isinstance(client, ClusterClient)
    pool = client._topology.pool(Address("10.0.0.1", 7))
    options = pool.connection_kwargs  # type: ignore[attr-defined]
    assert (options["host"], options["port"], options["username"], options["password"]) == ("10.0.0.1", 7, "u", "pw")
    assert pool.connection_class is SSLConnection  # type: ignore[attr-defined]
    assert client._topology._seeds == (Address("h", 1), Address("::1", 2))
    await client.aclose()


@pytest.mark.parametrize("url", ["redis+cluster://:secret@h:port", "redis+cluster://:secret@h:1,"])
def test_a_node_without_an_address_is_refused_without_the_password(url: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT") as caught:
        connect(url, 500)
    assert "secret" not in str(caught.value)
