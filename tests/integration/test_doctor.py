"""`hub doctor` against real servers that have something wrong, a real hub, and nobody at all."""

import json
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from hub.config import Settings, load_settings
from hub.doctor.checkup import examine
from hub.doctor.data_dir import look_at_data_dir
from hub.doctor.finding import Finding, Severity
from hub.doctor.port import check_port, look_at_port
from hub.doctor.redis import examine_redis
from hub.embedded_valkey import EmbeddedValkey
from tests.support.hub_process import HubProcess
from tests.support.presence import eventually
from tests.support.terminal import run
from tests.support.valkey import ValkeyServer

SECRET = "kR8vQ2mZ7xW4nB9tL3pY6cJ1hG5fD0sA8eU2iO7rT4w"
PASSWORD = "c4nary-pw"
CLUSTERED = ("--cluster-enabled", "yes", "--appendonly", "yes", "--bind", "127.0.0.1")

pytest_plugins = ("tests.support.valkey_fixtures",)


def settings(**variables: str) -> Settings:
    return load_settings({"HUB_JWT_SECRET": SECRET, "HUB_REDIS_TIMEOUT_MS": "5000", **variables})


async def ask(url: str) -> dict[str, Finding]:
    """What is found at a server: the worst of each kind."""
    found: dict[str, Finding] = {}
    for finding in await examine_redis(settings(HUB_REDIS_URL=url), url):
        if finding.about not in found or finding.severity > found[finding.about].severity:
            found[finding.about] = finding
    return found


async def test_a_server_as_it_should_be(frail_server: ValkeyServer) -> None:
    found = await ask(frail_server.url)
    wrong = {about: each for about, each in found.items() if each.severity > Severity.OK and about != "latency"}
    assert wrong == {}
    assert {"redis", "version", "eviction", "persistence", "latency", "memory", "role", "clock"} <= found.keys()


@pytest.mark.parametrize(
    ("parameter", "value", "about", "severity"),
    [
        ("maxmemory-policy", "allkeys-lru", "eviction", Severity.ERROR),
        ("appendonly", "no", "persistence", Severity.WARNING),
        ("appendfsync", "no", "persistence", Severity.WARNING),
        ("maxmemory", "1100000", "memory", Severity.ERROR),
        ("min-replicas-to-write", "1", "role", Severity.ERROR),
        ("maxclients", "5", "clients", Severity.WARNING),
    ],
)
async def test_a_bad_parameter_is_found(
    frail_server: ValkeyServer, parameter: str, value: str, about: str, severity: Severity
) -> None:
    frail_server.say("CONFIG", "SET", parameter, value)
    finding = (await ask(frail_server.url))[about]
    assert finding.severity is severity
    assert finding.advice


