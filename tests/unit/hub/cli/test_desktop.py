import asyncio
import signal
import sys
from typing import Any

import pytest

from tests.support.scripted_hub import Peer, Refusal, ScriptedHub
from tests.support.terminal import run, started

TOKEN = "desktop.secret.token"


class Conversation:
    """Asks the desktop, and writes down what it says until `agent:response` came for every question."""

    def __init__(self, *questions: dict[str, Any], **welcome: Any) -> None:
        self._questions = questions
        self._welcome = welcome
        self.said: list[dict[str, Any]] = []
        self.acked: list[dict[str, Any]] = []
        self.over = asyncio.Event()

    async def play(self, peer: Peer) -> None:
        await peer.welcome(**self._welcome)
        for number, payload in enumerate(self._questions):
            await peer.say("user:message", payload, message_id=f"q{number}", user_id="u-1", device_id="phone")
        for _ in self._questions:
            await self._hear_one_answer(peer)
        self.over.set()
        await peer.stay()

    async def _hear_one_answer(self, peer: Peer) -> None:
        while True:
            message = await peer.hear()
            (self.acked if message["type"] == "ack" else self.said).append(message)
            if message["type"] == "agent:response":
                return

    def payloads(self, kind: str) -> list[dict[str, Any]]:
        return [message["payload"] for message in self.said if message["type"] == kind]

    def streamed(self) -> str:
        return "".join(payload["text"] for payload in self.payloads("agent:stream"))


async def converse(
    command: str, *questions: dict[str, Any], options: tuple[str, ...] = (), **welcome: Any
) -> Conversation:
    conversation = Conversation(*questions, **welcome)
    async with (
        ScriptedHub(conversation.play).running() as hub,
        started("desktop", "--url", hub.url, "--exec", command, *options, HUB_TOKEN=TOKEN),
        asyncio.timeout(20),
    ):
        await conversation.over.wait()
    return conversation


async def test_a_question_is_answered_as_the_contract_says() -> None:
    conversation = await converse("cat", {"text": "hällo", "desktop_id": "d"})
    assert [(message["type"], message["payload"]) for message in conversation.said] == [
        ("agent:status", {"status": "thinking", "in_reply_to": "q0"}),
        ("agent:stream", {"text": "hällo", "in_reply_to": "q0", "seq": 0}),
        ("agent:status", {"status": "idle", "in_reply_to": "q0"}),
        ("agent:response", {"text": "hällo", "in_reply_to": "q0", "exit_code": 0}),
    ]
    assert [message["payload"] for message in conversation.acked] == [{"message_id": "q0"}]


async def test_durable_messages_have_names_of_their_own() -> None:
    conversation = await converse("cat", {"text": "x"})
    ids = [message.get("message_id") for message in conversation.said if message["type"] != "agent:stream"]
    assert None not in ids
    assert len(set(ids)) == 3


async def test_one_question_at_a_time_in_their_order() -> None:
    conversation = await converse("cat", {"text": "one"}, {"text": "two"}, {"text": "three"})
    assert [payload["text"] for payload in conversation.payloads("agent:response")] == ["one", "two", "three"]
    assert [payload["status"] for payload in conversation.payloads("agent:status")] == ["thinking", "idle"] * 3


async def test_a_failing_program_is_told_with_its_last_words() -> None:
    conversation = await converse("sh -c 'echo part; echo why >&2; exit 3'", {"text": ""})
    assert conversation.payloads("agent:status")[-1] == {
        "status": "failed",
        "in_reply_to": "q0",
        "reason": "exit code 3",
        "stderr": "why",
    }
    assert conversation.payloads("agent:response") == [{"text": "part\n", "in_reply_to": "q0", "exit_code": 3}]


async def test_the_time_limit_is_told() -> None:
    conversation = await converse("sleep 100", {"text": ""}, options=("--timeout", "0.2"))
    assert conversation.payloads("agent:status")[-1]["reason"] == "stopped after 0.2 s"
    assert conversation.payloads("agent:response")[0]["exit_code"] is None


async def test_a_long_answer_is_streamed_whole_and_its_response_cut() -> None:
    conversation = await converse("seq 20000", {"text": ""}, max_bytes=16_384)
    assert conversation.streamed() == "".join(f"{number}\n" for number in range(1, 20_001))
    assert [payload["seq"] for payload in conversation.payloads("agent:stream")] == list(
        range(len(conversation.payloads("agent:stream")))
    )
    response = conversation.payloads("agent:response")[0]
    assert response["truncated"] is True
    assert conversation.streamed().startswith(response["text"])


async def test_a_message_without_a_text_is_answered_and_does_not_stop_the_next() -> None:
    class Odd(Conversation):
        async def play(self, peer: Peer) -> None:
            await peer.welcome()
            await peer.say("user:message", {"cipher": "x"}, message_id="odd", user_id="u-1")
            self.said.append(await peer.hear())
            await peer.say("user:message", {"text": "even"}, user_id="u-1")
            await self._hear_one_answer(peer)
            self.over.set()
            await peer.stay()

    conversation = Odd()
    async with (
        ScriptedHub(conversation.play).running() as hub,
        started("desktop", "--url", hub.url, "--exec", "cat", HUB_TOKEN=TOKEN),
    ):
        await conversation.over.wait()
    assert conversation.said[0]["payload"]["status"] == "failed"
    assert "payload.text" in conversation.said[0]["payload"]["reason"]
    assert conversation.payloads("agent:response") == [{"text": "even", "in_reply_to": None, "exit_code": 0}]


