"""Guards for what is used of picows' inside (`hub/frame_parser.py`): each fails when a new version changes it."""

import gc
import importlib.metadata
import logging
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from picows import WSFrame, WSListener, WSMsgType, WSTransport
from picows.picows import WSProtocol  # type: ignore[attr-defined] # its stub keeps quiet about it

from hub.frame_parser import READ_BUFFER_BYTES, feed, new_parser
from tests.support.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame, frame_head

LIMIT = 4096


class Listener(WSListener):
    """Remembers frames and faults."""

    def __init__(self) -> None:
        self.frames: list[tuple[WSMsgType, bytes, bool]] = []
        self.last_in_buffer: list[bool] = []
        self.tails: list[int] = []
        self.faults: list[int] = []
        self.told: list[str] = []
        self.raising: Exception | None = None

    def on_ws_frame(self, _: WSTransport, frame: WSFrame) -> None:
        self.frames.append((frame.msg_type, frame.get_payload_as_bytes(), bool(frame.fin)))
        self.last_in_buffer.append(bool(frame.last_in_buffer))
        self.tails.append(frame.tail_size)
        if self.raising is not None:
            raise self.raising

    def on_ws_connected(self, _: WSTransport) -> None:
        self.told.append("connected")

    def on_ws_disconnected(self, _: WSTransport) -> None:
        self.told.append("disconnected")

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def parser_fault(self, code: int) -> None:
        self.faults.append(code)


@contextmanager
def parsing(limit: int = LIMIT) -> Iterator[tuple[Listener, WSProtocol]]:
    listener = Listener()
    yield listener, new_parser(listener, listener, limit)


def parse(received: bytes, limit: int = LIMIT) -> Listener:
    """Have all of it read at once by a new parser."""
    with parsing(limit) as (listener, parser):
        feed(parser, received)
    return listener


def test_the_version_is_the_one_that_the_guards_were_written_for() -> None:
    assert importlib.metadata.version("picows") == "2.3.1"


async def test_a_parser_is_ready_for_frames_without_a_socket_or_a_request() -> None:
    listener = parse(frame(TEXT, b"hello"))
    assert listener.frames == [(WSMsgType.TEXT, b"hello", True)]
    assert listener.told == ["connected"]
    assert listener.faults == []


@pytest.mark.parametrize(
    ("opcode", "kind"),
    [
        (CONTINUATION, WSMsgType.CONTINUATION),
        (TEXT, WSMsgType.TEXT),
        (BINARY, WSMsgType.BINARY),
        (PING, WSMsgType.PING),
        (PONG, WSMsgType.PONG),
    ],
)
async def test_frames_of_every_kind_come_as_they_are_and_nothing_is_answered(opcode: int, kind: WSMsgType) -> None:
    assert parse(frame(opcode, b"x")).frames == [(kind, b"x", True)]


async def test_a_frames_kind_can_be_compared_by_identity() -> None:
    """`hub/transport.py` does so for every message."""
    kinds = [kind for kind, _, _ in parse(frame(TEXT) + frame(PING)).frames]
    assert [kind is WSMsgType.TEXT for kind in kinds] == [True, False]
    assert [kind is WSMsgType.PING for kind in kinds] == [False, True]


async def test_fragments_are_not_put_together() -> None:
    listener = parse(frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b"))
    assert [(body, fin) for _, body, fin in listener.frames] == [(b"a", False), (b"b", True)]


async def test_the_last_frame_of_a_read_says_so() -> None:
    with parsing() as (listener, parser):
        feed(parser, frame(TEXT, b"1") + frame(TEXT, b"2") + frame(TEXT, b"3")[:4])
        assert listener.last_in_buffer == [False, True]
        assert listener.tails[-1] == 4


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 2047, 2048, 2049])
async def test_frames_are_read_across_reads_of_any_size(size: int) -> None:
    received = b"".join(frame(TEXT, bytes([65 + n]) * (n * 150)) for n in range(20))
    with parsing() as (listener, parser):
        for start in range(0, len(received), size):
            feed(parser, received[start : start + size])
    assert [len(body) for _, body, _ in listener.frames] == [n * 150 for n in range(20)]


