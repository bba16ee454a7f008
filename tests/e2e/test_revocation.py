"""Tokens taken back: closed everywhere within a second, refused from then on, through Redis' absences."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.support.clients import WAIT_S, Close, Peer, connection, desktop, mobile, new_name, welcomed
from tests.support.hub_process import HubProcess
from tests.support.hub_settings import NewHub
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.hub_fixtures",)

WITHIN_S = 1.0
SLOW_S = 0.5
"""How late things may be on a busy machine, on top."""

REVOKED = Close(4001, "token_invalid")
ANEW_S = -1
"""`age_s` of a token that is issued after what was revoked just now."""


class Pair(NamedTuple):
    """Two nodes on one Redis, with one secret."""

    here: HubProcess
    there: HubProcess
    server: ValkeyServer


def _another(new_hub: NewHub, pair: Pair, **settings: str) -> HubProcess:
    """One more node, not started yet."""
    hub: HubProcess = new_hub(_settings(pair.server, pair.here.mint.secret) | settings)
    hub.mint = pair.here.mint
    return hub


def _settings(server: ValkeyServer, secret: str) -> dict[str, str]:
    return {
        "HUB_REDIS_URL": server.url,
        "HUB_JWT_SECRET": secret,
        "HUB_NODE_NAME": new_name("node"),
        "HUB_OFFLINE_GRACE_S": "5",
    }


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Don't harm it, and use names of your own."""
    server = ValkeyServer()
    server.start()
    first = HubProcess({"HUB_REDIS_URL": server.url})
    second = HubProcess(_settings(server, first.mint.secret))
    second.mint = first.mint
    try:
        yield Pair(first.start(HUB_NODE_NAME="first"), second.start(), server)
    finally:
        first.close()
        second.close()
        server.close()


@pytest.fixture
def frail_pair(new_hub: NewHub) -> Iterator[Pair]:
    """Its Valkey may be harmed; it has an append-only file."""
    server = ValkeyServer("--appendonly", "yes")
    server.start()
    first: HubProcess = new_hub({"HUB_REDIS_URL": server.url, "HUB_NODE_NAME": "first"})
    second: HubProcess = new_hub(_settings(server, first.mint.secret))
    second.mint = first.mint
    yield Pair(first.start(), second.start(), server)
    server.close()


async def ask(hub: HubProcess, token: str | None = None, **body: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token or hub.mint.service()}"}
    async with httpx.AsyncClient(trust_env=False, timeout=10, verify=hub.tls) as client:
        return await client.post(f"{hub.url}/internal/revoke", headers=headers, content=json.dumps(body))


async def revoke(hub: HubProcess, **body: Any) -> int:
    """Revoke, and return how many connections were closed on that node."""
    answer = await ask(hub, **body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["id"]
    return int(answer.json()["revoked"])


async def closed_in_time(*peers: Peer) -> None:
    begun = time.monotonic()
    assert await asyncio.gather(*(peer.closed() for peer in peers)) == [REVOKED] * len(peers)
    assert time.monotonic() - begun < WITHIN_S + SLOW_S


async def until(holds: Callable[[], bool]) -> float:
    begun = time.monotonic()
    async with asyncio.timeout(WAIT_S):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.02)
    return time.monotonic() - begun


async def refused(hub: HubProcess, path: str, token: str) -> bool:
    try:
        async with connection(hub, path, token=token) as peer:
            await welcomed(peer)
            return False
    except InvalidStatus as error:
        response = error.response
    problem = json.loads(response.body)
    assert (response.status_code, problem["code"]) == (401, "token_invalid")
    assert "revoked" in problem["detail"]
    assert token not in response.body.decode()
    return True


async def known_to(hub: HubProcess, path: str, token: str) -> None:
    """Wait until a node refuses the token, a second at most."""
    begun = time.monotonic()
    while not await refused(hub, path, token):
        assert time.monotonic() - begun < WITHIN_S + SLOW_S
        await asyncio.sleep(0.02)


