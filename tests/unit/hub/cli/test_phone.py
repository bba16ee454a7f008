import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.relay_hub import Relay
from tests.support.scripted_hub import Peer, Refusal, ScriptedHub
from tests.support.terminal import run, started

TOKEN = "phone.secret.token"


@asynccontextmanager
async def a_desktop(command: str) -> AsyncIterator[str]:
    """A relaying hub with a desktop that runs `command`; gives the hub's address."""
    async with (
        ScriptedHub(Relay().play).running() as hub,
        started("desktop", "--url", hub.url, "--exec", command, HUB_TOKEN="d") as desktop,
    ):
        assert desktop.stdout is not None
        assert b"connected" in await desktop.stdout.readline()
        yield hub.url


async def test_send_prints_the_answer_alone_and_exits_with_0() -> None:
    async with a_desktop("cat") as url:
        result = await run("phone", "--url", url, "--send", "hällo\nthere\n", HUB_TOKEN=TOKEN)
    assert (result.code, result.out) == (0, "hällo\nthere\n")
    assert "Desk [d-1] is online" in result.err
    assert TOKEN not in result.err


async def test_send_to_a_named_desktop() -> None:
    async with a_desktop("cat") as url:
        result = await run("phone", "--url", url, "--desktop", "d-1", "--send", "hi", HUB_TOKEN=TOKEN)
    assert (result.code, result.out) == (0, "hi\n")


async def test_send_exits_with_1_if_the_program_failed() -> None:
    async with a_desktop("sh -c 'echo part; echo why >&2; exit 3'") as url:
        result = await run("phone", "--url", url, "--send", "hi", HUB_TOKEN=TOKEN)
    assert (result.code, result.out) == (1, "part\n")
    assert "d-1 failed: exit code 3\nwhy" in result.err


async def test_send_exits_with_1_if_the_hub_says_error() -> None:
    async with a_desktop("cat") as url:
        result = await run("phone", "--url", url, "--desktop", "other", "--send", "hi", HUB_TOKEN=TOKEN)
    assert (result.code, result.out) == (1, "")
    assert "error desktop_not_found: no such desktop" in result.err


async def test_send_waits_for_a_desktop_but_not_for_ever() -> None:
    async with ScriptedHub(Relay().play).running() as hub:
        result = await run("phone", "--url", hub.url, "--send", "hi", "--timeout", "0.3", HUB_TOKEN=TOKEN)
    assert result.code == 1
    assert "no desktop in 0.3 s" in result.err


async def test_send_waits_for_an_answer_but_not_for_ever() -> None:
    async with a_desktop("sleep 100") as url:
        result = await run("phone", "--url", url, "--send", "hi", "--timeout", "1", HUB_TOKEN=TOKEN)
    assert result.code == 1
    assert "no answer in 1 s" in result.err


async def test_send_does_not_guess_between_two_desktops() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.say("desktop:online", {"desktop_id": "b", "name": None})
        await peer.say("desktop:online", {"desktop_id": "a", "name": "A"})
        await peer.stay()

    async with ScriptedHub(script).running() as hub:
        result = await run("phone", "--url", hub.url, "--send", "hi", HUB_TOKEN=TOKEN)
    assert result.code == 1
    assert "several desktops are online, choose one: a, b" in result.err


async def test_a_refused_token_is_one_clear_line() -> None:
    async with ScriptedHub(Refusal(401, "token_expired")).running() as hub:
        result = await run("phone", "--url", hub.url, "--send", "hi", HUB_TOKEN=TOKEN)
    assert result.code == 1
    assert "the hub refused the token" in result.err
    assert TOKEN not in result.err


async def test_typed_lines_are_sent_and_all_answers_waited_for() -> None:
    async with a_desktop("cat") as url:
        result = await run("phone", "--url", url, typed="one\n\n/desktops\ntwo", HUB_TOKEN=TOKEN)
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0].startswith("type a message")
    assert {"connected to node-1", "Desk [d-1] is online", "d-1", "d-1: one", "d-1: two"} <= set(lines)


