"""Envelopes and the hub's own messages, to and from JSON text. Nothing else in the hub knows JSON on the sockets.

What a client may send is docs/protocol.md, "The envelope". `payload` is never parsed on the way to a phone: it is
checked to be JSON and an object, and forwarded byte for byte. The rules that a parser alone doesn't keep (depth,
repeated names, endless numbers) are in `wire_rules.py`.
"""

from typing import Annotated, Any, TypeVar, cast

import msgspec

from actors.clock import Clock
from actors.ids import DesktopId, is_id
from actors.messages import (
    DesktopOffline,
    DesktopOnline,
    Envelope,
    ErrorCode,
    Fault,
    Goodbye,
    HeartbeatAck,
    MobileIdentity,
    Notice,
    Welcome,
)
from hub.frames import text_frame
from hub.wire_rules import MAX_DEPTH, SLACK, breach, read_name_is_ambiguous

_SHORT = 2 * MAX_DEPTH
_OPENING_BRACE = 0x7B
_BEFORE_PAYLOAD = len('{"type":"","payload":')
_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeEncodeError)
_Millis = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
_MessageId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class Received(msgspec.Struct, gc=False):
    """A client's message. Members that aren't named here are dropped, so that nobody can speak as somebody else."""

    type: str
    payload: msgspec.Raw
    timestamp: _Millis
    name: _MessageId | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="message_id")

    @property
    def message_id(self) -> str | None:
        """The sender's name for the message, if it gave one."""
        return None if isinstance(self.name, msgspec.UnsetType) else self.name


class _Named(msgspec.Struct, gc=False):
    message_id: _MessageId


class _Addressed(msgspec.Struct, gc=False):
    desktop_id: str


class _NewSession(msgspec.Struct, gc=False):
    desktop_id: str
    session_id: _MessageId


class _Farewell(msgspec.Struct, gc=False):
    reason: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,31}\Z")]


class _NewToken(msgspec.Struct, gc=False):
    token: Annotated[str, msgspec.Meta(min_length=1, max_length=8192)]


_P = TypeVar("_P", bound=msgspec.Struct)
_ADDRESSED = msgspec.json.Decoder(_Addressed)
_NEW_SESSION = msgspec.json.Decoder(_NewSession)
_FAREWELL = msgspec.json.Decoder(_Farewell)
_NEW_TOKEN = msgspec.json.Decoder(_NewToken)
_NAMED = msgspec.json.Decoder(_Named)
_NOTICE_TYPES: dict[type, str] = {
    Welcome: "welcome",
    HeartbeatAck: "heartbeat:ack",
    DesktopOnline: "desktop:online",
    DesktopOffline: "desktop:offline",
    Goodbye: "goodbye",
    Fault: "error",
}


