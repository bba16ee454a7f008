"""Presence changes as Server-Sent Events (docs/protocol.md, "Presence changes over HTTP")."""

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from tests.support.clients import WAIT_S, desktop, new_name
from tests.support.event_source import Event, listening
from tests.support.hub_process import HubProcess
from tests.support.hub_settings import NewHub
from tests.support.replays import until
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.hub_fixtures",)

MOST = 100
ESTABLISHED = "01"
"""In `/proc/net/tcp` (proc(5)): local address, remote address, state."""


@pytest.fixture(scope="module")
def eager_hub(server: ValkeyServer) -> Iterator[HubProcess]:
    """A hub that says often that a stream lives and cuts off slow readers soon, and whose Redis is away at times."""
    settings = {"HUB_REDIS_URL": server.url, "HUB_WRITE_STALL_S": "1", "HUB_OFFLINE_GRACE_S": "0"}
    hub = HubProcess(settings, command=[sys.executable, "-m", "tests.support.eager_hub"])
    try:
        yield hub.start()
    finally:
        hub.close()


def seen(event: Event) -> tuple[str, str, str]:
    return event.data["desktop_id"], event.data["state"], event.data["reason"]


async def test_changes_as_they_come(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with listening(hub) as service:
        assert service.response.headers["content-type"] == "text/event-stream"
        assert service.response.headers["cache-control"] == "no-store"
        await service.expect("place")
        async with desktop(hub, desktop_id, user) as agent:
            came = await service.expect("presence", desktop_id=desktop_id)
            await agent.leave("sleep")
        left = await service.expect("presence", desktop_id=desktop_id)
    assert (seen(came), seen(left)) == ((desktop_id, "online", ""), (desktop_id, "offline", "sleep"))
    entries = dict(hub.redis("XRANGE", "hub:presence", "-", "+"))
    for event in (came, left):
        assert event.data == {**entries[event.last_id], "at": int(entries[event.last_id]["at"])}


async def test_a_service_that_comes_back_misses_nothing(hub: HubProcess) -> None:
    """The place that it was told counts, too, if nothing came before it went."""
    user, desktop_id = new_name("u"), new_name("d")
    async with listening(hub) as service:
        place = (await service.expect("place")).last_id
    async with desktop(hub, desktop_id, user) as agent:
        await agent.leave("one")
    async with listening(hub, place) as service:
        came = await service.expect("presence", desktop_id=desktop_id)
        assert seen(came) == (desktop_id, "online", "")
        assert seen(await service.expect("presence", desktop_id=desktop_id)) == (desktop_id, "offline", "one")
    async with listening(hub, came.last_id) as service:
        left = await service.expect("presence", desktop_id=desktop_id)
        assert seen(left) == (desktop_id, "offline", "one")


async def test_what_is_no_longer_there_is_a_gap(hub: HubProcess) -> None:
    async with listening(hub, "1-1") as service:
        assert (await service.next()) == Event("gap", {"after": "1-1"}, "")


@pytest.mark.parametrize("last_id", ["", "x", "1", "-1-0", f"{2**64}-0"])
async def test_a_last_event_id_that_is_none(hub: HubProcess, last_id: str) -> None:
    async with listening(hub, last_id) as service:
        assert service.response.status_code == 400
        assert service.response.headers["content-type"] == "application/problem+json"


async def test_for_services_only(hub: HubProcess) -> None:
    for path in ("/internal/events", "/internal/nodes"):
        assert hub.get(path).status_code == 401
        assert hub.get(path, token=hub.mint.mobile("u")).status_code == 403


async def test_it_says_that_it_lives_and_ends_with_its_token(eager_hub: HubProcess) -> None:
    async with listening(eager_hub, token=eager_hub.mint.service(life_s=3)) as service:
        for _ in range(3):
            await service.expect(":")
        await service.expect("end")


async def test_it_ends_when_its_token_is_revoked(hub: HubProcess) -> None:
    jti = new_name("jti")
    token = hub.mint.sign(aud="internal", sub="tests", jti=jti, life_s=3600, age_s=0)
    async with listening(hub, token=token) as service:
        await service.expect("place")
        headers = {"Authorization": f"Bearer {hub.mint.service()}"}
        async with httpx.AsyncClient(trust_env=False, timeout=WAIT_S, verify=hub.tls) as client:
            revoked = await client.post(f"{hub.url}/internal/revoke", json={"jti": jti}, headers=headers)
        assert revoked.status_code == 200
        await service.expect("end")


async def test_redis_away_and_back(eager_hub: HubProcess, server: ValkeyServer) -> None:
    hub, user, before, after = eager_hub, new_name("u"), new_name("d"), new_name("d")
    async with listening(hub) as service, AsyncExitStack() as agents:
        await service.expect("place")
        await agents.enter_async_context(desktop(hub, before, user))
        await service.expect("presence", desktop_id=before)
        server.kill()
        await until(lambda: bool(hub.get("/readyz").json()["degraded"]))
        await agents.enter_async_context(desktop(hub, after, user))
        for _ in range(2):
            assert (await service.next()).kind == ":"
        server.start()
        assert seen(await service.expect("presence")) == (after, "online", "")
    assert "Traceback" not in hub.log, hub.log


async def test_no_more_than_so_many_streams(eager_hub: HubProcess) -> None:
    async with AsyncExitStack() as services:
        opening = [services.enter_async_context(listening(eager_hub)) for _ in range(MOST)]
        await asyncio.gather(*opening)
        refused = await asyncio.to_thread(eager_hub.get, "/internal/events", token=eager_hub.mint.service())
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert int(refused.headers["retry-after"]) > 0
    async with asyncio.timeout(WAIT_S):
        while True:
            async with listening(eager_hub) as service:
                if service.response.status_code == 200:
                    break


async def test_a_service_that_does_not_read_is_cut_off(eager_hub: HubProcess, server: ValkeyServer) -> None:
    hub = eager_hub
    fill = "for i = 1, 20000 do redis.call('XADD', KEYS[1], '*', unpack(ARGV)) end"
    fields = ("desktop_id", "d", "user_id", "u", "state", "offline", "reason", "x" * 100, "at", "1")
    server.say("EVAL", fill, 1, "hub:presence", *fields)
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.connect(("127.0.0.1", hub.port))
        headers = f"Host: hub\r\nAuthorization: Bearer {hub.mint.service()}\r\nLast-Event-ID: 0-0\r\n"
        link.sendall(f"GET /internal/events HTTP/1.1\r\n{headers}\r\n".encode())
        await until(lambda: held(hub, link))
        await until(lambda: not held(hub, link))
    async with listening(hub) as service:
        await service.expect("place")
    assert "Traceback" not in hub.log, hub.log
    server.say("DEL", "hub:presence")


def held(hub: HubProcess, link: socket.socket) -> bool:
    """Whether the hub's end of a connection is open, which its client can't see before it has read all."""
    ends = f":{hub.port:04X} ", f":{link.getsockname()[1]:04X} {ESTABLISHED} "
    lines = Path("/proc/net/tcp").read_text("ascii").splitlines()
    return any(ends[0] in line and ends[1] in line for line in lines)


async def test_a_drain_ends_it(new_hub: NewHub) -> None:
    hub = new_hub().start()
    async with listening(hub) as service:
        await service.expect("place")
        hub.signal(signal.SIGTERM)
        await service.expect("end")
    assert await asyncio.to_thread(hub.wait) == 0
    assert "Traceback" not in hub.log, hub.log
