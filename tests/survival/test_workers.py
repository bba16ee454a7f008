"""`HUB_WORKERS=2`: real workers that are killed, stopped, paused and replaced (docs/operations.md, "Workers")."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.clients import Close, Peer, desktop, mobile, new_name
from tests.support.hub_process import HubProcess
from tests.support.hub_settings import NewHub
from tests.support.raw import raw_mobile
from tests.support.worker_hub import all_gone, ask, ask_often, is_gone, log_says, private_folder, worker_pids

pytest_plugins = ("tests.support.hub_fixtures",)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

RESTARTING = Close(1012, "restarting")
TWO = {"HUB_WORKERS": "2", "HUB_RATE_LIMIT": "off", "HUB_DRAIN_SPREAD_S": "0"}


@pytest.fixture(scope="module")
def pair() -> Iterator[HubProcess]:
    """A hub of two workers, which tests may kill and replace, but not stop: one SIGTERM must end it all the same."""
    hub = HubProcess(TWO)
    try:
        yield hub.start()
        folder = private_folder(hub)
        assert hub.stop() == 0
        assert not folder.exists()
        assert hub.log.count("Tether Hub is up at") == 1
    finally:
        hub.close()


async def crowd(hub: HubProcess, stack: AsyncExitStack, phones: int = 16) -> list[Peer]:
    """Phones on both workers, each of a user of its own."""
    return [await stack.enter_async_context(mobile(hub, new_name("u"))) for _ in range(phones)]


async def partings(phones: list[Peer]) -> list[tuple[bool, Close]]:
    """How each was parted with: whether it was told goodbye, and its close."""
    ends = await asyncio.gather(*(phone.last_words() for phone in phones))
    return [("goodbye" in [message.type for message in came], closed) for came, closed in ends]


async def broken(phones: list[Peer]) -> int:
    """How many of them have lost their link."""
    lost = 0
    for phone in phones:
        try:
            await phone.sync()
        except Exception:  # noqa: BLE001 - whatever the library says of a broken link
            lost += 1
    return lost


async def test_connections_are_spread_evenly(pair: HubProcess) -> None:
    nodes = Counter(answer.node_id for answer in await ask_often(pair, 600))
    assert len(nodes) == 2
    assert all(abs(times - 300) <= 0.2 * 300 for times in nodes.values()), nodes


async def test_desktop_and_phone_of_one_worker_talk(pair: HubProcess) -> None:
    async with AsyncExitStack() as stack:
        user = new_name("u")
        agents = [await stack.enter_async_context(desktop(pair, new_name("d"), user)) for _ in range(20)]
        phone = await stack.enter_async_context(mobile(pair, user))
        for number, agent in enumerate(agents):
            await agent.send("agent:response", {"n": number})
        assert (await phone.expect("agent:response")).payload["n"] in range(20)


@pytest.mark.hostile
async def test_a_killed_worker_is_back_within_5_s_and_nobody_else_notices(pair: HubProcess) -> None:
    await log_says(pair, "Tether Hub is up")
    before = worker_pids(pair)
    nodes = {answer.node_id for answer in await ask_often(pair, 40)}
    victim = min(before)
    async with AsyncExitStack() as stack:
        phones = await crowd(pair, stack)
        os.kill(before[victim], signal.SIGKILL)
        begun = time.monotonic()
        meanwhile = await ask_often(pair, 40, at_once=40)
        assert time.monotonic() - begun < 5
        assert {answer.status for answer in meanwhile} == {200}, "nobody who comes meanwhile is refused"
        assert 0 < await broken(phones) < len(phones)
    after = worker_pids(pair)
    assert after.keys() == before.keys()
    assert [number for number in after if after[number] != before[number]] == [victim]
    now = {answer.node_id for answer in meanwhile}
    assert len(now - nodes) == len(now & nodes) == 1
    assert (now - nodes).pop().split("/")[0] == (nodes - now).pop().split("/")[0]


async def test_a_rolling_restart_drops_nobody_without_goodbye_and_refuses_no_connection(pair: HubProcess) -> None:
    before = worker_pids(pair)
    rounds = pair.log.count("all workers have been replaced")
    async with AsyncExitStack() as stack:
        phones = await crowd(pair, stack)
        parting = asyncio.create_task(partings(phones))
        pair.signal(signal.SIGHUP)
        statuses = Counter[int]()
        while pair.log.count("all workers have been replaced") == rounds:
            statuses[(await ask(pair)).status] += 1
            assert len(worker_pids(pair)) <= 3
        assert statuses.keys() <= {200, 503}
        assert statuses[503] <= len(before), "whose request was on its way when its worker began to leave"
        assert await parting == [(True, RESTARTING)] * len(phones)
    after = worker_pids(pair)
    assert all(map(is_gone, before.values()))
    assert len(after) == 2
    left = {path.name for path in private_folder(pair).iterdir()}
    assert left == {f"{number}.{end}" for number in after for end in ("sock", "in")}


async def test_valkey_is_started_again_when_it_dies(pair: HubProcess) -> None:
    server = int(pair.redis("INFO", "server")["process_id"])
    os.kill(server, signal.SIGKILL)
    await all_gone([server])
    async with asyncio.timeout(15):
        while httpx.get(f"{pair.url}/readyz", trust_env=False).json()["degraded"]:
            await asyncio.sleep(0.05)
        while (await asyncio.to_thread(_server_pid, pair)) in (server, None):
            await asyncio.sleep(0.05)


def _server_pid(hub: HubProcess) -> int | None:
    try:
        return int(hub.redis("INFO", "server")["process_id"])
    except Exception:  # noqa: BLE001 - redis-py's own kinds, while it starts
        return None


async def test_whichever_worker_is_asked_tells_the_figures_of_all(pair: HubProcess) -> None:
    async with AsyncExitStack() as stack:
        phones = await crowd(pair, stack)
        await asyncio.gather(*(phone.sync() for phone in phones))
        pages = [pair.get("/metrics").text for _ in range(4)]
        for page in pages:
            families = list(text_string_to_metric_families(page))
            assert len({family.name for family in families}) == len(families)
            samples = [sample for family in families for sample in family.samples]
            mobiles = [s for s in samples if s.name == "hub_connections" and s.labels["kind"] == "mobile"]
            assert {s.labels["worker"] for s in mobiles} == set(map(str, worker_pids(pair)))
            assert sum(s.value for s in mobiles) == len(phones)
            assert {s.name for s in samples if "worker" not in s.labels} == {"hub_workers_silent"}
            assert [s.value for s in samples if s.name == "hub_workers_silent"] == [0]


@pytest.mark.hostile
async def test_a_worker_that_hangs_is_left_out_of_the_figures_and_counted(pair: HubProcess) -> None:
    async with httpx.AsyncClient(base_url=pair.url, trust_env=False, timeout=10) as client:
        node_id = (await client.get("/readyz")).json()["node_id"]
        asked = int(node_id.partition("/")[0].rpartition(".")[2])
        [(hanging, pid)] = [(number, pid) for number, pid in worker_pids(pair).items() if number != asked]
        os.kill(pid, signal.SIGSTOP)
        try:
            begun = time.monotonic()
            page = (await client.get("/metrics")).text
            assert time.monotonic() - begun < 3
        finally:
            os.kill(pid, signal.SIGCONT)
    assert "hub_workers_silent 1.0\n" in page
    assert f'worker="{asked}"' in page
    assert f'worker="{hanging}"' not in page


async def test_a_worker_alone_tells_its_figures_as_ever(new_hub: NewHub) -> None:
    hub: HubProcess = new_hub({"HUB_WORKERS": "1"}).start()
    assert "worker" not in hub.get("/metrics").text
    hub.signal(signal.SIGHUP)
    assert hub.wait() == 0
    assert "draining" in hub.log


async def test_sigterm_says_goodbye_on_all_workers_and_a_second_one_hurries_them(new_hub: NewHub) -> None:
    hub: HubProcess = new_hub(TWO | {"HUB_CLOSE_DEADLINE_S": "60", "HUB_DRAIN_DEADLINE_S": "60"}).start()
    pids, folder = list(worker_pids(hub).values()), private_folder(hub)
    assert folder.stat().st_mode & 0o777 == 0o700
    async with AsyncExitStack() as stack:
        phones = await crowd(hub, stack)
        deaf = [await stack.enter_async_context(raw_mobile(hub, new_name("u"))) for _ in range(8)]
        parting = asyncio.create_task(partings(phones))
        hub.signal(signal.SIGTERM)
        assert await parting == [(True, RESTARTING)] * len(phones)
        await asyncio.gather(*(phone.expect("goodbye") for phone in deaf))
        assert hub.running, "somebody hasn't answered yet"
        begun = time.monotonic()
        hub.signal(signal.SIGINT)
        assert await asyncio.to_thread(hub.wait) == 0
        assert time.monotonic() - begun < 8
    assert all(map(is_gone, pids))
    assert not folder.exists()
    assert "Traceback" not in hub.log, hub.log


@pytest.mark.hostile
async def test_workers_of_a_killed_parent_say_goodbye_and_end(new_hub: NewHub) -> None:
    hub: HubProcess = new_hub(TWO).start()
    pids, folder = list(worker_pids(hub).values()), private_folder(hub)
    async with AsyncExitStack() as stack:
        phones = await crowd(hub, stack)
        parting = asyncio.create_task(partings(phones))
        hub.kill()
        assert await parting == [(True, RESTARTING)] * len(phones)
    await all_gone(pids, 10)
    assert not folder.exists()
    with socket.create_server(("127.0.0.1", hub.port)):
        pass


async def test_a_worker_that_cannot_start_again_leaves_all_connections_to_the_others(
    new_hub: NewHub, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": []}))
    hub: HubProcess = new_hub(TWO | {"HUB_JWT_SECRET": "", "HUB_JWT_JWKS": str(keys)}).start()
    keys.rename(tmp_path / "elsewhere")
    hub.signal(signal.SIGHUP)
    await log_says(hub, "no more workers are replaced, because one did not start: HUB_JWT_JWKS")
    assert worker_pids(hub).keys() == {0, 1}
    os.kill(worker_pids(hub)[0], signal.SIGKILL)
    await log_says(hub, "worker 0 did not start: HUB_JWT_JWKS")
    answers = await ask_often(hub, 40)
    assert len({answer.node_id for answer in answers}) == 1
    (tmp_path / "elsewhere").rename(keys)
    await log_says(hub, "worker 0 is back")
    assert len({answer.node_id for answer in await ask_often(hub, 40)}) == 2


async def test_what_keeps_workers_from_starting_ends_the_start_with_one_line(
    pair: HubProcess, new_hub: NewHub, tmp_path: Path
) -> None:
    no_key = tmp_path / "no-key.pem"
    no_key.write_text("nothing")
    taken: HubProcess = new_hub(TWO | {"HUB_PORT": str(pair.port)})
    keyless: HubProcess = new_hub(TWO | {"HUB_TLS_CERT": str(no_key), "HUB_TLS_KEY": str(no_key)})
    for hub in (taken, keyless):
        hub.launch()
    for hub, text in ((taken, "ddress already in use"), (keyless, "PEM")):
        assert await asyncio.to_thread(hub.wait) == 1
        said = [line for line in hub.log.splitlines() if line.startswith("hub serve: ")]
        assert len(said) == 1, hub.log
        assert text in said[0]
        assert "Traceback" not in hub.log