async def test_a_clock_that_is_ahead_is_found(frail_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = SimpleNamespace(time=lambda: time.time() - 100, perf_counter=time.perf_counter)
    monkeypatch.setattr("hub.doctor.redis_server.time", slow)
    finding = (await ask(frail_server.url))["clock"]
    assert finding.severity is Severity.ERROR
    assert "Redis is 100.0" in finding.found
    assert "ahead of" in finding.found


async def test_a_replica_is_found(frail_server: ValkeyServer) -> None:
    frail_server.say("REPLICAOF", "127.0.0.1", "1")
    found = await ask(frail_server.url)
    assert found["role"].severity is Severity.ERROR
    assert "127.0.0.1:1" in found["role"].found
    assert found["permissions"].severity is Severity.OK


async def test_nothing_is_changed(frail_server: ValkeyServer) -> None:
    frail_server.say("SCRIPT", "FLUSH")
    await ask(frail_server.url)
    assert frail_server.say("DBSIZE") == 0
    assert frail_server.say("INFO", "memory")["number_of_cached_scripts"] == 0
    ran = frail_server.say("INFO", "commandstats")
    writes = [name for name in ran if name.removeprefix("cmdstat_") in {"set", "hset", "xadd", "del", "zadd", "exec"}]
    assert writes == []


def account(server: ValkeyServer, *rules: str) -> str:
    """Make an account and return the URL that logs in as it."""
    server.say("ACL", "SETUSER", "hub", "reset", "on", f">{PASSWORD}", *rules)
    return server.url.replace("unix://", f"unix://hub:{PASSWORD}@")


@pytest.mark.parametrize(
    ("rules", "severity", "found"),
    [
        (["~hub:*", "&hub:*", "+@all", "-@admin"], Severity.OK, "allowed"),
        (["~hub:*", "&hub:*", "+@all", "-xadd", "-zpopmin"], Severity.ERROR, ": ZPOPMIN, XADD"),
        (["~hub:*", "&hub:*", "+@all", "-script|load"], Severity.ERROR, ": SCRIPT"),
        (["~hub:*", "+@all"], Severity.ERROR, ": SPUBLISH, SSUBSCRIBE"),
        (["~hub:{*", "&hub:*", "+@all"], Severity.ERROR, ": GET, SET, ZADD, XADD"),
        (["~hub:*", "&hub:*", "+@all", "-multi"], Severity.NOTE, "MULTI"),
    ],
)
async def test_an_account_that_may_too_little(
    frail_server: ValkeyServer, rules: list[str], severity: Severity, found: str
) -> None:
    finding = (await ask(account(frail_server, *rules)))["permissions"]
    assert frail_server.say("DBSIZE") == 0
    assert finding.severity is severity
    assert found in finding.found


async def test_an_account_that_may_not_ask_for_parameters_still_gets_answers(frail_server: ValkeyServer) -> None:
    found = await ask(account(frail_server, "~hub:*", "+@all", "-config"))
    assert found["persistence"].severity is Severity.NOTE
    assert found["eviction"].severity is Severity.OK


async def test_an_account_without_info_cannot_be_the_hubs(frail_server: ValkeyServer) -> None:
    found = await ask(account(frail_server, "~hub:*", "+@all", "-info"))
    assert "INFO is refused (NoPermissionError)" in found["redis"].found


async def test_a_wrong_password_is_an_error_that_does_not_show_it(frail_server: ValkeyServer) -> None:
    account(frail_server, "~hub:*", "+@all")
    finding = (await ask(frail_server.url.replace("unix://", "unix://hub:c4nary-wrong@")))["redis"]
    assert finding.severity is Severity.ERROR
    assert "c4nary" not in str(finding)


@pytest.fixture
def parrot() -> Iterator[str]:
    """The URL of something that is no Redis and quotes what it is sent."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak() -> None:
            link, _ = server.accept()
            with link:
                link.sendall(b"-ERR unknown command " + link.recv(4096).replace(b"\r\n", b" ") + b"\r\n")
                link.recv(4096)

        thread = threading.Thread(target=speak)
        thread.start()
        yield f"redis://:{PASSWORD}@127.0.0.1:{server.getsockname()[1]}"
        thread.join(10)


async def test_a_server_that_quotes_the_password_does_not_make_us_show_it(parrot: str) -> None:
    finding = (await ask(parrot))["redis"]
    assert finding.severity is Severity.ERROR
    assert "unknown command" in finding.found
    assert PASSWORD not in str(finding)


async def test_a_server_that_hangs_is_not_waited_for(
    frail_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.doctor.redis_conversation.ASK_S", 0.2)
    frail_server.signal(signal.SIGSTOP)
    assert "no answer within 0.2 s" in (await ask(frail_server.url))["redis"].found


async def test_a_server_that_is_slow_at_everything_is_given_up(
    frail_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.doctor.redis_server.VISIT_S", 0.01)
    assert "too slowly" in (await ask(frail_server.url))["redis"].found


async def test_nobody_there_is_an_error(tmp_path: Path) -> None:
    found = await ask(f"unix://{tmp_path}/none.sock")
    assert [each.severity for each in found.values()] == [Severity.ERROR]


async def test_a_cluster_that_is_not_whole_behind_the_wrong_url() -> None:
    server = ValkeyServer("--cluster-enabled", "yes", "--appendonly", "yes")
    server.start()
    try:
        findings = await examine_redis(settings(HUB_REDIS_URL=server.url), server.url)
    finally:
        server.close()
    said = [each.found for each in findings if each.about == "cluster" and each.severity is Severity.ERROR]
    assert ["a node of a cluster" in said[0], "16384 of 16384 slots" in said[1]] == [True, True]


def free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        return int(one.getsockname()[1]), int(two.getsockname()[1])


@pytest.fixture
async def two_primaries() -> AsyncIterator[tuple[ValkeyServer, ValkeyServer, int]]:
    """A cluster of two, and the port of the first."""
    ports = [free_ports(), free_ports()]
    servers = [ValkeyServer(*CLUSTERED, "--port", str(port), "--cluster-port", str(bus)) for port, bus in ports]
    try:
        for server, slots in zip(servers, ((0, 8191), (8192, 16383)), strict=True):
            server.start()
            server.say("CLUSTER", "ADDSLOTSRANGE", *slots)
        servers[0].say("CLUSTER", "MEET", "127.0.0.1", *ports[1])
        await eventually(lambda: all("cluster_state:ok" in str(each.say("CLUSTER", "INFO")) for each in servers), 20)
        yield servers[0], servers[1], ports[0][0]
    finally:
        for server in servers:
            server.close()


async def test_every_primary_of_a_cluster_is_asked(two_primaries: tuple[ValkeyServer, ValkeyServer, int]) -> None:
    _, second, port = two_primaries
    second.say("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    nobody, _ = free_ports()
    findings = await examine_redis(settings(), f"redis+cluster://127.0.0.1:{nobody},127.0.0.1:{port}")
    errors = [each.about for each in findings if each.severity is Severity.ERROR]
    assert len(errors) == 1
    assert errors[0].startswith("eviction of 127.0.0.1:")
    assert "state ok, 2 primaries" in next(each.found for each in findings if each.about == "cluster")


# -- this machine ------------------------------------------------------------------------------------------------------


@pytest.fixture
def listener() -> Iterator[Callable[[], int]]:
    """Listens on a free port of this machine, and says which; answers nobody."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield lambda: int(server.getsockname()[1])


async def test_a_port_that_is_taken_by_something_else(
    listener: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.doctor.port._ANSWER_S", 0.2)
    chosen = settings(HUB_PORT=str(listener()))
    (finding,) = check_port(chosen, await look_at_port(chosen))
    assert (finding.severity, "not by a hub" in finding.found) == (Severity.ERROR, True)


async def test_a_port_whose_last_connections_are_not_forgotten_yet_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            server.accept()[0].close()
            assert client.recv(1) == b""
    assert (await look_at_port(settings(HUB_PORT=str(port)))).fault == 0


async def test_a_host_that_is_not_ours() -> None:
    chosen = settings(HUB_HOST="192.0.2.1")
    (finding,) = check_port(chosen, await look_at_port(chosen))
    assert "no address of this machine" in finding.found


async def test_an_embedded_server_without_its_hub_is_seen(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    left = ValkeyServer("--dir", str(tmp_path / "data"), "--unixsocket", str(tmp_path / "data" / "valkey.sock"))
    left.launch("--appendonly", "yes")
    try:
        await eventually(lambda: look_at_data_dir(tmp_path / "data").listening, 10)
        findings = await examine(settings(HUB_DATA_DIR=str(tmp_path / "data"), HUB_PORT="0"))
    finally:
        left.close()
    assert "no hub is seen to hold it" in next(each.found for each in findings if each.about == "embedded Valkey")


async def test_the_embedded_server_is_asked_over_its_socket(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path / "data")
    valkey.start()
    try:
        await valkey.wait_ready(10)
        findings = await examine(settings(HUB_DATA_DIR=str(tmp_path / "data"), HUB_PORT="0"))
    finally:
        valkey.stop()
    assert any(each.about == "version" and "Valkey" in each.found for each in findings)
    assert [each for each in findings if each.severity is Severity.ERROR] == []


async def test_a_running_hub_is_recognised_and_not_disturbed() -> None:
    hub = HubProcess().start()
    try:
        done = await run(
            "doctor",
            "--json",
            HUB_JWT_SECRET=SECRET,
            HUB_PORT=str(hub.port),
            HUB_DATA_DIR=str(hub.folder / "data"),
            HUB_REDIS_TIMEOUT_MS="5000",
        )
        assert hub.get("/healthz").status_code == 200
        assert hub.stop() == 0
    finally:
        hub.close()
    told = json.loads(done.out)
    assert done.code == told["exit_code"] < 2
    found = {each["about"]: each["found"] for each in told["findings"]}
    assert "a hub runs there, alive" in found["port"]
    assert f"under a hub (process {hub.pid})" in found["embedded Valkey"]
    assert "Traceback" not in done.err