@pytest.mark.parametrize("size", [0, 1, 125, 126, LIMIT])
async def test_text_is_given_as_a_str_of_its_own(size: int) -> None:
    texts: list[str] = []

    class Reader(Listener):
        def on_ws_frame(self, _: WSTransport, frame: WSFrame) -> None:
            texts.append(frame.get_payload_as_utf8_text())

    reader = Reader()
    feed(new_parser(reader, reader, LIMIT), frame(TEXT, b"a" * size) + frame(TEXT, b"b" * size))
    assert texts == ["a" * size, "b" * size]


async def test_text_that_is_not_utf8_raises_what_the_transport_catches() -> None:
    class Reader(Listener):
        def on_ws_frame(self, _: WSTransport, frame: WSFrame) -> None:
            with pytest.raises(UnicodeDecodeError):
                frame.get_payload_as_utf8_text()
            self.told.append("caught")

    reader = Reader()
    feed(new_parser(reader, reader, LIMIT), frame(TEXT, b"\xff"))
    assert reader.told == ["connected", "caught"]


@pytest.mark.parametrize(
    ("received", "code"),
    [
        (frame_head(TEXT, 5)[:1] + b"\x05hello", 1002),
        (frame(3), 1002),
        (frame(0xB), 1002),
        (frame(PING, fin=False), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(CLOSE, b"x"), 1002),
        (frame(CLOSE, (999).to_bytes(2)), 1002),
        (frame(CLOSE, (1005).to_bytes(2)), 1002),
        (frame(CLOSE, (1000).to_bytes(2) + b"\xff"), 1007),
        (frame_head(TEXT, LIMIT + 1), 1009),
        (frame_head(BINARY, 1 << 40), 1009),
        (b"\x81\xfe\x00\x05", 1002),
        (b"\x81\xff\x80" + b"\0" * 7, 1002),
    ],
)
async def test_a_fault_of_the_peer_is_told_with_the_close_code_that_fits(received: bytes, code: int) -> None:
    listener = parse(received + b"\0" * 16)
    assert set(listener.faults) == {code}
    assert listener.frames == []


async def test_a_frame_that_is_too_long_is_a_fault_when_its_header_is_read() -> None:
    listener = parse(frame_head(TEXT, LIMIT + 1))
    assert listener.faults == [1009]


async def test_a_frame_of_the_longest_size_is_none() -> None:
    assert [len(body) for _, body, _ in parse(frame(TEXT, b"x" * LIMIT)).frames] == [LIMIT]


async def test_after_a_fault_no_frame_follows() -> None:
    with parsing() as (listener, parser):
        feed(parser, frame(3))
        feed(parser, frame(TEXT, b"more") * 3)
    assert listener.frames == []
    assert listener.faults


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4001, 4999])
async def test_a_close_frame_of_a_code_that_may_be_sent_is_no_fault(code: int) -> None:
    assert parse(frame(CLOSE, code.to_bytes(2) + b"bye")).frames == [(WSMsgType.CLOSE, code.to_bytes(2) + b"bye", True)]


async def test_a_bug_in_the_listener_is_told_as_1011_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with parsing() as (listener, parser):
        listener.raising = RuntimeError("injected")
        feed(parser, frame(TEXT, b"x"))
    assert listener.faults == [1011]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert caplog.records[0].exc_info is not None


async def test_an_orderly_parser_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with parsing() as (_, parser):
        feed(parser, frame(TEXT, b"x"))
        parser.connection_lost(None)
    assert caplog.records == []


async def test_the_listener_is_told_of_pauses_and_of_the_end() -> None:
    with parsing() as (listener, parser):
        parser.pause_writing()
        parser.resume_writing()
        parser.connection_lost(None)
    assert listener.told == ["connected", "pause", "resume", "disconnected"]


async def test_a_parser_starts_with_a_small_buffer_which_only_grows() -> None:
    with parsing(1 << 20) as (_, parser):
        assert len(parser.get_buffer(-1)) <= READ_BUFFER_BYTES
        feed(parser, frame(TEXT, b"x" * 500_000))
        assert len(parser.get_buffer(-1)) >= 500_000


async def test_a_parser_is_freed_with_its_listener() -> None:
    listener = Listener()
    gone = weakref.ref(listener)
    parser: Any = new_parser(listener, listener, LIMIT)
    feed(parser, frame(TEXT, b"x"))
    del listener, parser
    gc.collect()
    assert gone() is None
