"""A conversation through lost links, receipts and replays: what is sent, what is shown, what came of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from hub.cli.phone_session import PhoneSession
from hub.cli.phone_view import PhoneView
from hub.client import HubClient
from tests.support.fake_world import FakeWorld
from tests.support.scripted_hub import Peer, Script, ScriptedHub

WAIT_S = 20.0

Scene = Callable[[PhoneSession], Awaitable[bool]]


class Screen:
    """What a person sees; notes begin with a star."""

    def __init__(self) -> None:
        self.text = ""
        self.view = PhoneView(self._write, lambda line: self._write(f"* {line}\n"), named=False)
        self._grown = asyncio.Event()

    def _write(self, text: str) -> None:
        self.text += text
        self._grown.set()

    async def shows(self, text: str) -> None:
        while text not in self.text:
            self._grown.clear()
            await self._grown.wait()

    def notes(self) -> list[str]:
        """The notes that aren't about the connection and presence."""
        usual = ("* connected", "* disconnected", "* d-1 is")
        return [line for line in self.text.splitlines() if line.startswith("*") and not line.startswith(usual)]


@asynccontextmanager
async def session(*scripts: Script, own_only: bool = False) -> AsyncIterator[tuple[PhoneSession, Screen]]:
    screen = Screen()
    async with (
        asyncio.timeout(WAIT_S),
        ScriptedHub(*scripts).running() as hub,
        HubClient(hub.url, "mobile", "t", world=FakeWorld().world()) as client,
    ):
        yield PhoneSession(client, screen.view, "d-1", own_only=own_only), screen


async def ask_once(session: PhoneSession) -> bool:
    return await session.ask("hi")


async def present(peer: Peer, *, online: bool = True) -> None:
    await peer.welcome()
    await peer.say(
        "desktop:online" if online else "desktop:offline", {"desktop_id": "d-1", "reason": "x"}, offset="7-0"
    )


async def say(peer: Peer, kind: str, question: str, text: str, offset: str) -> None:
    await peer.say(kind, {"text": text, "in_reply_to": question}, desktop_id="d-1", offset=offset)


async def heard(peer: Peer) -> str:
    message_id = (await peer.hear("user:message"))["message_id"]
    assert isinstance(message_id, str)
    return message_id


async def test_what_is_delivered_is_not_said() -> None:
    async def script(peer: Peer) -> None:
        await present(peer)
        question = await heard(peer)
        for status in ("stored", "delivered", "acknowledged"):
            await peer.receipt(question, status)
        await say(peer, "agent:response", question, "yes", "7-1")
        await peer.stay()

    async with session(script) as (phone, screen):
        assert await phone.while_reading(ask_once(phone))
    assert screen.notes() == []
    assert screen.text.endswith("yes\n")


async def test_a_message_to_a_desktop_that_is_away_is_stored_and_its_answer_waited_for() -> None:
    async def script(peer: Peer) -> None:
        await present(peer, online=False)
        question = await heard(peer)
        await peer.receipt(question, "stored")
        await peer.say("desktop:online", {"desktop_id": "d-1"}, offset="8-0")
        await peer.receipt(question, "delivered")
        await say(peer, "agent:response", question, "back", "8-1")
        await peer.stay()

    async with session(script) as (phone, screen):
        assert await phone.while_reading(ask_once(phone))
    assert screen.notes() == ["* stored: the desktop is away, it gets it when it is back"]


async def test_what_is_typed_in_a_tunnel_is_sent_when_the_phone_is_back() -> None:
    async def before(peer: Peer) -> None:
        await present(peer)
        await tunnel.wait()
        peer.cut()

    async def mute(peer: Peer) -> None:
        await typed.wait()
        peer.cut()

    async def after(peer: Peer) -> None:
        await present(peer)
        for text in ("one", "two"):
            question = await heard(peer)
            assert peer.heard[-1]["payload"] == {"desktop_id": "d-1", "text": text}
            await peer.receipt(question, "delivered")
            await say(peer, "agent:response", question, text.upper(), f"7-{len(peer.heard)}")
        await peer.stay()

    async def type_in_the_tunnel() -> bool:
        await screen.shows("d-1 is online")
        tunnel.set()
        await screen.shows("disconnected")
        answers = [phone.ask("one"), phone.ask("two")]
        typed.set()
        return all([await answer for answer in answers])

    tunnel, typed = asyncio.Event(), asyncio.Event()
    async with session(before, mute, after) as (phone, screen):
        assert await phone.while_reading(type_in_the_tunnel())
    assert screen.notes() == []
    assert screen.text.endswith("ONE\nTWO\n")


