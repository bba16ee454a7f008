"""Who is let in, how the others are told, before the upgrade and after it (docs/protocol.md, "Tokens")."""

import asyncio
import json
import time

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.clients import WAIT_S, connection, new_name, welcomed
from tests.support.hub_process import HubProcess
from tests.support.hub_settings import PAGE, NewHub
from tests.support.raw import raw_client
from tests.support.tokens import Minter

pytest_plugins = ("tests.support.hub_fixtures",)

PATHS = {"desktop": "/ws/desktop", "mobile": "/ws/mobile"}
REFUSALS = [
    ("forged", 401, "token_invalid", 4001),
    ("junk", 401, "token_invalid", 4001),
    ("expired", 401, "token_expired", 4201),
    ("of the other kind", 403, "forbidden", 4003),
    ("of a service", 403, "forbidden", 4003),
]


def good_token(hub: HubProcess, side: str) -> str:
    return hub.mint.desktop(new_name("d"), new_name("u")) if side == "desktop" else hub.mint.mobile(new_name("u"))


def bad_token(hub: HubProcess, side: str, fault: str) -> str:
    match fault:
        case "forged":
            return Minter("another secret, just as long as it has to be").mobile("u")
        case "expired" if side == "desktop":
            return hub.mint.desktop("d", "u", life_s=-60)
        case "expired":
            return hub.mint.mobile("u", life_s=-60)
        case "of the other kind":
            return good_token(hub, "mobile" if side == "desktop" else "desktop")
        case "of a service":
            return hub.mint.service()
        case _:
            return "not.a.token"


async def answer(hub: HubProcess, path: str, headers: dict[str, str]) -> httpx.Response:
    """What the hub answers to an upgrade request that it doesn't grant."""
    async with raw_client(hub.port) as client:
        status, *lines = (await client.upgrade(path, headers)).decode().split("\r\n")
        fields = [line.split(": ", 1) for line in lines]
        size = int(dict(fields).get("content-length", 0))
        body = client.buffered
        while len(body) < size:
            body += await client.read()
        return httpx.Response(int(status.split()[1]), headers=[(name, text) for name, text in fields], content=body)


def check_problem(response: httpx.Response, status: int, code: str) -> None:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["title"]
    assert problem["detail"]


@pytest.mark.parametrize("side", PATHS)
async def test_the_three_ways_to_bring_a_token(hub: HubProcess, side: str) -> None:
    path, token = PATHS[side], good_token(hub, side)
    async with connection(hub, path, token=token) as peer:
        await welcomed(peer)
        assert peer.socket.subprotocol is None
    async with connection(hub, path, subprotocols=["hub.v1", f"bearer.{token}"]) as peer:
        await welcomed(peer)
        assert peer.socket.subprotocol == "hub.v1"
    async with connection(hub, f"{path}?token={token}") as peer:
        await welcomed(peer)


@pytest.mark.parametrize("side", PATHS)
@pytest.mark.parametrize(("fault", "status", "code", "close"), REFUSALS)
async def test_a_native_client_with_a_bad_token_is_refused_before_the_upgrade(
    hub: HubProcess, side: str, fault: str, status: int, code: str, close: int
) -> None:
    token = bad_token(hub, side, fault)
    refused = await answer(hub, PATHS[side], {"Authorization": f"Bearer {token}"})
    check_problem(refused, status, code)
    assert ("www-authenticate" in refused.headers) is (status == 401)
    assert token not in refused.text


@pytest.mark.parametrize("side", PATHS)
@pytest.mark.parametrize(("fault", "status", "code", "close"), REFUSALS)
async def test_a_browser_with_a_bad_token_is_told_after_the_upgrade(
    hub: HubProcess, side: str, fault: str, status: int, code: str, close: int
) -> None:
    token = bad_token(hub, side, fault)
    path = PATHS[side]
    for with_query in (False, True):
        target = f"{path}?token={token}" if with_query else path
        subprotocols = None if with_query else ["hub.v1", f"bearer.{token}"]
        async with connection(hub, target, subprotocols=subprotocols) as peer:
            (error,), closed = await peer.last_words()
            assert (error.type, error.payload["code"]) == ("error", code)
            assert closed.code == close


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic dTpw"}, {"Sec-WebSocket-Protocol": "hub.v1"}])
async def test_without_a_token(hub: HubProcess, headers: dict[str, str]) -> None:
    check_problem(await answer(hub, "/ws/desktop", headers), 401, "token_invalid")


@pytest.mark.parametrize("path", PATHS.values())
async def test_what_is_no_upgrade_gets_426(hub: HubProcess, path: str) -> None:
    plain = hub.get(path, token=hub.mint.mobile("u"))
    check_problem(plain, 426, "upgrade_required")
    assert plain.headers["upgrade"] == "websocket"
    old = await answer(hub, path, {"Sec-WebSocket-Version": "8"})
    check_problem(old, 426, "upgrade_required")
    assert old.headers["sec-websocket-version"] == "13"