async def lives(peer: Peer) -> None:
    assert not [message for message in await peer.sync() if message.type == "error"]


@pytest.mark.hostile
async def test_one_token_on_whatever_node_its_connection_is(pair: Pair) -> None:
    user, jti = new_name("u"), new_name("jti")
    token = pair.here.mint.mobile(user, jti=jti)
    async with (
        connection(pair.there, "/ws/mobile", token=token) as stolen,
        mobile(pair.there, user, jti=new_name("jti")) as own,
        mobile(pair.there, user) as nameless,
    ):
        await welcomed(stolen)
        assert await revoke(pair.here, jti=jti) == 0
        await closed_in_time(stolen)
        for hub in (pair.here, pair.there):
            assert await refused(hub, "/ws/mobile", token)
        await lives(own)
        await lives(nameless)


@pytest.mark.hostile
async def test_a_desktop_and_what_its_phones_see(pair: Pair) -> None:
    user, lost, kept = new_name("u"), new_name("d"), new_name("d")
    token = pair.here.mint.desktop(lost, user)
    async with (
        connection(pair.here, "/ws/desktop", token=token) as agent,
        desktop(pair.here, kept, user) as other,
        mobile(pair.here, user) as phone,
    ):
        await welcomed(agent)
        begun = time.monotonic()
        assert await revoke(pair.here, desktop_id=lost) == 1
        # At once: no offline grace of 5 s.
        await phone.expect("desktop:offline", desktop_id=lost, reason="revoked")
        await closed_in_time(agent)
        assert time.monotonic() - begun < WITHIN_S + SLOW_S
        await other.send("agent:status")
        await phone.expect("agent:status")
        assert await refused(pair.here, "/ws/desktop", token)
        await known_to(pair.there, "/ws/desktop", token)
        async with desktop(pair.here, lost, user, age_s=ANEW_S):
            await phone.expect("desktop:online", desktop_id=lost)


@pytest.mark.hostile
async def test_a_user_on_both_nodes_and_back_with_new_tokens(pair: Pair) -> None:
    user, here, there, stranger = new_name("u"), new_name("d"), new_name("d"), new_name("u")
    old = pair.here.mint.mobile(user)
    async with (
        mobile(pair.here, user) as phone,
        desktop(pair.here, here, user) as agent,
        mobile(pair.there, user, device_id="tablet") as tablet,
        desktop(pair.there, there, user) as server,
        mobile(pair.there, stranger) as other,
    ):
        assert await revoke(pair.here, user_id=user) == 2
        await closed_in_time(phone, agent, tablet, server)
        await lives(other)
    for hub in (pair.here, pair.there):
        assert await refused(hub, "/ws/mobile", old)
        async with mobile(hub, user, age_s=ANEW_S) as back, desktop(hub, here, user, age_s=ANEW_S) as agent:
            await lives(back)
            await lives(agent)


@pytest.mark.hostile
async def test_one_device_of_a_user(pair: Pair) -> None:
    user = new_name("u")
    async with (
        mobile(pair.there, user, device_id="lost") as lost,
        mobile(pair.there, user, device_id="kept") as kept,
        mobile(pair.there, new_name("u"), device_id="lost") as other,
        mobile(pair.there, user) as nameless,
    ):
        assert await revoke(pair.there, device_id="lost", user_id=user) == 1
        await closed_in_time(lost)
        for peer in (kept, other, nameless):
            await lives(peer)


@pytest.mark.hostile
async def test_a_revoked_token_doesnt_refresh_and_its_connection_goes_on(pair: Pair) -> None:
    user, jti = new_name("u"), new_name("jti")
    async with mobile(pair.here, user, jti=new_name("jti")) as phone:
        assert await revoke(pair.here, jti=jti) == 0
        token = pair.here.mint.mobile(user, jti=jti)
        await phone.send("auth:refresh", {"token": token}, message_id="m")
        error = await phone.expect("error", message_id="m")
        assert error.payload["code"] == "token_invalid"
        assert token not in error.text
        await lives(phone)