async def test_an_answer_that_a_lost_link_cut_is_shown_whole_and_once() -> None:
    async def before(peer: Peer) -> None:
        await present(peer)
        question = await heard(peer)
        questions.append(question)
        await peer.receipt(question, "delivered")
        await say(peer, "agent:stream", question, "one ", "7-1")
        await say(peer, "agent:stream", question, "two ", "7-2")
        await peer.close(4202)

    async def after(peer: Peer) -> None:
        assert peer.resumed_from() == {"d-1": "7-2"}
        await present(peer)
        await say(peer, "agent:stream", questions[0], "two ", "7-2")
        await say(peer, "agent:stream", questions[0], "three", "7-3")
        await peer.say("resumed", {"desktop_id": "d-1", "complete": True, "offset": "7-3"})
        await say(peer, "agent:response", questions[0], "one two three", "7-4")
        await peer.stay()

    questions: list[str] = []
    async with session(before, after) as (phone, screen):
        assert await phone.while_reading(ask_once(phone))
    answer = [line for line in screen.text.splitlines() if not line.startswith("*")]
    assert answer == ["one two ", "three"]
    assert screen.notes() == []


@pytest.mark.parametrize("own_only", [False, True])
async def test_what_is_missing_is_said(own_only: bool) -> None:
    async def script(peer: Peer) -> None:
        await present(peer)
        question = await heard(peer)
        await say(peer, "agent:stream", question, "one ", "7-1")
        await peer.say("resumed", {"desktop_id": "d-1", "complete": False, "offset": "7-1"})
        await say(peer, "agent:response", question, "one two", "7-9")
        await peer.stay()

    async with session(script, own_only=own_only) as (phone, screen):
        assert await phone.while_reading(ask_once(phone))
    assert screen.notes() == ["* some of what d-1 said is missing"]
    assert screen.text.endswith("\ntwo\n")


@pytest.mark.parametrize("stored_first", [False, True])
async def test_a_message_that_expired_is_said_and_was_not_answered_well(stored_first: bool) -> None:
    async def script(peer: Peer) -> None:
        await present(peer)
        question = await heard(peer)
        if stored_first:
            await peer.receipt(question, "stored")
        await peer.receipt(question, "expired")
        await peer.stay()

    async with session(script) as (phone, screen):
        assert not await phone.while_reading(ask_once(phone))
    assert screen.notes() == ["* expired: the desktop didn't take it in time"]


async def test_what_is_tried_again_is_not_said() -> None:
    async def script(peer: Peer) -> None:
        await present(peer)
        await peer.refuse(await heard(peer), "queue_full", retry_after_ms=10)
        question = await heard(peer)
        await peer.receipt(question, "delivered")
        await say(peer, "agent:response", question, "yes", "7-1")
        await peer.stay()

    async with session(script) as (phone, screen):
        assert await phone.while_reading(ask_once(phone))
    assert screen.notes() == []


async def test_what_is_refused_is_said_once_and_over() -> None:
    async def script(peer: Peer) -> None:
        await present(peer)
        await peer.refuse(await heard(peer), "desktop_not_found")
        await peer.stay()

    async with session(script) as (phone, screen):
        assert not await phone.while_reading(ask_once(phone))
        assert not phone.waits
    assert screen.notes() == ["* error desktop_not_found: no"]


@pytest.mark.parametrize("own_only", [False, True])
async def test_receipts_of_other_messages_are_seen_but_for_one_question_alone(own_only: bool) -> None:
    async def script(peer: Peer) -> None:
        await present(peer)
        await peer.receipt("from-yesterday", "expired")
        question = await heard(peer)
        await say(peer, "agent:response", question, "yes", "7-1")
        await peer.stay()

    async with session(script, own_only=own_only) as (phone, screen):
        assert await phone.while_reading(ask_once(phone))
    assert len(screen.notes()) == (0 if own_only else 1)


async def test_strange_names_of_questions_are_somebody_elses() -> None:
    async def script(peer: Peer) -> None:
        await present(peer)
        question = await heard(peer)
        strange_names: tuple[object, ...] = ([], {}, None, 5)
        for strange in strange_names:
            await peer.say("agent:response", {"text": "no", "in_reply_to": strange}, desktop_id="d-1")
        await say(peer, "agent:response", question, "yes", "7-1")
        await peer.stay()

    async with session(script, own_only=True) as (phone, screen):
        assert await phone.while_reading(ask_once(phone))
    assert "no\n" not in screen.text


async def test_what_could_not_be_sent_is_said() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome(max_bytes=20)
        await peer.stay()

    async with session(script) as (phone, screen):
        assert not await phone.while_reading(ask_once(phone))
    assert "* not sent: " in screen.text
