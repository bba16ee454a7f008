"""How long the server takes to answer, seen from here."""

from collections.abc import Iterator
from statistics import median

from hub.doctor.finding import Finding, error, ok, warning
from hub.doctor.redis_server import PINGS, RedisServer

_ABOUT = "latency"
_FAR_S = 0.01
"""A message to a desktop waits for one round trip, a receipt for two: beyond this people notice."""


def check_latency(server: RedisServer, timeout_ms: int) -> Iterator[Finding]:
    """Compare round trips with `HUB_REDIS_TIMEOUT_MS`, after which the hub takes Redis as away."""
    middle, worst = median(server.round_trips_s), max(server.round_trips_s)
    many = len(server.round_trips_s)
    found = f"{many} round trips: median {middle * 1000:.2f} ms, worst {worst * 1000:.2f} ms"
    if worst * 1000 >= timeout_ms:
        yield error(
            _ABOUT,
            f"{found}; HUB_REDIS_TIMEOUT_MS is {timeout_ms}",
            "look for slow commands (SLOWLOG), swapping and the network; only then raise the timeout",
        )
    elif worst * 2000 >= timeout_ms:
        yield warning(_ABOUT, f"{found}; HUB_REDIS_TIMEOUT_MS is {timeout_ms}", "look at SLOWLOG and the network")
    elif middle > _FAR_S or many < PINGS:
        yield warning(_ABOUT, found, "bring hub and Redis nearer to each other: the same zone, the same network")
    else:
        yield ok(_ABOUT, found)
