"""Every check of one server: a healthy one, and one that has just this wrong."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from hub.doctor.finding import Finding, Severity
from hub.doctor.redis import check_server
from hub.doctor.redis_clock import check_clock
from hub.doctor.redis_latency import check_latency
from hub.doctor.redis_memory import check_eviction, check_memory
from hub.doctor.redis_permissions import check_permissions
from hub.doctor.redis_persistence import check_persistence
from hub.doctor.redis_role import check_clients, check_role
from hub.doctor.redis_server import ClockSkew, RedisServer
from hub.doctor.redis_version import check_version
from tests.unit.hub.doctor.support import HEALTHY, server, settings, severities, without, worst

OK, NOTE, WARNING, ERROR = Severity.OK, Severity.NOTE, Severity.WARNING, Severity.ERROR


def _is(findings: Iterable[Finding], severity: Severity, found: str = "") -> None:
    finding = worst(findings)
    assert finding.severity is severity
    assert found in finding.found
    assert bool(finding.advice) is (severity >= WARNING) or severity is NOTE


def test_a_healthy_server_has_nothing_wrong() -> None:
    assert set(severities(check_server(HEALTHY, settings()))) == {OK}


@pytest.mark.parametrize(
    ("seen", "severity", "found"),
    [
        (server(), OK, "Valkey 9.1.2"),
        (without("valkey_version"), OK, "Redis 7.2.4"),
        (replace(without("valkey_version"), facts={"redis_version": "6.2.14"}), ERROR, "Redis 6.2.14"),
        (replace(without("valkey_version"), facts={"redis_version": "10.0.1"}), OK, "Redis 10.0.1"),
        (replace(HEALTHY, facts={}), ERROR, "of no version"),
    ],
)
def test_version(seen: RedisServer, severity: Severity, found: str) -> None:
    _is(check_version(seen), severity, found)


@pytest.mark.parametrize(
    ("seen", "severity"),
    [
        (server(), OK),
        (server(maxmemory_policy="allkeys-lru"), ERROR),
        (server(maxmemory_policy="volatile-ttl"), ERROR),
        (without("maxmemory_policy"), NOTE),
        (replace(without("maxmemory_policy"), config={"maxmemory-policy": "allkeys-lru"}), ERROR),
    ],
)
def test_eviction(seen: RedisServer, severity: Severity) -> None:
    _is(check_eviction(seen), severity)


@pytest.mark.parametrize(
    ("seen", "severity", "found"),
    [
        (server(), OK, "of maxmemory"),
        (server(used_memory="800000000"), WARNING, "80% of maxmemory"),
        (server(used_memory="950000000"), ERROR, "95% of maxmemory"),
        (server(maxmemory="0", used_memory="950000000"), OK, "of the machine's memory"),
        (server(maxmemory="0", used_memory="7800000000"), ERROR, "of the machine's memory"),
        (without("maxmemory", "total_system_memory"), NOTE, "doesn't tell"),
    ],
)
def test_memory(seen: RedisServer, severity: Severity, found: str) -> None:
    _is(check_memory(seen), severity, found)


@pytest.mark.parametrize(
    ("seen", "severity", "found"),
    [
        (server(), OK, "appendfsync everysec"),
        (server({"appendfsync": "always"}), OK, "flushed at every write"),
        (server({"appendfsync": "no"}), WARNING, "appendfsync no"),
        (without(), NOTE, "isn't told"),
        (server(aof_enabled="0"), WARNING, "no append-only file"),
        (server(loading="1"), WARNING, "loading"),
        (server(aof_last_write_status="err"), ERROR, "writes are refused"),
        (server(aof_last_bgrewrite_status="err"), WARNING, "grows"),
        (server(rdb_last_bgsave_status="err"), ERROR, "may refuse writes"),
        (server({"stop-writes-on-bgsave-error": "no"}, rdb_last_bgsave_status="err"), WARNING, "snapshot failed"),
    ],
)
def test_persistence(seen: RedisServer, severity: Severity, found: str) -> None:
    _is(check_persistence(seen), severity, found)


@pytest.mark.parametrize(
    ("seen", "severity", "found"),
    [
        (server(), OK, "primary, 1 replica"),
        (server(role="slave", master_host="10.0.0.1", master_port="6379"), ERROR, "a replica of 10.0.0.1:6379"),
        (server({"min-replicas-to-write": "1"}, min_slaves_good_slaves="0"), ERROR, "wants 1 replicas"),
        (server({"min-replicas-to-write": "1"}, min_slaves_good_slaves="1"), OK, "primary"),
    ],
)
def test_role(seen: RedisServer, severity: Severity, found: str) -> None:
    _is(check_role(seen), severity, found)


def test_connections_that_are_left() -> None:
    _is(check_clients(server(), 1), OK)
    _is(check_clients(server(maxclients="10"), 1), WARNING, "3 of 10")
    _is(check_clients(server(maxclients="20"), 1), OK)
    _is(check_clients(server(maxclients="20"), 4), WARNING)
    _is(check_clients(without("maxclients"), 4), OK)


@pytest.mark.parametrize(
    ("round_trips_s", "severity", "found"),
    [
        ([0.001] * 50, OK, "50 round trips: median 1.00 ms, worst 1.00 ms"),
        ([0.001] * 49 + [0.21], WARNING, "HUB_REDIS_TIMEOUT_MS is 400"),
        ([0.001] * 49 + [0.41], ERROR, "worst 410.00 ms"),
        ([0.02] * 50, WARNING, "median 20.00 ms"),
        ([0.001] * 9, WARNING, "9 round trips"),
    ],
)
def test_latency(round_trips_s: list[float], severity: Severity, found: str) -> None:
    _is(check_latency(replace(HEALTHY, round_trips_s=tuple(round_trips_s)), 400), severity, found)


@pytest.mark.parametrize(
    ("skew", "leeway_s", "severity", "found"),
    [
        (ClockSkew(0.2, 0.001), 10, OK, "0.200 s ahead of"),
        (ClockSkew(-2.0, 0.001), 10, WARNING, "2.000 s behind"),
        (ClockSkew(2.0, 1.5), 10, OK, "± 1.500 s"),
        (ClockSkew(11.0, 0.001), 10, ERROR, "HUB_JWT_LEEWAY_S (10)"),
        (ClockSkew(0.5, 0.001), 0, OK, ""),
        (ClockSkew(1.5, 0.001), 0, ERROR, "HUB_JWT_LEEWAY_S (0)"),
        (None, 10, NOTE, "doesn't tell"),
    ],
)
def test_clock(skew: ClockSkew | None, leeway_s: float, severity: Severity, found: str) -> None:
    _is(check_clock(skew, leeway_s), severity, found)


def test_permissions() -> None:
    _is(check_permissions(()), OK)
    _is(check_permissions(("XADD", "INFO")), ERROR, "XADD, INFO")
    _is(check_permissions(None), NOTE, "MULTI")
