import pytest

from hub.store.client import MOST_CONNECTIONS, connect

URLS = [
    ("unix:///run/x.sock", {"path": "/run/x.sock"}),
    ("redis://h:1/3", {"host": "h", "port": 1, "db": 3}),
    ("rediss://:secret@h:1", {"host": "h", "password": "secret"}),
]


@pytest.mark.parametrize(("url", "expected"), URLS)
async def test_where_it_connects(url: str, expected: dict[str, object]) -> None:
    client = connect(url, 500)
    options = client.connection_pool.connection_kwargs
    assert {name: options[name] for name in expected} == expected
    assert options["socket_connect_timeout"] == 0.5
    assert client.connection_pool.max_connections == MOST_CONNECTIONS
    await client.aclose()


async def test_nothing_is_tried_again() -> None:
    client = connect("redis://h", 500)
    assert client.connection_pool.connection_kwargs["retry"].get_retries() == 0
    await client.aclose()


async def test_redis_pys_own_deadline_is_off() -> None:
    """It swallows cancellations now and then (see `connect`), so that a call takes twice its time."""
    client = connect("redis://h", 500)
    assert client.connection_pool.connection_kwargs["socket_timeout"] is None
    await client.aclose()


@pytest.mark.parametrize("url", ["http://:secret@h", "redis+cluster://:secret@h", "h:6379", ""])
def test_other_schemes_are_refused_without_the_password(url: str) -> None:
    with pytest.raises(ValueError, match="rediss://") as caught:
        connect(url, 500)
    assert "secret" not in str(caught.value)
