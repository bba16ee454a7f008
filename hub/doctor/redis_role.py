"""Whether the server takes the hub's writes, and enough of its connections."""

from collections.abc import Iterator

from hub.doctor.finding import Finding, error, ok, warning
from hub.doctor.redis_server import RedisServer
from hub.store.client import CONNECTIONS_OF_A_HUB


def check_role(server: RedisServer) -> Iterator[Finding]:
    """A primary, with as many replicas as it insists on."""
    if not server.is_primary:
        where = f"{server.facts.get('master_host', '?')}:{server.facts.get('master_port', '?')}"
        yield error("role", f"a replica of {where}: it takes no writes", "name the primary in HUB_REDIS_URL")
        return
    replicas, least = server.number("connected_slaves"), int(server.config.get("min-replicas-to-write", "0"))
    if server.number("min_slaves_good_slaves") < least:
        yield error(
            "role",
            f"a primary that wants {least} replicas before it takes writes, and has {replicas}",
            "bring the replicas back, or lower min-replicas-to-write",
        )
    else:
        yield ok("role", f"primary, {replicas} replica(s)")


def check_clients(server: RedisServer, workers: int) -> Iterator[Finding]:
    """Room for the connections that the hub opens."""
    most, now = server.number("maxclients"), server.number("connected_clients")
    needed = workers * CONNECTIONS_OF_A_HUB
    if most and most - now < needed:
        yield warning("clients", f"{now} of {most} connections are taken, the hub opens {needed}", "raise maxclients")
    else:
        yield ok("clients", f"{now} connections, room for {most or 'any number'}")
