"""Nothing that a client sends gets into a log as it came: no token and no payload at all, the rest escaped and cut."""

import asyncio
import contextlib
import json
import time
from pathlib import Path

import pytest

from tests.support.clients import connection, desktop, mobile, new_name
from tests.support.hub_process import HubProcess
from tests.support.hub_settings import NewHub
from tests.support.raw import CLOSE, TEXT, frame, raw_client, raw_mobile
from tests.support.tokens import Minter

pytest_plugins = ("tests.support.hub_fixtures",)
pytestmark = pytest.mark.hostile

CANARY = "cAnArY"
"""In every token (as its subject's name), in every payload, and in everything else that is chosen by a client."""

ESCAPES = "\x1b[31m\x1b]0;owned\x07\x9b2J\r\n\u202e"
JUNK = "j" * 1_000_000


def canary_tokens(hub: HubProcess) -> list[str]:
    """Tokens of every kind and fault; their signatures are what is looked for."""
    user = new_name("u")
    other = Minter("another secret, just as long as it has to be")
    return [
        hub.mint.desktop(new_name("d"), user),
        hub.mint.mobile(user),
        hub.mint.mobile(user, life_s=-60),
        hub.mint.service(),
        other.mobile(user),
        hub.mint.mobile("not an id " + CANARY),
        f"{CANARY}.{CANARY}.{CANARY}",
        CANARY,
    ]


async def bring(hub: HubProcess, token: str) -> None:
    """Bring the token to every door, by every way."""
    for path in ("/ws/desktop", "/ws/mobile"):
        for target, headers in (
            (path, {"Authorization": f"Bearer {token}"}),
            (path, {"Sec-WebSocket-Protocol": f"hub.v1, bearer.{token}"}),
            (f"{path}?token={token}", {}),
            (f"{path}?token={token}&token={token}", {"Origin": "https://evil.example"}),
            (f"{path}/nowhere?token={token}", {}),
            (f"{path}?token={token}", {"Upgrade": "h2c"}),
        ):
            async with raw_client(hub.port) as client:
                await client.upgrade(target, headers)
    for path in ("/internal/presence/users/u", f"/internal/presence/desktops/d?token={token}"):
        await asyncio.to_thread(hub.get, path, token=token)


async def break_off_in_the_middle(hub: HubProcess, token: str) -> None:
    for request in (
        f"GET /ws/mobile?token={token} HTTP/1.1\r\nHost: hub\r\nAuth",
        f"POST /internal/presence/query?token={token} HTTP/1.1\r\nHost: hub\r\nContent-Length: 99\r\n\r\n{{",
        f"GARBAGE {token}\r\n\r\n",
        f"GET /ws/mobile?token={token} HTTP/9.9\r\nHost: hub\r\nContent-Length: x\r\n\r\n",
    ):
        async with raw_client(hub.port) as client:
            await client.send(request.encode())
            await asyncio.sleep(0.05)


async def talk(hub: HubProcess) -> list[str]:
    """Say everything that can be said, right and wrong; return the tokens that were used."""
    user, desktop_id = new_name("u"), new_name("d")
    tokens = [hub.mint.desktop(desktop_id, user), hub.mint.mobile(user), hub.mint.mobile(user, life_s=1)]
    canary = {"text": CANARY, "desktop_id": desktop_id, "session_id": CANARY, "reason": CANARY}
    async with (
        connection(hub, "/ws/desktop", token=tokens[0]) as agent,
        connection(hub, "/ws/mobile", token=tokens[1]) as phone,
        connection(hub, "/ws/mobile", token=tokens[2]) as expiring,
    ):
        kinds = ["agent:stream", "agent:response", "agent:status", "user:message", "session:create", CANARY, "welcome"]
        for kind in [*kinds, "ack", "goodbye", "auth:refresh"]:
            for peer in (agent, phone):
                await peer.send(kind, canary, message_id=CANARY)
        for token in canary_tokens(hub):
            await phone.send("auth:refresh", {"token": token})
            tokens.append(token)
        await phone.socket.send(f'{{"{CANARY}": {CANARY}')
        await phone.socket.send(CANARY.encode())
        await phone.sync()
        await expiring.closed()
    async with raw_mobile(hub, new_name("u")) as attacker:
        await attacker.send(frame(TEXT, CANARY.encode() + b"\xff"))
        await attacker.close_frame()
    return tokens