async def test_too_many_questions_are_told_busy() -> None:
    busy = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.welcome()
        for number in range(40):
            await peer.say("user:message", {"text": ""}, message_id=f"q{number}", user_id="u-1")
        while (await peer.hear("agent:status"))["payload"].get("reason") != "busy":
            pass
        busy.set()
        await peer.stay()

    async with (
        ScriptedHub(script).running() as hub,
        started("desktop", "--url", hub.url, "--exec", "sleep 100", HUB_TOKEN=TOKEN),
    ):
        await busy.wait()


async def test_an_answer_outlives_a_lost_connection() -> None:
    over = asyncio.Event()
    answers: list[dict[str, Any]] = []

    async def asking(peer: Peer) -> None:
        await peer.welcome()
        await peer.say("user:message", {"text": "x"}, message_id="q0", user_id="u-1")
        await peer.hear("agent:stream")
        await peer.close(4202)

    async def listening(peer: Peer) -> None:
        await peer.welcome()
        answers.append((await peer.hear("agent:response"))["payload"])
        over.set()
        await peer.stay()

    async with (
        ScriptedHub(asking, listening).running() as hub,
        started("desktop", "--url", hub.url, "--exec", "sh -c 'echo 1; sleep 0.5; echo 2'", HUB_TOKEN=TOKEN),
    ):
        await over.wait()
    assert answers == [{"text": "1\n2\n", "in_reply_to": "q0", "exit_code": 0}]


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_its_program_and_its_connection(which: signal.Signals, tmp_path: Any) -> None:
    async def asking(peer: Peer) -> None:
        await peer.welcome()
        await peer.say("user:message", {"text": ""}, message_id="q0", user_id="u-1")
        await peer.hear("agent:stream")
        running.set()
        await peer.stay()

    running = asyncio.Event()
    ended = tmp_path / "ended"
    command = f"sh -c 'trap \"echo > {ended}; exit\" TERM; echo up; sleep 100 & wait'"
    async with (
        ScriptedHub(asking).running() as hub,
        started("desktop", "--url", hub.url, "--exec", command, HUB_TOKEN=TOKEN) as process,
    ):
        await running.wait()
        process.send_signal(which)
        out, err = await process.communicate()
        assert process.returncode == 130
        await hub.gone.wait()
    assert hub.peers[0].socket.close_code == 1000
    assert ended.exists()
    assert b"Traceback" not in out + err


async def test_a_refused_token_is_one_clear_line_and_never_shown() -> None:
    async with ScriptedHub(Refusal(401, "token_invalid")).running() as hub:
        result = await run("desktop", "--url", hub.url, "--exec", "cat", HUB_TOKEN=TOKEN)
    assert result.code == 1
    assert result.err.startswith("Error: the hub refused the token")
    assert result.err.count("\n") == 1
    assert TOKEN not in result.out + result.err


async def test_superseded_is_one_clear_line() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.close(4005, "superseded")

    async with ScriptedHub(script).running() as hub:
        result = await run("desktop", "--url", hub.url, "--exec", "cat", HUB_TOKEN=TOKEN)
    assert result.code == 1
    assert "newer connection" in result.err


async def test_sessions_and_hiccups_are_shown() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.say("session:create", {"session_id": "s-1"})
        await peer.say("error", {"code": "bad_payload", "message": "what?\x1b[2J"})
        await peer.close(4202, "resync")

    async def stop(peer: Peer) -> None:
        await peer.welcome()
        await peer.close(4001)

    async with ScriptedHub(script, stop).running() as hub:
        result = await run("desktop", "--url", hub.url, "--exec", "cat", HUB_TOKEN=TOKEN)
    assert result.out.splitlines() == [
        "connected to node-1",
        "session s-1 is asked for",
        "error bad_payload: what?[2J",
        "disconnected (4202 resync); next try in 0.0 s",
        "connected to node-1",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--exec", "no-such-program-here"), "there is no program"),
        (("--exec", ""), "the command is empty"),
        (("--exec", "'open"), "quotation"),
        (("--exec", "cat", "--url", "nowhere"), "no address of a hub"),
        (("--exec", "cat", "--timeout", "0"), "--timeout"),
        ((), "--exec"),
    ],
)
async def test_what_is_mistyped_is_said_at_once(arguments: tuple[str, ...], said: str) -> None:
    result = await run("desktop", *arguments, HUB_TOKEN=TOKEN)
    assert result.code == 2
    assert said in result.err


async def test_a_missing_token_names_the_variable() -> None:
    result = await run("desktop", "--exec", sys.executable)
    assert result.code == 2
    assert "HUB_TOKEN" in result.err
