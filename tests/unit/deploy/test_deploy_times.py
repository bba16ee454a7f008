"""The times that deploy/ gives fit those of the hub, by the rules of docs/operations.md, "Stopping" and elsewhere."""

import re

import pytest

from hub.config import Settings
from tests.support.deploy_files import base, directives, document, seconds, variables

SETTINGS = Settings(jwt_secret="s" * 32)  # type: ignore[arg-type]  # as it comes from the environment
REDIS_HANGS_S = 10.0
"""What may be needed on top of the drain deadline (docs/operations.md, "Stopping")."""
START_S = 40.0
"""How long a start may take (docs/operations.md, "Health and readiness")."""
QUIET_S = max(SETTINGS.heartbeat_interval_s, SETTINGS.ping_interval_s)
"""How long a healthy connection may be silent."""


def drain_s(environment: dict[str, str] | None = None) -> float:
    """How long a stop takes at most."""
    set_s = (environment or {}).get("HUB_DRAIN_DEADLINE_S")
    return (SETTINGS.drain_deadline_s if set_s is None else float(set_s)) + REDIS_HANGS_S


@pytest.mark.parametrize("file", ["compose.yaml", "compose.cluster.yaml"])
def test_compose_waits_for_the_drain(file: str) -> None:
    for service, parts in document(file)["services"].items():
        if service.startswith("hub"):
            assert seconds(parts["stop_grace_period"]) >= drain_s(parts["environment"])


def test_systemd_waits_for_the_drain_and_signals_the_hub_alone() -> None:
    unit = "systemd/tether-hub.service"
    [wait] = directives(unit, "TimeoutStopSec")
    assert seconds(wait) >= drain_s(variables("systemd/hub.env"))
    assert directives(unit, "KillSignal") == ["SIGTERM"]
    assert directives(unit, "KillMode") == ["mixed"]


def test_kubernetes_waits_for_the_drain_after_the_traffic_has_been_turned_away() -> None:
    pod = base("Deployment")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    program, pause = container["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    drain = drain_s(variables("kubernetes/base/settings.env"))
    assert pod["terminationGracePeriodSeconds"] >= float(pause) + drain
    readiness = container["readinessProbe"]
    assert float(pause) >= readiness["periodSeconds"] * readiness["failureThreshold"]


def test_kubernetes_gives_a_start_its_time_and_a_stuck_hub_little() -> None:
    [container] = base("Deployment")["spec"]["template"]["spec"]["containers"]
    start, live = container["startupProbe"], container["livenessProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] >= START_S
    assert live["periodSeconds"] * live["failureThreshold"] <= 30
    paths = {probe: container[probe]["httpGet"]["path"] for probe in container if probe.endswith("Probe")}
    assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}


def test_a_rolling_update_waits_until_those_who_left_are_back() -> None:
    assert base("Deployment")["spec"]["minReadySeconds"] >= SETTINGS.drain_spread_s


def test_the_autoscaler_leaves_room_for_a_hub_that_is_lost() -> None:
    spec = base("HorizontalPodAutoscaler")["spec"]
    [metric] = spec["metrics"]
    target = int(metric["pods"]["target"]["averageValue"])
    room = int(variables("kubernetes/base/settings.env")["HUB_MAX_CONNECTIONS"])
    assert spec["minReplicas"] >= 2
    assert target * spec["minReplicas"] <= room * (spec["minReplicas"] - 1)


@pytest.mark.parametrize("directive", ["proxy_read_timeout", "proxy_send_timeout"])
def test_nginx_lets_healthy_connections_be_silent(directive: str) -> None:
    [timeout] = directives("nginx/hub.conf", directive)
    assert seconds(timeout) >= 2 * QUIET_S


def test_haproxy_lets_healthy_connections_be_silent() -> None:
    [timeout] = directives("haproxy/haproxy.cfg", "timeout tunnel")
    assert seconds(timeout) >= 2 * QUIET_S


def test_the_ingress_lets_healthy_connections_be_silent() -> None:
    annotations = document("kubernetes/overlays/example/ingress.yaml")["metadata"]["annotations"]
    for way in ("read", "send"):
        assert float(annotations[f"nginx.ingress.kubernetes.io/proxy-{way}-timeout"]) >= 2 * QUIET_S


def test_proxies_ask_the_next_hub_on_503_for_upgrades_only() -> None:
    [retried] = directives("nginx/hub.conf", "proxy_next_upstream")
    assert retried.split() == ["error", "timeout", "http_503"]
    [exempt] = directives("haproxy/haproxy.cfg", "http-request disable-l7-retry")
    assert exempt == "unless { req.hdr(Upgrade) -i websocket }"
    assert "503" in directives("haproxy/haproxy.cfg", "retry-on")[0].split()


def test_proxies_pass_on_the_two_paths_of_clients_and_no_other() -> None:
    """Weaker than the real proxies of test_deploy_traffic.py, and here where those can't be had."""
    assert len(directives("nginx/hub.conf", "proxy_pass")) == 1
    locations = directives("nginx/hub.conf", "location")
    assert [re.sub(r" \{$", "", location) for location in locations] == [
        "~ ^/ws/(desktop|mobile)$",
        "= /proxy-healthz",
        "/",
    ]
    assert "deny deny_status 404 unless { path /ws/desktop /ws/mobile }" in directives(
        "haproxy/haproxy.cfg", "http-request"
    )
