"""WebSocket frames as the load generator needs them: made once and sent often, read with as little work as possible."""

import json
import time

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
_FIN = 0x80
_MASKED = 0x80
_NO_MASK = bytes(4)

STREAM_MARK = b'"agent:stream"'
_STAMP_MARK = b"T#"
_STAMP_DIGITS = 20
PAYLOAD_BYTES = 128


class BrokenStreamError(Exception):
    """The server sent what no WebSocket server may send, or what this reader does not expect of one."""


def client_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One whole frame from a client: masked, as it must be, with the key 0, so that the payload stays as it is."""
    size = len(payload)
    if size < 126:
        head = bytes([_FIN | opcode, _MASKED | size])
    elif size < 1 << 16:
        head = bytes([_FIN | opcode, _MASKED | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([_FIN | opcode, _MASKED | 127]) + size.to_bytes(8, "big")
    return head + _NO_MASK + payload


def envelope(kind: str, payload: dict[str, object]) -> bytes:
    """A message of the contract, as compact JSON."""
    body = {"type": kind, "payload": payload, "timestamp": time.time_ns() // 1_000_000}
    return json.dumps(body, separators=(",", ":")).encode()


def stream_frame() -> bytes:
    """An `agent:stream` frame whose payload object is exactly 128 bytes long and carries a stamp of zero."""
    stamp = _STAMP_MARK.decode() + "0" * _STAMP_DIGITS
    bare = json.dumps({"t": stamp, "text": ""}, separators=(",", ":"))
    return client_frame(envelope("agent:stream", {"t": stamp, "text": "x" * (PAYLOAD_BYTES - len(bare))}))


def around_stamp(frame: bytes) -> tuple[bytes, bytes]:
    """What stands before and after the stamp's digits in a frame, to put another stamp between them."""
    start = frame.index(_STAMP_MARK) + len(_STAMP_MARK)
    return frame[:start], frame[start + _STAMP_DIGITS :]


def stamped(message: bytes) -> int:
    """The nanoseconds that the sender wrote into a message."""
    start = message.index(_STAMP_MARK) + len(_STAMP_MARK)
    return int(message[start : start + _STAMP_DIGITS])


class FrameReader:
    """Cuts a server's byte stream into frames, however the network has cut it before."""

    __slots__ = ("_rest", "control")

    def __init__(self) -> None:
        self._rest = b""
        self.control: list[tuple[int, bytes]] = []
        """Control frames in their order (opcode, payload); whoever reads them empties the list."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The text messages that are whole now; what is left over waits for the next chunk."""
        if self._rest:
            chunk = self._rest + chunk
        messages: list[bytes] = []
        position, end = 0, len(chunk)
        while end - position >= 2:
            first, size = chunk[position], chunk[position + 1]
            body = position + 2
            if size >= 126:
                body, size = _long_size(chunk, body, size)
            stop = body + size
            if stop > end:
                break
            if first == _FIN | TEXT:
                messages.append(chunk[body:stop])
            else:
                self._aside(first, chunk[body:stop])
            position = stop
        self._rest = chunk[position:]
        return messages

    def _aside(self, first: int, payload: bytes) -> None:
        if first & 0x7F not in {CLOSE, PING, PONG}:
            raise BrokenStreamError(f"unexpected frame, first byte {first:#04x}")
        self.control.append((first & 0xF, payload))


def _long_size(chunk: bytes, body: int, size: int) -> tuple[int, int]:
    """Where the body starts and how long it is; a header that is not whole yet counts as a body that is not."""
    if size > 127:
        raise BrokenStreamError("a server's frame is masked")
    width = 2 if size == 126 else 8
    if body + width > len(chunk):
        return body, len(chunk) + 1
    return body + width, int.from_bytes(chunk[body : body + width], "big")
