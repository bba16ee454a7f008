"""The Redis client: no retries, few connections, deadlines where they work."""

import ssl
from urllib.parse import urlsplit

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

SCHEMES = ("redis", "rediss", "unix")
PRESENCE_CONNECTIONS = 6
MOST_CONNECTIONS = PRESENCE_CONNECTIONS + 4
"""Presence, and one each for the mail, the journal, the revocations and the events."""


def connect(url: str, timeout_ms: int) -> Redis:
    """Build a client for `url`; nothing is sent before the first call. Close it with `aclose()`.

    Connecting takes at most `timeout_ms`; give calls their deadline with `hub.store.calls.Calls`, as the store does.
    redis-py's own one (`socket_timeout`) is off: in Python 3.11 its `asyncio.wait_for` now and then swallows the
    cancellation that comes from a deadline around it (python/cpython#86296), so a call took 0.95 s instead of 0.45.

    Nothing is tried again: the mirror does that, with the newest state (redis-py's own retries take 3.8 s with Redis
    down). RESP2, because it needs no greeting and its answers cost the least to read. The pool doesn't wait for a free
    connection, it refuses; `Calls` waits.

    Raises:
        ValueError: If the URL's scheme is not `redis`, `rediss` or `unix`. The text never holds the password.
    """
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise ValueError(f"a Redis URL starts with redis://, rediss:// or unix://, not {scheme!r}")
    extra = {"ssl_min_version": ssl.TLSVersion.TLSv1_2} if scheme == "rediss" else {}
    pool = ConnectionPool.from_url(
        url,
        max_connections=MOST_CONNECTIONS,
        socket_timeout=None,
        socket_connect_timeout=timeout_ms / 1000,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        protocol=2,
        **extra,
    )
    return Redis.from_pool(pool)
