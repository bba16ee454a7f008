"""What an orchestrator and an operator see: health, metrics, documentation, TLS, the command's ends."""

import re
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from tests.support.clients import desktop, mobile, new_name
from tests.support.hub_process import HubProcess
from tests.support.hub_settings import NewHub

pytest_plugins = ("tests.support.hub_fixtures",)

FAMILIES = {
    "hub_connections",
    "hub_messages_total",
    "hub_closes_total",
    "hub_refused_handshakes_total",
    "hub_inbox_frames",
    "hub_inbox_bytes",
    "hub_relay_seconds",
    "hub_redis_available",
    "hub_presence_lag_seconds",
}


def test_health_and_readiness(hub: HubProcess) -> None:
    alive = hub.get("/healthz")
    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    ready = hub.get("/readyz")
    assert ready.status_code == 200
    body = ready.json()
    assert body.pop("node_id")
    assert body == {"status": "ready", "redis": "here", "degraded": False}


async def test_metrics_count_what_happens(hub: HubProcess) -> None:
    page = hub.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    assert set(re.findall(r"^# TYPE (\S+)", page.text, re.MULTILINE)) >= FAMILIES
    assert not re.findall(r"^(?!#)(?!\w+(\{[^}]*\})? [-+.\w]+$).+", page.text, re.MULTILINE)
    user = new_name("u")
    relayed = hub.metric("hub_messages_total", outcome="relayed", type="agent:status")
    refused = hub.metric("hub_messages_total", outcome="type_not_allowed", type="welcome")
    handed_over = hub.metric("hub_relay_seconds_count")
    async with mobile(hub, user) as phone, desktop(hub, new_name("d"), user) as agent:
        for _ in range(3):
            await agent.send("agent:status")
            await phone.expect("agent:status")
        await agent.send("welcome")
        await agent.expect("error")
        assert hub.metric("hub_connections", kind="desktop") == hub.metric("hub_connections", kind="mobile") == 1
    assert hub.metric("hub_messages_total", outcome="relayed", type="agent:status") == relayed + 3
    assert hub.metric("hub_messages_total", outcome="type_not_allowed", type="welcome") == refused + 1
    assert hub.metric("hub_relay_seconds_count") >= handed_over + 3
    assert hub.metric("hub_relay_seconds_bucket", le="+Inf") == hub.metric("hub_relay_seconds_count")
    assert hub.metric("hub_redis_available") == 1


def test_the_interface_is_documented(hub: HubProcess) -> None:
    assert hub.get("/docs").status_code in (200, 301, 302)
    paths = hub.get("/docs/openapi.json").json()["paths"]
    assert {"/healthz", "/readyz", "/metrics", "/internal/presence/query"} <= set(paths)


@pytest.mark.parametrize("path", ["/nowhere", "/internal/nowhere", "/ws"])
def test_what_is_not_there_is_a_problem(hub: HubProcess, path: str) -> None:
    answer = hub.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["code"] == "not_found"


async def test_wss_and_https(new_hub: NewHub, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    for number, part in enumerate(certificate.cert_chain_pems):
        part.write_to_path(tmp_path / "chain.pem", append=number > 0)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    settings = {"HUB_TLS_CERT": str(tmp_path / "chain.pem"), "HUB_TLS_KEY": str(tmp_path / "key.pem")}
    hub: HubProcess = new_hub(settings, tls=trust).start()
    assert hub.url.startswith("https://127.0.0.1:")
    assert hub.get("/healthz").status_code == 200
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(hub, desktop_id, user) as agent, mobile(hub, user) as phone:
        await agent.send("agent:response", {"text": "x" * 900_000})
        assert len((await phone.expect("agent:response")).payload["text"]) == 900_000
        await phone.send("user:message", {"desktop_id": desktop_id})
        await agent.expect("user:message")
    assert hub.stop() == 0
    assert "Traceback" not in hub.log, hub.log


def test_an_address_that_is_taken_and_a_data_dir_in_use_end_the_start_with_one_line(
    hub: HubProcess, new_hub: NewHub
) -> None:
    for settings, text in (
        ({"HUB_PORT": str(hub.port)}, "ddress already in use"),
        ({"HUB_DATA_DIR": str(hub.folder / "data")}, "another hub uses"),
    ):
        second: HubProcess = new_hub(settings)
        second.launch()
        assert second.wait() == 1
        said = second.log.splitlines()[-1]
        assert said.startswith("hub serve: ")
        assert text in said
        assert "Traceback" not in second.log


def test_settings_that_are_no_good_end_the_start_with_exit_code_2() -> None:
    script = str(Path(sys.executable).with_name("hub"))
    broken = {
        "HUB_JWT_SECRET": "short",
        "HUB_HEARTBEAT_TIMEOUT_S": "10",
        "HUB_HEARTBEAT_INTERVAL_S": "9",
        "HUB_PRT": "1",
    }
    ended = subprocess.run([script, "serve"], env=broken, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    lines = ended.stderr.splitlines()
    for name in ("HUB_JWT_SECRET", "HUB_HEARTBEAT_TIMEOUT_S", "HUB_PRT"):
        assert sum(line.startswith(name) for line in lines) == 1
    assert "short" not in ended.stderr.replace("too short", "")
