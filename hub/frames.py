"""Finished WebSocket frames, as a server sends them: unmasked, whole, no extensions (RFC 6455, section 5.2)."""

from struct import pack

_ONE_BYTE_SIZES = 126
_TWO_BYTE_SIZES = 65536
_PREPARED = 4096
_HEADERS = [
    bytes((0x81, size)) if size < _ONE_BYTE_SIZES else b"\x81\x7e" + pack("!H", size) for size in range(_PREPARED)
]

PING_FRAME = b"\x89\x00"


def text_frame(body: bytes, tail: bytes = b"") -> bytes:
    """Return a text frame of `body` followed by `tail`, both UTF-8."""
    size = len(body) + len(tail)
    if size < _PREPARED:
        return _HEADERS[size] + body + tail
    if size < _TWO_BYTE_SIZES:
        return b"\x81\x7e" + pack("!H", size) + body + tail
    return b"\x81\x7f" + pack("!Q", size) + body + tail


def text_of(frame: bytes) -> bytes:
    """Return the text of a frame that `text_frame` made."""
    size = frame[1]
    if size < _ONE_BYTE_SIZES:
        return frame[2:]
    return frame[4:] if size == _ONE_BYTE_SIZES else frame[10:]


def close_frame(code: int, reason: str) -> bytes:
    """Return a close frame; `reason` is ASCII, and cut to the 123 bytes that fit."""
    body = pack("!H", code) + reason.encode()[:123]
    return bytes((0x88, len(body))) + body


def closing_frame(code: bytes) -> bytes:
    """Return the answer to a close frame: the same two bytes of code, or none."""
    return bytes((0x88, len(code))) + code


def pong_frame(body: bytes) -> bytes:
    """Return the answer to a ping of `body` (at most 125 bytes)."""
    return bytes((0x8A, len(body))) + body