@pytest.mark.parametrize("key", ["", "short", "AAAAAAAAAAAAAAAAAAAAAA", "!" * 24, "ä" * 24])
async def test_a_bad_key_gets_400(hub: HubProcess, key: str) -> None:
    check_problem(await answer(hub, "/ws/mobile", {"Sec-WebSocket-Key": key}), 400, "bad_request")


@pytest.mark.parametrize(("path", "status", "code"), [("/", 404, "not_found"), ("/ws/tablet", 404, "not_found")])
async def test_unknown_paths(hub: HubProcess, path: str, status: int, code: str) -> None:
    check_problem(await answer(hub, path, {}), status, code)


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "", PAGE + ".evil.example", PAGE.replace("https", "http"), PAGE + ":8443"],
)
@pytest.mark.hostile
async def test_a_foreign_page_gets_403_even_with_a_good_token(hub: HubProcess, origin: str) -> None:
    headers = {"Authorization": f"Bearer {good_token(hub, 'mobile')}", "Origin": origin}
    check_problem(await answer(hub, "/ws/mobile", headers), 403, "forbidden")


async def test_a_page_on_the_list_and_a_native_client_come_in(hub: HubProcess, brisk_hub: HubProcess) -> None:
    token = good_token(hub, "mobile")
    async with connection(hub, "/ws/mobile", subprotocols=["hub.v1", f"bearer.{token}"], origin=PAGE) as peer:
        await welcomed(peer)
    # Where no page is allowed, none is.
    headers = {"Authorization": f"Bearer {good_token(brisk_hub, 'mobile')}", "Origin": PAGE}
    check_problem(await answer(brisk_hub, "/ws/mobile", headers), 403, "forbidden")


async def test_the_token_in_the_query_can_be_switched_off_and_a_full_hub_says_503(new_hub: NewHub) -> None:
    hub = new_hub({"HUB_ALLOW_QUERY_TOKEN": "off", "HUB_MAX_CONNECTIONS": "3"}).start()
    check_problem(await answer(hub, f"/ws/mobile?token={hub.mint.mobile('u')}", {}), 401, "token_invalid")
    headers = {"Authorization": f"Bearer {hub.mint.mobile('u')}"}
    async with asyncio.timeout(WAIT_S), connection(hub, "/ws/mobile", token=hub.mint.mobile("u")) as first:
        await welcomed(first)
        async with connection(hub, "/ws/mobile", token=hub.mint.mobile("u")) as second:
            await welcomed(second)
            async with connection(hub, "/ws/mobile", token=hub.mint.mobile("u")) as third:
                await welcomed(third)
                full = await answer(hub, "/ws/mobile", headers)
                assert (full.status_code, full.json()["code"]) == (503, "unavailable")
                assert int(full.headers["retry-after"]) > 0
                assert full.headers["content-type"] == "application/problem+json"
        # Room again, and those who were in were never touched.
        while (await answer_or_101(hub, headers)) != 101:
            await asyncio.sleep(0.02)
        assert await first.sync() == []


async def answer_or_101(hub: HubProcess, headers: dict[str, str]) -> int:
    async with raw_client(hub.port) as client:
        return int((await client.upgrade("/ws/mobile", headers)).split()[1])


async def test_refusals_are_counted(hub: HubProcess) -> None:
    before = hub.metric("hub_refused_handshakes_total", kind="mobile", reason="token_invalid")
    refused = await answer(hub, "/ws/mobile", {"Authorization": "Bearer not.a.token"})
    assert json.loads(refused.text)["code"] == "token_invalid"
    assert hub.metric("hub_refused_handshakes_total", kind="mobile", reason="token_invalid") == before + 1


async def test_while_keys_cannot_be_had_clients_are_told_to_come_back(new_hub: NewHub) -> None:
    """No key has ever come from that address, so nobody's token can be judged."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    hub: HubProcess = new_hub({"HUB_JWT_SECRET": "", "HUB_JWT_JWKS": "http://127.0.0.1:9/keys.json"}).start()
    claims = {"sub": "u", "aud": "mobile", "iat": int(time.time()), "exp": int(time.time()) + 60}
    token = jwt.encode(claims, key, algorithm="RS256", headers={"kid": "k1"})
    refused = await answer(hub, "/ws/mobile", {"Authorization": f"Bearer {token}"})
    check_problem(refused, 503, "unavailable")
    assert int(refused.headers["retry-after"]) > 0
    async with connection(hub, "/ws/mobile", subprotocols=["hub.v1", f"bearer.{token}"]) as peer:
        (error,), closed = await peer.last_words()
        assert (error.payload["code"], closed.code) == ("unavailable", 1013)
