"""The Redis client: short deadlines, no retries, few connections."""

import ssl
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

SCHEMES = ("redis", "rediss", "unix")
MOST_CONNECTIONS = 8


def connect(url: str, timeout_ms: int) -> Redis:
    """Build a client for `url`; nothing is sent before the first call. Close it with `aclose()`.

    Waiting for a free connection, connecting, and each answer take at most `timeout_ms`. Nothing is tried again:
    the mirror does that, with the newest state (redis-py's own retries take 3.8 s with Redis down). RESP2, because it
    needs no greeting and its answers cost the least to read.

    Raises:
        ValueError: If the URL's scheme is not `redis`, `rediss` or `unix`. The text never holds the password.
    """
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise ValueError(f"a Redis URL starts with redis://, rediss:// or unix://, not {scheme!r}")
    timeout_s = timeout_ms / 1000
    extra = {"ssl_min_version": ssl.TLSVersion.TLSv1_2} if scheme == "rediss" else {}
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=MOST_CONNECTIONS,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        protocol=2,
        **extra,
    )
    return Redis.from_pool(pool)
