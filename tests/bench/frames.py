"""WebSocket frames as the load generator needs them: made once and sent often, read with as little work as possible."""

import json
import time

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
_FIN = 0x80
_MASKED = 0x80
_NO_MASK = bytes(4)

_STAMP_MARK = b"T#"
_STAMP_DIGITS = 20
_NO_STAMP = _STAMP_MARK.decode() + "0" * _STAMP_DIGITS
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


def envelope(kind: str, payload: dict[str, object], **beside: str) -> bytes:
    """A message of the contract, as compact JSON; `beside`: more members of the envelope."""
    body = {"type": kind, "payload": payload, "timestamp": time.time_ns() // 1_000_000, **beside}
    return json.dumps(body, separators=(",", ":")).encode()


class Sample:
    """A message that is sent often, each time with another stamp, and the mark by which it is known again."""

    __slots__ = ("_head", "_tail", "frame", "mark")

    def __init__(self, kind: str, payload: dict[str, object], **beside: str) -> None:
        self.mark = f'"{kind}"'.encode()
        self.frame = client_frame(envelope(kind, payload, **beside))
        """With a stamp of zero."""
        start = self.frame.index(_STAMP_MARK) + len(_STAMP_MARK)
        self._head, self._tail = self.frame[:start], self.frame[start + _STAMP_DIGITS :]

    def at(self, stamp: int) -> bytes:
        """The frame with this stamp: nanoseconds, or any other number of at most 20 digits."""
        return b"%b%020d%b" % (self._head, stamp, self._tail)


def said(kind: str) -> Sample:
    """What a desktop says, with its stamp in a payload object of exactly 128 bytes."""
    return Sample(kind, _padded({"t": _NO_STAMP}))


def mail_to(desktop_id: str) -> Sample:
    """A phone's `user:message`, with a payload object of exactly 128 bytes; its stamp is its `message_id`."""
    return Sample("user:message", _padded({"desktop_id": desktop_id}), message_id=_NO_STAMP)


def _padded(payload: dict[str, object]) -> dict[str, object]:
    bare = json.dumps({**payload, "text": ""}, separators=(",", ":"))
    return {**payload, "text": "x" * (PAYLOAD_BYTES - len(bare))}


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
