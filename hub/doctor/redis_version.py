"""Is the server new enough?"""

from collections.abc import Iterator

from hub.doctor.finding import Finding, error, ok
from hub.doctor.redis_server import RedisServer

_ABOUT = "version"
_OLDEST_REDIS = 7


def check_version(server: RedisServer) -> Iterator[Finding]:
    """Redis 7 or newer, or Valkey (docs/operations.md, "Your own Redis")."""
    valkey, redis = server.facts.get("valkey_version"), server.facts.get("redis_version", "")
    major = redis.partition(".")[0]
    if valkey is not None:
        yield ok(_ABOUT, f"Valkey {valkey}")
    elif major.isdecimal() and int(major) >= _OLDEST_REDIS:
        yield ok(_ABOUT, f"Redis {redis}")
    else:
        yield error(_ABOUT, f"Redis {redis or 'of no version'}", f"the hub needs Redis {_OLDEST_REDIS}, or Valkey")
