"""Frames as a server sends them, against RFC 6455, section 5.2, and read by the websockets library."""

import pytest
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from actors.closing import CloseReason
from hub.frames import PING_FRAME, close_frame, closing_frame, pong_frame, text_frame, text_of

EDGES = [0, 1, 125, 126, 127, 4095, 4096, 4097, 65_535, 65_536, 65_537, 1_048_576]


def read(frame: bytes) -> Frame:
    """Read exactly one frame, as a client."""
    stream = StreamReader()
    stream.feed_data(frame)
    stream.feed_eof()
    parsing = Frame.parse(stream.read_exact, mask=False)
    try:
        next(parsing)
    except StopIteration as done:
        left = stream.read_to_eof(1)
        with pytest.raises(StopIteration) as end:
            next(left)
        assert end.value.value == b""
        found = done.value
        assert isinstance(found, Frame)
        return found
    raise AssertionError("the frame isn't whole")


@pytest.mark.parametrize("size", EDGES)
def test_a_text_frame_of_any_size_is_one_whole_text_frame(size: int) -> None:
    body = b"x" * size
    assert read(text_frame(body)) == Frame(Opcode.TEXT, body)


@pytest.mark.parametrize("size", EDGES)
def test_a_size_is_told_in_the_fewest_bytes(size: int) -> None:
    expected = 2 if size < 126 else 4 if size < 65_536 else 10
    assert len(text_frame(b"x" * size)) - size == expected


@pytest.mark.parametrize("size", EDGES)
def test_a_tail_stands_behind_the_body_in_the_same_frame(size: int) -> None:
    tail = b',"desktop_id":"d1"}'
    assert read(text_frame(b"x" * size, tail)).data == b"x" * size + tail


def test_prepared_headers_say_what_computed_ones_would() -> None:
    for size in range(4200):
        assert text_frame(b"x" * size) == Frame(Opcode.TEXT, b"x" * size).serialize(mask=False)


@pytest.mark.parametrize("size", EDGES)
def test_the_text_of_a_frame_is_what_it_was_made_of(size: int) -> None:
    body = b"{" + b"x" * size
    assert text_of(text_frame(body, b"}")) == body + b"}"


def test_a_ping_is_empty() -> None:
    assert read(PING_FRAME) == Frame(Opcode.PING, b"")


@pytest.mark.parametrize("body", [b"", b"abc", b"x" * 125])
def test_a_pong_carries_the_pings_body(body: bytes) -> None:
    assert read(pong_frame(body)) == Frame(Opcode.PONG, body)


@pytest.mark.parametrize("reason", list(CloseReason))
def test_a_close_frame_tells_code_and_label(reason: CloseReason) -> None:
    frame = read(close_frame(reason.code, reason.label))
    assert (frame.opcode, frame.data) == (Opcode.CLOSE, reason.code.to_bytes(2) + reason.label.encode())


def test_a_long_reason_is_cut_to_what_fits_a_control_frame() -> None:
    assert len(read(close_frame(1000, "x" * 500)).data) == 125


@pytest.mark.parametrize("code", [b"", b"\x03\xe8"])
def test_the_answer_to_a_close_frame_repeats_its_code_or_has_none(code: bytes) -> None:
    assert read(closing_frame(code)) == Frame(Opcode.CLOSE, code)