async def test_quit_leaves_at_once() -> None:
    async with a_desktop("sleep 100") as url:
        result = await run("phone", "--url", url, typed="one\n/quit\n", HUB_TOKEN=TOKEN)
    assert result.code == 0


async def test_use_chooses_the_desktop() -> None:
    async with a_desktop("cat") as url:
        result = await run("phone", "--url", url, typed="/use nobody\nhi\n/use d-1\nhi\n", HUB_TOKEN=TOKEN)
    assert result.code == 1
    assert "error desktop_not_found" in result.out
    assert "d-1: hi" in result.out


async def test_pieces_are_shown_as_they_come() -> None:
    shown = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.say("desktop:online", {"desktop_id": "d-1"})
        question = await peer.hear("user:message")
        reply = {"in_reply_to": question["message_id"]}
        await peer.say("agent:stream", {"text": "first\n", "seq": 0, **reply}, desktop_id="d-1")
        await shown.wait()
        await peer.say("agent:response", {"text": "first\nsecond\n", **reply}, desktop_id="d-1")
        await peer.stay()

    async with (
        ScriptedHub(script).running() as hub,
        started("phone", "--url", hub.url, "--send", "go", HUB_TOKEN=TOKEN) as process,
    ):
        assert process.stdout is not None
        assert await process.stdout.readline() == b"first\n"
        shown.set()
        assert await process.stdout.read() == b"second\n"
        assert await process.wait() == 0


async def test_answers_to_other_phones_are_not_in_the_answer() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.say("desktop:online", {"desktop_id": "d-1"})
        question = await peer.hear("user:message")
        await peer.say("agent:stream", {"text": "not for you", "in_reply_to": "other"}, desktop_id="d-1")
        await peer.say("agent:response", {"text": "not for you", "in_reply_to": "other"}, desktop_id="d-1")
        await peer.say("agent:response", {"text": "yours", "in_reply_to": question["message_id"]}, desktop_id="d-1")
        await peer.stay()

    async with ScriptedHub(script).running() as hub:
        result = await run("phone", "--url", hub.url, "--send", "hi", HUB_TOKEN=TOKEN)
    assert (result.code, result.out) == (0, "yours\n")


async def test_send_waits_for_the_answer_across_a_lost_link() -> None:
    questions: list[str] = []

    async def before(peer: Peer) -> None:
        await peer.welcome()
        await peer.say("desktop:online", {"desktop_id": "d-1"}, offset="7-0")
        questions.append((await peer.hear("user:message"))["message_id"])
        reply = {"text": "one ", "in_reply_to": questions[0]}
        await peer.receipt(questions[0], "delivered")
        await peer.say("agent:stream", reply, desktop_id="d-1", offset="7-1")
        await peer.close(4202)

    async def after(peer: Peer) -> None:
        assert peer.resumed_from() == {"d-1": "7-1"}
        await peer.welcome()
        reply = {"text": "one two", "in_reply_to": questions[0]}
        await peer.say("agent:response", reply, desktop_id="d-1", offset="7-3")
        await peer.stay()

    async with ScriptedHub(before, after).running() as hub:
        result = await run("phone", "--url", hub.url, "--send", "hi", HUB_TOKEN=TOKEN)
    assert (result.code, result.out) == (0, "one two\n")


async def test_send_to_a_desktop_that_is_away_waits_for_it_but_not_for_ever() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.receipt((await peer.hear("user:message"))["message_id"], "stored")
        await peer.stay()

    async with ScriptedHub(script).running() as hub:
        result = await run(
            "phone", "--url", hub.url, "--desktop", "d-1", "--send", "hi", "--timeout", "1", HUB_TOKEN="t"
        )
    assert (result.code, result.out) == (1, "")
    assert "stored: the desktop is away, it gets it when it is back\nno answer in 1 s" in result.err
