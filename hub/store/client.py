"""The Redis client: no retries, few connections, deadlines where they work."""

import ssl
from functools import partial
from typing import TypeAlias, cast
from urllib.parse import urlsplit

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from hub.redis_url import Address, address_of, at, redis_nodes
from hub.store.cluster import ClusterClient
from hub.store.exchange import Pool
from hub.store.topology import Topology

SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")
PRESENCE_CONNECTIONS = 6
NODES_CONNECTIONS = 3
MOST_CONNECTIONS = PRESENCE_CONNECTIONS + NODES_CONNECTIONS + 4
"""Presence, what nodes know of each other, and one each for the mail, the journal, the revocations and the events.

To each master of a cluster so many, and one more that asks for the cluster's state. A `Subscription` has its own.
"""
CONNECTIONS_OF_A_HUB = MOST_CONNECTIONS + 2
"""To one server at most."""

ASKED_IN_TIME = 3
"""So many nodes of a cluster that hang may be asked for its state, one after the other, within one deadline."""

Client: TypeAlias = Redis | ClusterClient
"""What `connect` returns, to be given to `Calls` and `Subscription`."""


def connect(url: str, timeout_ms: int) -> Client:
    """Build a client for `url`; nothing is sent before the first call. Close it with `aclose()`.

    Connecting takes at most `timeout_ms`; give calls their deadline with `hub.store.calls.Calls`, as the store does.
    redis-py's own one (`socket_timeout`) is off: in Python 3.11 its `asyncio.wait_for` now and then swallows the
    cancellation that comes from a deadline around it (python/cpython#86296), so a call took 0.95 s instead of 0.45.

    Nothing is tried again: the mirror does that, with the newest state (redis-py's own retries take 3.8 s with Redis
    down). RESP2, because it needs no greeting and its answers cost the least to read. The pool doesn't wait for a free
    connection, it refuses; `Calls` waits.

    Raises:
        ValueError: If the URL's scheme is none of `SCHEMES`, or a cluster's node has no host. The text never holds the
            password.
    """
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise ValueError(f"a Redis URL starts with redis://, rediss://, unix:// or redis+cluster://, not {scheme!r}")
    nodes = redis_nodes(url)
    if nodes == [url]:
        return connect_to_one(url, timeout_ms)
    most = MOST_CONNECTIONS + 1
    topology = Topology(
        [address_of(node) for node in nodes],
        partial(_pool_at, nodes[0], timeout_ms, most),
        timeout_ms / 1000 / ASKED_IN_TIME,
    )
    return ClusterClient(topology)


def connect_to_one(url: str, timeout_ms: int) -> Redis:
    """Build a client for the one server at `url`, as `connect` does."""
    return Redis.from_pool(_pool(url, timeout_ms, MOST_CONNECTIONS))


def _pool_at(url: str, timeout_ms: int, most: int, address: Address) -> Pool:
    return cast("Pool", _pool(at(url, address), timeout_ms, most))


def _pool(url: str, timeout_ms: int, most: int) -> ConnectionPool:
    extra = {"ssl_min_version": ssl.TLSVersion.TLSv1_2} if urlsplit(url).scheme == "rediss" else {}
    return ConnectionPool.from_url(
        url,
        max_connections=most,
        socket_timeout=None,
        socket_connect_timeout=timeout_ms / 1000,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        protocol=2,
        **extra,
    )