class JsonCodec:
    """The codec of docs/protocol.md; see `actors.ports.Codec` for what is promised."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._decode = msgspec.json.Decoder(Received).decode
        self._encode = msgspec.json.Encoder().encode
        # What was decoded last is mostly encoded next, and decoding needs the encoded length anyway.
        self._last: Received | None = None
        self._last_body = b""

    def decode(self, text: str) -> Received | Fault:
        """Return the envelope, or what is wrong with it."""
        try:
            envelope = self._decode(text)
        except _UNREADABLE as error:
            return _bad_envelope(text, _plain(error))
        body = self._encode(envelope)
        # Past escapes in a type the index points elsewhere; such a type is known to nobody, so it is refused anyway.
        if (
            body[_BEFORE_PAYLOAD + len(envelope.type)] != _OPENING_BRACE
            and memoryview(envelope.payload)[0] != _OPENING_BRACE
        ):
            return _bad_envelope(text, "payload has to be a JSON object")
        size = len(text) if text.isascii() else len(text.encode())
        if size - len(body) >= SLACK or size >= _SHORT:
            problem = breach(text, envelope.payload, size - len(body))
            if problem is not None:
                return _bad_envelope(text, problem)
        self._last, self._last_body = envelope, body
        return envelope

    def to_mobile(self, envelope: Envelope, stamp: bytes) -> bytes:
        """Encode for phones: the envelope without what the sender had no right to say, and the stamp."""
        return text_frame(self._body(envelope)[:-1], stamp)

    def to_desktop(self, envelope: Envelope, sender: MobileIdentity) -> bytes:
        """Encode for a desktop, with the sender's identity. Ids need no escaping (`actors.ids`)."""
        stamp = f',"user_id":"{sender.user_id}"'
        if sender.device_id is not None:
            stamp += f',"device_id":"{sender.device_id}"'
        return text_frame(self._body(envelope)[:-1], (stamp + "}").encode())

    def mobile_stamp(self, desktop_id: DesktopId) -> bytes:
        """Return what `to_mobile` puts at the end. Ids need no escaping (`actors.ids`)."""
        return f',"desktop_id":"{desktop_id}"}}'.encode()

    def notice(self, notice: Notice) -> bytes:
        """Encode one of the hub's own messages."""
        payload = _fault(notice) if isinstance(notice, Fault) else notice
        envelope = {"type": _NOTICE_TYPES[type(notice)], "payload": payload, "timestamp": self._clock.wall_ms()}
        return text_frame(self._encode(envelope))

    def addressed_desktop(self, envelope: Envelope) -> DesktopId | Fault:
        """Read whom a phone's message is for."""
        new_session = envelope.type == "session:create"
        wanted = "desktop_id and session_id" if new_session else "desktop_id"
        decoder: msgspec.json.Decoder[Any] = _NEW_SESSION if new_session else _ADDRESSED
        target = _read(envelope, decoder, b"desktop_id", f"payload needs {wanted}, each once, strings")
        if isinstance(target, Fault):
            return target
        if not is_id(target.desktop_id):
            return Fault(ErrorCode.BAD_PAYLOAD, "payload.desktop_id is not an id", envelope.message_id)
        return DesktopId(target.desktop_id)

    def goodbye_reason(self, envelope: Envelope) -> str | Fault:
        """Read why a client leaves."""
        wanted = "payload needs reason: a lower-case word of at most 32 letters, digits and _"
        farewell = _read(envelope, _FAREWELL, b"reason", wanted)
        return farewell if isinstance(farewell, Fault) else farewell.reason

    def refresh_token(self, envelope: Envelope) -> str | Fault:
        """Read a client's new token."""
        renewal = _read(envelope, _NEW_TOKEN, b"token", "payload needs token: a string")
        return renewal if isinstance(renewal, Fault) else renewal.token

    def _body(self, envelope: Envelope) -> bytes:
        return self._last_body if envelope is self._last else self._encode(envelope)


def _fault(fault: Fault) -> dict[str, object]:
    payload: dict[str, object] = {"code": fault.code.value, "message": fault.text}
    if fault.message_id is not None:
        payload["message_id"] = fault.message_id
    if fault.retry_after_ms is not None:
        payload["retry_after_ms"] = fault.retry_after_ms
    return payload


def _read(envelope: Envelope, decoder: "msgspec.json.Decoder[_P]", name: bytes, wanted: str) -> _P | Fault:
    """Read from the payload what the hub needs, or say what it wanted."""
    payload = cast("Received", envelope).payload
    try:
        found = decoder.decode(payload)
    except msgspec.DecodeError:
        return Fault(ErrorCode.BAD_PAYLOAD, wanted, envelope.message_id)
    if read_name_is_ambiguous(bytes(payload), name):
        return Fault(ErrorCode.BAD_PAYLOAD, wanted, envelope.message_id)
    return found


def _bad_envelope(text: str, problem: str) -> Fault:
    """Answer with the message's own name, where it can still be read."""
    try:
        message_id = _NAMED.decode(text).message_id
    except _UNREADABLE:
        message_id = None
    wanted = "an envelope is a JSON object with type, payload (object), timestamp (ms) and, optionally, message_id"
    return Fault(ErrorCode.BAD_ENVELOPE, f"{problem}; {wanted}", message_id)


def _plain(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return "not Unicode" if isinstance(error, UnicodeEncodeError) else str(error)
