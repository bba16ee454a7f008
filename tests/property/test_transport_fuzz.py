"""Whatever bytes come after the upgrade: nothing is logged, the connection ends closed or open, buffers stay small."""

import asyncio
import logging
import struct
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from actors.closing import CloseReason
from tests.support.raw import frame, frame_head
from tests.support.sockets import Line, line

MAX_BYTES = 2000
KEPT = 3 * 65_536
CLOSING = {reason.label for reason in CloseReason}

ci = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

opcodes = st.sampled_from([0, 1, 1, 1, 2, 3, 8, 9, 10, 15])
bodies = st.one_of(
    st.binary(max_size=140),
    st.text(max_size=40).map(str.encode),
    st.integers(0, MAX_BYTES + 2).map(bytes),
    st.builds(lambda code, reason: struct.pack("!H", code) + reason, st.integers(0, 65_535), st.binary(max_size=130)),
)
frames = st.builds(
    frame, opcodes, bodies, fin=st.booleans(), reserved=st.sampled_from([0, 0, 0, 0, 1, 4]), mask=st.just(b"abcd")
)
heads = st.builds(frame_head, opcodes, st.integers(0, 1 << 62), fin=st.booleans())
pieces = st.one_of(frames, frames, frames, heads, st.binary(max_size=20))


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What was logged as an error, which nothing may be."""
    caplog.set_level(logging.WARNING)
    yield caplog
    assert [record.getMessage() for record in caplog.records] == []


def read_in_pieces(wire: Line, received: bytes, sizes: Sequence[int]) -> None:
    """Have the socket's protocol read it, as long as the socket is read from."""
    view, turn = memoryview(received), 0
    while view:
        protocol = wire.hub.get_protocol()
        most = sizes[turn % len(sizes)]
        turn += 1
        if isinstance(protocol, asyncio.BufferedProtocol):
            room = memoryview(protocol.get_buffer(-1))
            size = min(len(room), len(view), most)
            room[:size] = view[:size]
            protocol.buffer_updated(size)
        else:
            assert isinstance(protocol, asyncio.Protocol)
            size = min(most, len(view))
            protocol.data_received(bytes(view[:size]))
        view = view[size:]


async def attack(received: bytes, sizes: Sequence[int]) -> None:
    async with line(MAX_BYTES) as wire:
        read_in_pieces(wire, received, sizes)
        for _ in range(3):
            await asyncio.sleep(0)
        holds(wire)
        neighbours_are_unharmed(wire)


def holds(wire: Line) -> None:
    """It ended once, for one reason, or it is open; and it keeps little."""
    ends = [told for told in wire.listener.told if told in CLOSING or told == "peer_closed"]
    assert len(ends) <= 2
    assert len([told for told in ends if told != "peer_closed"]) <= 1
    assert "internal_error" not in ends
    assert all(len(text.encode()) <= MAX_BYTES for text in wire.listener.texts)
    assert all(len(body) <= MAX_BYTES for body in wire.listener.binaries)
    assert sum(map(len, wire.socket._fragments or [])) <= MAX_BYTES
    protocol = wire.hub.get_protocol()
    if isinstance(protocol, asyncio.BufferedProtocol):
        assert len(memoryview(protocol.get_buffer(-1))) <= KEPT


def neighbours_are_unharmed(wire: Line) -> None:
    """No read is left unfinished, so that turns of others in the same loop are taken when the loop comes round."""
    assert not wire.turns.reading


@ci
@given(received=st.binary(max_size=3000), sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=5))
def test_random_bytes_break_nothing(errors: pytest.LogCaptureFixture, received: bytes, sizes: list[int]) -> None:
    asyncio.run(attack(received, sizes))


@ci
@given(parts=st.lists(pieces, max_size=30), sizes=st.lists(st.integers(1, 9000), min_size=1, max_size=5))
@example(parts=[frame(8, b"\x03\xe8"), frame(8, b"\x03\xe8"), frame(1, b"behind")], sizes=[9000])
@example(parts=[frame(1, b"a", fin=False), frame(8, b""), frame(0, b"b")], sizes=[1])
@example(parts=[frame(1, b"x" * 100)] * 30 + [b"\x80"], sizes=[9000])
def test_random_frames_break_nothing(errors: pytest.LogCaptureFixture, parts: list[bytes], sizes: list[int]) -> None:
    asyncio.run(attack(b"".join(parts), sizes))


def whole(messages: list[tuple[bool, bytes, list[int]]]) -> bytes:
    """Spell messages as frames, each cut at the given places, with pings between."""
    spelled = b""
    for is_text, body, cuts in messages:
        places = sorted({0, *(cut % (len(body) + 1) for cut in cuts)})
        bits = [body[start:end] for start, end in zip(places, [*places[1:], len(body)], strict=True)]
        for number, bit in enumerate(bits):
            opcode = 0 if number else 1 if is_text else 2
            spelled += frame(opcode, bit, fin=number == len(bits) - 1) + (frame(9, b"p") if number % 2 else b"")
    return spelled


texts = st.text(st.characters(codec="utf-8"), max_size=60).map(str.encode)


@ci
@given(
    messages=st.lists(st.tuples(st.booleans(), texts, st.lists(st.integers(0, 300), max_size=4)), max_size=12),
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=5),
)
def test_good_messages_arrive_whole_and_in_order_however_they_are_cut(
    errors: pytest.LogCaptureFixture, messages: list[tuple[bool, bytes, list[int]]], sizes: list[int]
) -> None:
    async def talk() -> None:
        async with line(MAX_BYTES) as wire:
            read_in_pieces(wire, whole(messages), sizes)
            assert wire.listener.texts == [body.decode() for is_text, body, _ in messages if is_text]
            assert wire.listener.binaries == [body for is_text, body, _ in messages if not is_text]
            assert set(wire.listener.told) <= {"heard"}
            assert not wire.turns.reading

    asyncio.run(talk())
