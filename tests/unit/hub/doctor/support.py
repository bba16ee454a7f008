"""Settings and servers that all is well with, but for what a test says."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from hub.config import Settings, load_settings
from hub.doctor.finding import Finding, Severity
from hub.doctor.redis_server import ClockSkew, RedisServer

SECRET = "kR8vQ2mZ7xW4nB9tL3pY6cJ1hG5fD0sA8eU2iO7rT4w"

_FACTS = {
    "valkey_version": "9.1.2",
    "redis_version": "7.2.4",
    "role": "master",
    "connected_slaves": "1",
    "connected_clients": "3",
    "maxclients": "10000",
    "maxmemory": "1000000000",
    "maxmemory_policy": "noeviction",
    "used_memory": "1000000",
    "total_system_memory": "8000000000",
    "loading": "0",
    "aof_enabled": "1",
    "aof_last_write_status": "ok",
    "aof_last_bgrewrite_status": "ok",
    "rdb_last_bgsave_status": "ok",
    "cluster_enabled": "0",
}
HEALTHY = RedisServer(
    facts=_FACTS,
    config={"appendfsync": "everysec", "stop-writes-on-bgsave-error": "yes", "min-replicas-to-write": "0"},
    round_trips_s=(0.0005,) * 50,
    skew=ClockSkew(0.001, 0.001),
    refused=(),
    cluster_facts={},
    cluster_nodes="",
)


def server(config: Mapping[str, str] | None = None, **facts: str) -> RedisServer:
    """A healthy server, but for these facts and parameters."""
    return replace(HEALTHY, facts={**HEALTHY.facts, **facts}, config={**HEALTHY.config, **(config or {})})


def without(*names: str) -> RedisServer:
    """A healthy server that doesn't tell these facts and parameters."""
    facts = {name: text for name, text in HEALTHY.facts.items() if name not in names}
    return replace(HEALTHY, facts=facts, config={})


def settings(**variables: Any) -> Settings:
    return load_settings({"HUB_JWT_SECRET": SECRET, **variables})


def worst(findings: Iterable[Finding]) -> Finding:
    return max(findings, key=lambda finding: finding.severity)


def severities(findings: Iterable[Finding]) -> list[Severity]:
    return [finding.severity for finding in findings]
