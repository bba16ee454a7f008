import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.cli.answer import Answer, cut


class Sent:
    def __init__(self) -> None:
        self.payloads: list[dict[str, Any]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, payload: dict[str, Any]) -> None:
        await self.gate.wait()
        self.payloads.append(payload)


@pytest.fixture
def sent() -> Sent:
    return Sent()


async def test_pieces_are_numbered_and_name_their_question(sent: Sent) -> None:
    answer = Answer("q", 10_000, sent, pause_s=0)
    streaming = asyncio.create_task(answer.stream())
    for piece in ("a", "", "b"):
        await answer.say(piece)
        await asyncio.sleep(0.01)
    answer.end()
    await streaming
    assert sent.payloads == [
        {"text": "a", "in_reply_to": "q", "seq": 0},
        {"text": "b", "in_reply_to": "q", "seq": 1},
    ]


async def test_what_is_said_at_once_leaves_as_one_piece(sent: Sent) -> None:
    answer = Answer("q", 10_000, sent)
    for piece in ["many", "little", "words"]:
        await answer.say(piece + " ")
    answer.end()
    await answer.stream()
    assert [payload["text"] for payload in sent.payloads] == ["many little words "]


async def test_a_chatty_program_stays_far_under_the_hubs_rate_limit(sent: Sent) -> None:
    answer = Answer("q", 10_000, sent)
    streaming = asyncio.create_task(answer.stream())
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for _ in range(2000):
        await answer.say("x")
        await asyncio.sleep(0)
    answer.end()
    await streaming
    assert len(sent.payloads) <= 2 + (loop.time() - begin) * 50
    assert sum(len(payload["text"]) for payload in sent.payloads) == 2000


async def test_a_hub_that_takes_nothing_slows_the_program(sent: Sent) -> None:
    sent.gate.clear()
    answer = Answer("q", 1_048_576, sent, pause_s=0)
    streaming = asyncio.create_task(answer.stream())
    said = 0

    async def talk() -> None:
        nonlocal said
        for _ in range(100):
            await answer.say("x" * 10_000)
            said += 10_000
        answer.end()

    talking = asyncio.create_task(talk())
    await asyncio.sleep(0.05)
    assert said < 150_000
    sent.gate.set()
    await talking
    await streaming
    assert "".join(payload["text"] for payload in sent.payloads) == "x" * 1_000_000


@pytest.mark.parametrize("character", ["x", "\0", "\N{PILE OF POO}", '"'])
async def test_no_message_is_greater_than_the_hub_takes(sent: Sent, character: str) -> None:
    answer = Answer("q" * 128, 2048, sent, pause_s=0)
    streaming = asyncio.create_task(answer.stream())
    await answer.say(character * 5000)
    answer.end()
    await streaming
    messages = [*sent.payloads, answer.response(0)]
    assert max(len(json.dumps(each, ensure_ascii=False).encode()) for each in messages) < 1536
    assert sum(len(payload["text"]) for payload in sent.payloads) == 5000


async def test_the_response_is_the_whole_answer(sent: Sent) -> None:
    answer = Answer("q", 10_000, sent)
    await answer.say("one ")
    await answer.say("two")
    assert answer.response(0) == {"text": "one two", "in_reply_to": "q", "exit_code": 0}


async def test_a_response_that_is_too_long_is_cut_and_says_so(sent: Sent) -> None:
    answer = Answer("q", 2048, sent, pause_s=0)
    streaming = asyncio.create_task(answer.stream())
    for _ in range(100):
        await answer.say("ä" * 1000)
    response = answer.response(None)
    assert response["truncated"] is True
    assert response["exit_code"] is None
    assert response["text"] == "ä" * len(response["text"])
    assert 500 <= len(response["text"]) <= 512
    answer.end()
    await streaming


@given(st.text(max_size=200), st.integers(-5, 300))
def test_a_cut_is_the_longest_start_that_fits(text: str, max_bytes: int) -> None:
    def size(part: str) -> int:
        return len(json.dumps(part, ensure_ascii=False).encode())

    start = cut(text, max_bytes)
    assert text.startswith(start)
    assert size(start) <= max(max_bytes, 2)
    if start != text:
        assert size(text[: len(start) + 1]) > max_bytes
