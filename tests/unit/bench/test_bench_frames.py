"""Frames as the load generator makes and counts them."""

import json

import pytest

from tests.bench.frames import (
    CLOSE,
    PAYLOAD_BYTES,
    PING,
    PONG,
    BrokenStreamError,
    FrameReader,
    Sample,
    client_frame,
    mail_to,
    said,
    stamped,
)

SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000]


def server_frame(payload: bytes, first: int = 0x81) -> bytes:
    """A frame as servers send them, written independently of the code under test."""
    if len(payload) < 126:
        return bytes([first, len(payload)]) + payload
    if len(payload) < 65_536:
        return bytes([first, 126, *divmod(len(payload), 256)]) + payload
    return bytes([first, 127]) + len(payload).to_bytes(8, "big") + payload


def text_of(frame: bytes) -> bytes:
    """What is in a client's frame: its key is 0."""
    return frame.split(bytes(4), 1)[1]


@pytest.mark.parametrize("size", SIZES)
def test_one_frame_in_one_chunk(size: int) -> None:
    assert FrameReader().feed(server_frame(b"x" * size)) == [b"x" * size]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1_000, 65_537])
def test_frames_are_found_however_the_stream_is_cut(step: int) -> None:
    payloads = [bytes([65 + number]) * size for number, size in enumerate(SIZES)]
    stream = b"".join(map(server_frame, payloads))
    reader = FrameReader()
    found = [message for start in range(0, len(stream), step) for message in reader.feed(stream[start : start + step])]
    assert found == payloads


def test_half_a_frame_waits_behind_whole_ones() -> None:
    reader, frame = FrameReader(), server_frame(b"abc")
    assert reader.feed(frame * 3 + frame[:4]) == [b"abc"] * 3
    assert reader.feed(frame[4:]) == [b"abc"]


def test_control_frames_are_kept_apart_in_their_order() -> None:
    reader = FrameReader()
    chunk = server_frame(b"1", 0x80 | PING) + server_frame(b"text") + server_frame(b"\x03\xe8", 0x80 | CLOSE)
    assert reader.feed(chunk) == [b"text"]
    assert reader.control == [(PING, b"1"), (CLOSE, b"\x03\xe8")]


@pytest.mark.parametrize("first", [0x01, 0x80, 0x82, 0xC1, 0x83])
def test_fragments_binary_and_reserved_are_refused(first: int) -> None:
    with pytest.raises(BrokenStreamError, match="unexpected frame"):
        FrameReader().feed(server_frame(b"x", first))


def test_a_masked_frame_from_a_server_is_refused() -> None:
    with pytest.raises(BrokenStreamError, match="masked"):
        FrameReader().feed(b"\x81\x81" + bytes(4) + b"x")


@pytest.mark.parametrize(("size", "head"), [(125, b"\x81\xfd"), (126, b"\x81\xfe\x00\x7e"), (65_536, b"\x81\xff")])
def test_a_client_frame_is_masked_with_the_key_zero(size: int, head: bytes) -> None:
    frame = client_frame(b"x" * size)
    assert frame.startswith(head)
    assert frame.endswith(bytes(4) + b"x" * size)


def test_a_pong_repeats_the_ping() -> None:
    assert client_frame(b"hello", PONG) == b"\x8a\x85\0\0\0\0hello"


@pytest.mark.parametrize(
    ("sample", "kind"),
    [
        (said("agent:stream"), "agent:stream"),
        (said("agent:response"), "agent:response"),
        (mail_to("d1"), "user:message"),
    ],
)
def test_the_payload_of_a_sample_is_128_bytes_long(sample: Sample, kind: str) -> None:
    body = json.loads(text_of(sample.frame))
    assert body["type"] == kind
    assert isinstance(body["timestamp"], int)
    assert len(json.dumps(body["payload"], separators=(",", ":"))) == PAYLOAD_BYTES
    assert sample.mark in sample.frame


@pytest.mark.parametrize("sample", [said("agent:stream"), mail_to("d1")])
def test_a_stamp_put_in_is_read_out_and_changes_no_length(sample: Sample) -> None:
    other = sample.at(123_456_789_012)
    assert len(other) == len(sample.frame)
    assert stamped(other) == 123_456_789_012
    assert stamped(sample.frame) == 0


def test_mail_names_its_desktop_and_is_named_by_its_stamp() -> None:
    first, second = (json.loads(text_of(mail_to("d00007").at(stamp))) for stamp in (1, 2))
    assert first["payload"]["desktop_id"] == "d00007"
    assert first["message_id"] != second["message_id"]


def test_a_message_is_read_with_what_the_hub_puts_beside_it() -> None:
    received = text_of(said("agent:stream").at(77))[:-1] + b',"desktop_id":"d1","offset":"1754000000000-12"}'
    assert FrameReader().feed(server_frame(received)) == [received]
    assert stamped(received) == 77
