"""What `hub desktop` acknowledges, and when."""

import asyncio
from pathlib import Path
from typing import Any

from tests.support.scripted_hub import Peer, Script, ScriptedHub
from tests.support.terminal import started

WAIT_S = 20.0


async def ask(peer: Peer, message_id: str, **payload: Any) -> None:
    await peer.say("user:message", payload or {"text": "x"}, message_id=message_id, user_id="u-1")


async def acked(peer: Peer) -> str:
    message_id = (await peer.hear("ack"))["payload"]["message_id"]
    assert isinstance(message_id, str)
    return message_id


async def serve(command: str, over: asyncio.Event, *scripts: Script) -> ScriptedHub:
    """Run `hub desktop` until `over`."""
    async with (
        ScriptedHub(*scripts).running() as hub,
        started("desktop", "--url", hub.url, "--exec", command, HUB_TOKEN="t"),
        asyncio.timeout(WAIT_S),
    ):
        await over.wait()
    return hub


async def test_a_question_is_acknowledged_when_the_program_has_begun_not_when_it_is_done(tmp_path: Path) -> None:
    over = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await ask(peer, "q0")
        await ask(peer, "q1")  # waits its turn
        assert await acked(peer) == "q0"
        assert not any(message["type"] == "agent:response" for message in peer.heard)
        (tmp_path / "go").touch()
        assert await acked(peer) == "q1"
        assert [message["payload"]["in_reply_to"] for message in peer.heard if message["type"] == "agent:response"] == [
            "q0"
        ]
        over.set()
        await peer.stay()

    hub = await serve(f"sh -c 'while [ ! -e {tmp_path}/go ]; do sleep 0.05; done'", over, script)
    assert hub.peers[0].path == "/ws/desktop?ack=1"


async def test_what_is_turned_down_is_acknowledged_after_the_answer() -> None:
    over = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await ask(peer, "odd", cipher="x")
        assert await acked(peer) == "odd"
        assert peer.heard[-2]["payload"]["status"] == "failed"
        for number in range(20):
            await ask(peer, f"q{number}")
        while (await peer.hear("agent:status"))["payload"].get("reason") != "busy":
            pass
        busy = peer.heard[-1]["payload"]["in_reply_to"]
        while await acked(peer) != busy:
            pass
        over.set()
        await peer.stay()

    await serve("sleep 100", over, script)


async def test_a_session_is_acknowledged() -> None:
    over = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.say("session:create", {"session_id": "s"}, message_id="s-1")
        assert await acked(peer) == "s-1"
        over.set()
        await peer.stay()

    await serve("cat", over, script)


async def test_what_comes_again_does_not_run_again(tmp_path: Path) -> None:
    over = asyncio.Event()

    async def answering(peer: Peer) -> None:
        await peer.welcome()
        await ask(peer, "q0")
        await peer.hear("agent:response")
        await peer.close(4202)

    async def again(peer: Peer) -> None:
        await peer.welcome()
        await ask(peer, "q0")
        await ask(peer, "q1")
        assert await acked(peer) == "q0"
        assert (await peer.hear("agent:response"))["payload"]["in_reply_to"] == "q1"
        over.set()
        await peer.stay()

    await serve(f"sh -c 'echo run >> {tmp_path}/runs'", over, answering, again)
    assert (tmp_path / "runs").read_text() == "run\n" * 2


async def test_a_question_that_waited_through_a_lost_link_is_answered(tmp_path: Path) -> None:
    over = asyncio.Event()

    async def asking(peer: Peer) -> None:
        await peer.welcome()
        await ask(peer, "q0")
        await ask(peer, "q1")
        await acked(peer)
        await peer.close(4202)

    async def again(peer: Peer) -> None:
        await peer.welcome()
        await ask(peer, "q1")  # the hub sends again what wasn't acknowledged
        (tmp_path / "go").touch()
        for message_id in ("q0", "q1"):
            assert (await peer.hear("agent:response"))["payload"]["in_reply_to"] == message_id
        assert [each["payload"]["message_id"] for each in peer.heard if each["type"] == "ack"] == ["q1"]
        over.set()
        await peer.stay()

    await serve(f"sh -c 'while [ ! -e {tmp_path}/go ]; do sleep 0.05; done'", over, asking, again)
