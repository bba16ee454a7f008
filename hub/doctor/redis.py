"""Redis as a whole: reachable or not, one server or every primary of a cluster."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from urllib.parse import urlsplit

from hub.config import Settings
from hub.config_view import describe_settings
from hub.doctor.finding import Finding, error, ok
from hub.doctor.redis_clock import check_clock
from hub.doctor.redis_cluster import check_cluster, read_nodes
from hub.doctor.redis_conversation import Unreachable
from hub.doctor.redis_latency import check_latency
from hub.doctor.redis_memory import check_eviction, check_memory
from hub.doctor.redis_permissions import check_permissions
from hub.doctor.redis_persistence import check_persistence
from hub.doctor.redis_role import check_clients, check_role
from hub.doctor.redis_server import RedisServer, visit
from hub.doctor.redis_version import check_version
from hub.redis_url import Address, at, redis_nodes

_AWAY = "start it, or mend HUB_REDIS_URL; until then the hub keeps no messages and knows no presence"


async def examine_redis(settings: Settings, url: str) -> list[Finding]:
    """Ask the server at `url`, and every other primary if it is one of a cluster.

    Args:
        settings: What the answers are compared with.
        url: `HUB_REDIS_URL`, or where the embedded Valkey listens.
    """
    shown = next(line.value for line in describe_settings(settings) if line.variable == "HUB_REDIS_URL") or url
    try:
        seed, server = await _first_that_answers(redis_nodes(url))
    except Unreachable as reason:
        return [error("redis", f"{shown} can't be asked: {reason}", _AWAY)]
    findings = [ok("redis", f"{shown} answers"), *check_cluster(server, urlsplit(url).scheme)]
    if not server.in_cluster or server.is_primary:
        findings += check_server(server, settings)
    for host, port in _other_primaries(server):
        findings += await _examine_primary(settings, seed, host, port)
    return findings


def check_server(server: RedisServer, settings: Settings) -> Iterator[Finding]:
    """Make every check that holds for one server."""
    yield from check_version(server)
    yield from check_role(server)
    yield from check_permissions(server.refused)
    yield from check_eviction(server)
    yield from check_persistence(server)
    yield from check_memory(server)
    yield from check_clients(server, settings.workers)
    yield from check_latency(server, settings.redis_timeout_ms)
    yield from check_clock(server.skew, settings.jwt_leeway_s)


async def _first_that_answers(urls: list[str]) -> tuple[str, RedisServer]:
    for url in urls[:-1]:
        with suppress(Unreachable):
            return url, await visit(url)
    return urls[-1], await visit(urls[-1])


async def _examine_primary(settings: Settings, seed: str, host: str, port: int) -> list[Finding]:
    try:
        findings = list(check_server(await visit(at(seed, Address(host, port))), settings))
    except Unreachable as reason:
        advice = "every hub has to reach every node, under the address that the cluster announces"
        return [error("redis", f"{host}:{port} can't be asked: {reason}", advice)]
    return [replace(finding, about=f"{finding.about} of {host}:{port}") for finding in findings]


def _other_primaries(server: RedisServer) -> list[tuple[str, int]]:
    gone = {"myself", "fail", "fail?", "noaddr"}
    nodes = read_nodes(server.cluster_nodes)
    return [(node.host, node.port) for node in nodes if "master" in node.flags and not node.flags & gone]
