import asyncio
import os
import pty
from pathlib import Path

import jwt
import pytest

from hub.cli.demo_tokens import DESKTOP_ID
from hub.dev_secret import ensure_dev_secret
from tests.support.relay_hub import Relay
from tests.support.scripted_hub import Refusal, ScriptedHub
from tests.support.terminal import run, started

SECRET = "0123456789abcdef0123456789abcdef-of-a-test"
FAST = ("--speed", "20")


async def read_all(terminal: int) -> str:
    """Read a terminal until the program at its other side is gone."""
    loop, chunks = asyncio.get_running_loop(), []
    while True:
        readable = asyncio.Event()
        loop.add_reader(terminal, readable.set)
        await readable.wait()
        loop.remove_reader(terminal)
        try:
            chunks.append(os.read(terminal, 65536))
        except OSError:  # how a terminal says that it was hung up
            return b"".join(chunks).decode()


async def test_both_sides_are_shown_and_it_ends_by_itself() -> None:
    async with ScriptedHub(Relay(DESKTOP_ID).play).running() as hub:
        result = await run("demo", "--url", hub.url, *FAST, HUB_JWT_SECRET=SECRET)
    assert result.err == ""
    assert result.code == 0
    lines = result.out.splitlines()
    assert all(line.startswith(("desktop |", "phone   |")) for line in lines)
    for line in (
        "desktop | connected to node-1",
        "phone   | Desk [demo-laptop] is online",
        "phone   | you: What are you?",
        "desktop | u-1 asks: What are you?",
        "phone   | receipt: delivered",
        "phone   | receipt: acknowledged",
        "phone   | demo-laptop is thinking",
        "phone   | demo-laptop: An agent on your computer.",
        "phone   | and the cat is off the keyboard.",
    ):
        assert line in lines
    assert lines[-1].startswith("phone   | Desk [demo-laptop] is offline (demo_over)")


async def test_the_phone_loses_its_link_and_has_the_answer_all_the_same() -> None:
    async with ScriptedHub(Relay(DESKTOP_ID).play).running() as hub:
        result = await run("demo", "--url", hub.url, *FAST, HUB_JWT_SECRET=SECRET)
    phone = [line.removeprefix("phone   | ") for line in result.out.splitlines() if line.startswith("phone")]
    shown = phone[phone.index("you: Is my computer safe to leave alone?") + 1 :]
    assert any(line.startswith("disconnected (1006 lost)") for line in shown)
    notes = ("(a tunnel", "disconnected", "connected", "receipt", "demo-laptop is", "Desk [demo-laptop] is")
    answer = " ".join(line.removeprefix("demo-laptop: ") for line in shown if not line.startswith(notes))
    assert answer == "All quiet: 3 builds green, 1 review waiting for you, and the cat is off the keyboard."
    assert len(hub.peers) == 3


async def test_the_tokens_are_of_both_kinds_for_one_user() -> None:
    async with ScriptedHub(Relay(DESKTOP_ID).play).running() as hub:
        await run("demo", "--url", hub.url, *FAST, HUB_JWT_SECRET=SECRET)
    phone, desktop = [
        jwt.decode(token.removeprefix("Bearer "), SECRET, ["HS256"], audience=["mobile", "desktop"])
        for token in hub.tokens[:2]
    ]
    assert (phone["aud"], phone["sub"]) == ("mobile", "demo")
    assert (desktop["aud"], desktop["sub"], desktop["user_id"]) == ("desktop", DESKTOP_ID, "demo")
    assert 0 < phone["exp"] - phone["iat"] <= 600


async def test_the_secret_of_serve_dev_is_found_and_a_token_of_the_shell_does_not_matter(tmp_path: Path) -> None:
    secret = ensure_dev_secret(tmp_path)
    async with ScriptedHub(Relay(DESKTOP_ID).play).running() as hub:
        result = await run("demo", "--url", hub.url, *FAST, HUB_DATA_DIR=str(tmp_path), HUB_TOKEN="x")
    assert result.code == 0
    assert jwt.decode(hub.tokens[0].removeprefix("Bearer "), secret, ["HS256"], audience="mobile")
    assert secret not in result.out + result.err


async def test_in_a_terminal_there_are_two_columns() -> None:
    ours, theirs = pty.openpty()
    async with (
        ScriptedHub(Relay(DESKTOP_ID).play).running() as hub,
        started(
            "demo", "--url", hub.url, *FAST, stdout=theirs, HUB_JWT_SECRET=SECRET, TERM="xterm", COLUMNS="100"
        ) as process,
    ):
        os.close(theirs)
        seen = await read_all(ours)
        assert await process.wait() == 0
    os.close(ours)
    assert " desktop " in seen.splitlines()[0]
    assert " phone " in seen.splitlines()[0]
    assert "and the cat is off the keyboard." in seen


@pytest.mark.parametrize("mode", [None, 0o644])
async def test_without_a_usable_secret_it_says_where_to_get_one(tmp_path: Path, mode: int | None) -> None:
    if mode is not None:
        ensure_dev_secret(tmp_path)
        (tmp_path / "dev-secret").chmod(mode)
    result = await run("demo", HUB_DATA_DIR=str(tmp_path))
    assert result.code == 1
    assert ("hub serve --dev" in result.err) is (mode is None)
    assert ("chmod 600" in result.err) is (mode is not None)


async def test_a_hub_that_does_not_take_the_token_is_one_clear_line() -> None:
    async with ScriptedHub(Refusal(401, "token_invalid")).running() as hub:
        result = await run("demo", "--url", hub.url, HUB_JWT_SECRET=SECRET)
    assert result.code == 1
    assert result.err.startswith("Error: the hub refused the token")


async def test_bad_settings_are_said() -> None:
    result = await run("demo", HUB_JWT_SECRET="short")
    assert result.code == 1
    assert "HUB_JWT_SECRET" in result.err
    assert "short\n" not in result.err


async def test_without_a_hub_it_says_how_to_start_one(unused_tcp_port: int) -> None:
    url = f"ws://127.0.0.1:{unused_tcp_port}"
    result = await run("demo", "--url", url, HUB_JWT_SECRET=SECRET)
    assert result.code == 1
    assert result.err.startswith(f"Error: no connection to the hub in 5 s at {url}: is it running?")
    assert "hub serve --dev" in result.err
