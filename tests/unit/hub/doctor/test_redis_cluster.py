from dataclasses import replace

import pytest

from hub.doctor.finding import Severity
from hub.doctor.redis_cluster import check_cluster, read_nodes
from hub.doctor.redis_server import RedisServer
from hub.redis_url import Address, at
from tests.unit.hub.doctor.support import HEALTHY, server, severities, worst

NODES = """\
aa 10.0.0.1:7000@17000,one.example myself,master - 0 0 1 connected 0-8191
bb 10.0.0.2:7000@17000 master - 0 1700000000000 2 connected 8192-16383
cc 10.0.0.3:7000@17000 slave aa 0 1700000000000 1 connected
dd fd00::4:7000@17000 slave bb 0 1700000000000 2 connected
"""
FACTS = {"cluster_state": "ok", "cluster_slots_ok": "16384", "cluster_size": "2"}


def _cluster(nodes: str = NODES, **facts: str) -> RedisServer:
    return replace(server(cluster_enabled="1"), cluster_facts={**FACTS, **facts}, cluster_nodes=nodes)


def test_a_whole_cluster_is_fine() -> None:
    assert severities(check_cluster(_cluster(), "redis+cluster")) == [Severity.OK]


def test_a_single_server_is_none_of_its_business() -> None:
    assert list(check_cluster(HEALTHY, "redis")) == []


@pytest.mark.parametrize(
    ("seen", "severity", "found"),
    [
        (_cluster(cluster_state="fail", cluster_slots_ok="8192"), Severity.ERROR, "8192 of 16384 slots"),
        (_cluster(cluster_slots_ok="16383"), Severity.ERROR, "1 of 16384"),
        (
            _cluster(NODES + "ee 10.0.0.5:7000@17000 slave,fail bb 0 0 2 connected\n"),
            Severity.WARNING,
            "taken for dead",
        ),
        (_cluster(NODES.replace("slave bb", "slave aa")), Severity.WARNING, "10.0.0.2:7000 has no replica"),
        (_cluster(NODES.replace("8192-16383", "8192-16383 [93-<-aa]")), Severity.WARNING, "on the move"),
    ],
)
def test_what_is_missing(seen: RedisServer, severity: Severity, found: str) -> None:
    finding = worst(check_cluster(seen, "redis+cluster"))
    assert finding.severity is severity
    assert found in finding.found


@pytest.mark.parametrize(("seen", "scheme"), [(_cluster(), "redis"), (HEALTHY, "redis+cluster")])
def test_the_url_has_to_say_what_is_there(seen: RedisServer, scheme: str) -> None:
    assert worst(check_cluster(seen, scheme)).severity is Severity.ERROR


def test_nodes_are_read_with_their_addresses() -> None:
    one, _, _, four = read_nodes(NODES)
    assert (one.host, one.port, one.primary) == ("10.0.0.1", 7000, "-")
    assert (four.host, four.port, four.primary) == ("fd00::4", 7000, "bb")


def test_urls_of_single_nodes() -> None:
    assert at("rediss://u:p%40w@h:1/0", Address("10.0.0.2", 7)) == "rediss://u:p%40w@10.0.0.2:7/0"
    assert at("redis://h:1", Address("fd00::4", 7)) == "redis://[fd00::4]:7"