def secrets_of(tokens: list[str]) -> set[str]:
    """The parts of tokens that are enough to recognise them."""
    return {CANARY} | {part for token in tokens for part in token.split(".")[1:] if len(part) > 8}


@pytest.mark.parametrize("log_format", ["json", "pretty"])
async def test_no_token_and_no_payload_is_in_any_log_on_any_level(new_hub: NewHub, log_format: str) -> None:
    settings = {"HUB_LOG_LEVEL": "debug", "HUB_LOG_FORMAT": log_format, "HUB_HANDSHAKE_DEADLINE_S": "1"}
    hub: HubProcess = new_hub(settings).start()
    tokens = canary_tokens(hub)
    await asyncio.gather(*(bring(hub, token) for token in tokens))
    await break_off_in_the_middle(hub, tokens[1])
    tokens += await talk(hub)
    assert hub.stop() == 0
    written = {path: path.read_text("utf-8", "replace") for path in everything_written(hub) if path.is_file()}
    assert "valkey.log" in {path.name for path in written}
    assert len(written[hub.folder / "output"].splitlines()) > 10
    for path, text in written.items():
        # Messages are kept in Valkey's data; tokens are not.
        allowed = {CANARY} if path.parent.name == "appendonlydir" else set()
        assert not [secret for secret in secrets_of(tokens) - allowed if secret in text], path
        assert "Traceback" not in text, text


def everything_written(hub: HubProcess) -> list[Path]:
    """The hub's output, and every file under its data directory."""
    return [hub.folder / "output", *(hub.folder / "data").rglob("*")]


async def send_junk(hub: HubProcess, junk: str) -> None:
    """Junk in the path, the query, a header, the method, the body and the close reason."""
    raw = junk.encode()
    for request in (
        b"GET /%b HTTP/1.1\r\nHost: hub\r\n\r\n" % raw,
        b"GET /healthz?%b HTTP/1.1\r\nHost: hub\r\n\r\n" % raw,
        b"GET /healthz HTTP/1.1\r\nHost: hub\r\nX-Junk: %b\r\n\r\n" % raw,
        b"GET /ws/mobile HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer %b\r\n\r\n" % raw,
        b"GET /ws/mobile HTTP/1.1\r\nHost: hub\r\nOrigin: %b\r\n\r\n" % raw,
        b"%b / HTTP/1.1\r\nHost: hub\r\n\r\n" % raw,
    ):
        async with raw_client(hub.port) as client:
            with contextlib.suppress(ConnectionError):  # It may have hung up already.
                await client.send(request)
            with contextlib.suppress(TimeoutError):
                await client.rest(2)


async def test_junk_is_escaped_cut_or_not_logged_at_all(new_hub: NewHub) -> None:
    hub: HubProcess = new_hub({"HUB_LOG_LEVEL": "debug", "HUB_HANDSHAKE_DEADLINE_S": "1"}).start()
    begun = time.monotonic()
    await asyncio.gather(*(send_junk(hub, junk) for junk in (ESCAPES, "\\u001b" + ESCAPES * 100, JUNK)))
    for reason in (ESCAPES.encode()[:100], b"j" * 123):
        async with raw_mobile(hub, new_name("u")) as client:
            await client.send(frame(CLOSE, b"\x03\xe8" + reason))
            await client.hung_up()
    user, desktop_id = new_name("u"), new_name("d")
    async with mobile(hub, user) as phone, desktop(hub, desktop_id, user, name=ESCAPES + JUNK[:2000]) as agent:
        seen = (await phone.expect("desktop:online", desktop_id=desktop_id)).payload["name"] or ""
        assert not set(seen) & set(ESCAPES) - set("[31m]0;owned2J")
        assert len(seen) <= 128
        await agent.send("goodbye", {"reason": ESCAPES})
        await agent.expect("error", code="bad_payload")
    assert hub.stop() == 0
    assert time.monotonic() - begun < 30
    lines = hub.log.splitlines()
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) < 4000
    for line in lines:
        if not line.startswith("Tether Hub is up"):
            json.loads(line)


async def test_a_flood_of_bad_tokens_does_not_flood_the_log(new_hub: NewHub) -> None:
    hub: HubProcess = new_hub().start()
    for _ in range(200):
        async with raw_client(hub.port) as client:
            await client.upgrade("/ws/mobile", {"Authorization": "Bearer junk"})
    assert hub.metric("hub_refused_handshakes_total", kind="mobile", reason="token_invalid") == 200
    assert len(hub.log.splitlines()) < 40, hub.log