async def test_a_browser_is_told_after_the_upgrade(pair: Pair) -> None:
    jti = new_name("jti")
    token = pair.here.mint.mobile(new_name("u"), jti=jti)
    await revoke(pair.here, jti=jti)
    async with connection(pair.here, "/ws/mobile", subprotocols=["hub.v1", f"bearer.{token}"]) as browser:
        said, closed = await browser.last_words()
        assert [(message.type, message.payload["code"]) for message in said] == [("error", "token_invalid")]
        assert closed == REVOKED


@pytest.mark.hostile
async def test_a_services_token(pair: Pair) -> None:
    jti = new_name("jti")
    token = pair.here.mint.sign(aud="internal", sub="leaky", life_s=60, age_s=0, jti=jti)
    path = "/internal/presence/desktops/nowhere"
    assert (await asyncio.to_thread(pair.here.get, path, token=token)).status_code == 200
    await revoke(pair.here, jti=jti)
    answer = await asyncio.to_thread(pair.here.get, path, token=token)
    assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")
    assert (await ask(pair.here, token, jti="another")).status_code == 401


async def test_a_node_that_starts_later_knows_it_before_it_is_ready(pair: Pair, new_hub: NewHub) -> None:
    user = new_name("u")
    token = pair.here.mint.mobile(user)
    await revoke(pair.here, user_id=user)
    late = _another(new_hub, pair).start()
    assert late.metric("hub_revocations_known") == 1
    assert late.metric("hub_revocations") >= 1
    assert await refused(late, "/ws/mobile", token)


async def test_a_token_that_lives_longer_than_its_revocation_is_good_again(pair: Pair, new_hub: NewHub) -> None:
    hub = _another(new_hub, pair, HUB_REVOCATION_TTL_S="1", HUB_JWT_LEEWAY_S="0").start()
    jti = new_name("jti")
    token = pair.here.mint.mobile(new_name("u"), jti=jti)
    answer = await ask(hub, jti=jti, expires_at=(int(time.time()) + 3600) * 1000)
    assert abs(answer.json()["expires_at"] / 1000 - time.time() - 1) < WITHIN_S
    assert await refused(hub, "/ws/mobile", token)
    async with asyncio.timeout(WAIT_S):
        while await refused(hub, "/ws/mobile", token):
            await asyncio.sleep(0.1)


@pytest.mark.hostile
async def test_while_redis_is_away_it_holds_here_and_everywhere_when_it_is_back(frail_pair: Pair) -> None:
    here, there, server = frail_pair
    user = new_name("u")
    token = here.mint.mobile(user)
    async with mobile(here, user) as near, mobile(there, user) as far, mobile(here, new_name("u")) as other:
        server.kill()
        await until(lambda: there.metric("hub_revocations_known") == 0)
        answer = await ask(here, user_id=user)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["Retry-After"]
        await closed_in_time(near)
        assert await refused(here, "/ws/mobile", token)
        assert here.metric("hub_revocations_unwritten") == 1
        await lives(far)
        server.start()
        await closed_in_time(far)
        assert await refused(there, "/ws/mobile", token)
        await until(lambda: here.metric("hub_revocations_unwritten") == 0)
        await lives(other)


@pytest.mark.hostile
async def test_a_node_that_starts_without_redis_admits_and_closes_when_it_is_back(
    frail_pair: Pair, new_hub: NewHub
) -> None:
    user = new_name("u")
    token = frail_pair.here.mint.mobile(user)
    await revoke(frail_pair.here, user_id=user)
    frail_pair.server.kill()
    late = _another(new_hub, frail_pair).start()
    assert late.metric("hub_revocations_known") == 0
    async with connection(late, "/ws/mobile", token=token) as phone:
        await welcomed(phone)
        frail_pair.server.start()
        await closed_in_time(phone)
    assert await refused(late, "/ws/mobile", token)
    assert late.metric("hub_revocations_known") == 1
