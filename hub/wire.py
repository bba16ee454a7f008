"""Envelopes and the hub's own messages, to and from JSON text. Nothing else in the hub knows JSON on the sockets.

What a client may send is docs/protocol.md, "The envelope". `payload` is never parsed on the way to a phone: it is
checked to be JSON and an object, and forwarded byte for byte. The rules that a parser alone doesn't keep (depth,
repeated names, endless numbers) are in `wire_rules.py`.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Annotated, Any, TypeVar, cast

import msgspec

from actors.clock import Clock
from actors.ids import DesktopId, Epoch, is_id
from actors.mail import Receipt
from actors.messages import (
    DesktopOffline,
    DesktopOnline,
    Envelope,
    ErrorCode,
    Fault,
    Goodbye,
    HeartbeatAck,
    Label,
    MobileIdentity,
    Notice,
    Resumed,
    Welcome,
)
from actors.offsets import Offset, parse_offset
from hub.frames import text_frame, text_of
from hub.wire_rules import MAX_DEPTH, SLACK, breach, read_name_is_ambiguous

_SHORT = 2 * MAX_DEPTH
_OPENING_BRACE = 0x7B
_BEFORE_PAYLOAD = len('{"type":"","payload":')
_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeEncodeError)
Millis = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
MessageId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class Received(msgspec.Struct, gc=False):
    """A client's message. Members that aren't named here are dropped, so that nobody can speak as somebody else."""

    type: str
    payload: msgspec.Raw
    timestamp: Millis
    name: MessageId | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="message_id")
    until: Millis | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="valid_until")

    @property
    def message_id(self) -> str | None:
        """The sender's name for the message, if it gave one."""
        return None if isinstance(self.name, msgspec.UnsetType) else self.name

    @property
    def valid_until(self) -> int | None:
        """Milliseconds since the epoch after which it is not to be handed over any more, if there is such a time."""
        return None if isinstance(self.until, msgspec.UnsetType) else self.until


class _Named(msgspec.Struct, gc=False):
    message_id: MessageId


class _Labelled(msgspec.Struct, gc=False):
    type: str
    desktop_id: str | None = None
    offset: str | None = None


class _Addressed(msgspec.Struct, gc=False):
    desktop_id: str


class _NewSession(msgspec.Struct, gc=False):
    desktop_id: str
    session_id: MessageId


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
_LABELLED = msgspec.json.Decoder(_Labelled)
_NOTICE_TYPES: dict[type, str] = {
    Welcome: "welcome",
    HeartbeatAck: "heartbeat:ack",
    DesktopOnline: "desktop:online",
    DesktopOffline: "desktop:offline",
    Goodbye: "goodbye",
    Resumed: "resumed",
    Receipt: "receipt",
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

    def compose(
        self, kind: str, payload: Mapping[str, msgspec.Raw], message_id: str, valid_until: int | msgspec.UnsetType
    ) -> Received | Fault:
        """Make the envelope of what another service wants said, or tell what is wrong with it.

        Every member of `payload` stays as it is, byte for byte.
        """
        members = {"type": kind, "payload": payload, "timestamp": self._clock.wall_ms(), "message_id": message_id}
        if not isinstance(valid_until, msgspec.UnsetType):
            members["valid_until"] = valid_until
        return self.decode(self._encode(members).decode())

    def to_mobile(self, envelope: Envelope, stamp: bytes, seq: int) -> bytes:
        """Encode for phones: the envelope without what the sender had no right to say, the stamp and the number."""
        return text_frame(self._body(envelope)[:-1], stamp + b'%d"}' % seq)

    def to_desktop(self, envelope: Envelope, sender: MobileIdentity) -> bytes:
        """Encode for a desktop, with the sender's identity. Ids need no escaping (`actors.ids`)."""
        stamp = f',"user_id":"{sender.user_id}"'
        if sender.device_id is not None:
            stamp += f',"device_id":"{sender.device_id}"'
        return text_frame(self._body(envelope)[:-1], (stamp + "}").encode())

    def mobile_stamp(self, desktop_id: DesktopId, epoch: Epoch) -> bytes:
        """Return what `to_mobile` puts before the number. Ids need no escaping (`actors.ids`)."""
        return f',"desktop_id":"{desktop_id}","offset":"{epoch}-'.encode()

    def label(self, frame: bytes) -> Label:
        """Read back what `to_mobile` and `notice` put into a frame."""
        try:
            label = _LABELLED.decode(text_of(frame))
        except _UNREADABLE:
            return Label("", None, None)
        offset = None if label.offset is None else parse_offset(label.offset)
        return Label(label.type, None if label.desktop_id is None else DesktopId(label.desktop_id), offset)

    def fingerprint(self, envelope: Envelope) -> str:
        """Return a text that is the same for messages of the same type and payload, and for no others."""
        content = blake2b(cast("Received", envelope).payload, digest_size=16, person=b"tether-hub")
        content.update(envelope.type.encode())
        return content.hexdigest()

    def notice(self, notice: Notice, offset: Offset | None = None) -> bytes:
        """Encode one of the hub's own messages."""
        kind, payload = _NOTICE_TYPES[type(notice)], _payload(notice)
        envelope = {"type": kind, "payload": payload, "timestamp": self._clock.wall_ms()}
        if offset is not None:
            envelope["offset"] = str(offset)
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

    def acknowledged(self, envelope: Envelope) -> str | Fault:
        """Read which message a desktop has taken."""
        wanted = "payload needs message_id: a string of 1 to 128 characters"
        ack = _read(envelope, _NAMED, b"message_id", wanted)
        return ack if isinstance(ack, Fault) else ack.message_id

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


def _payload(notice: Notice) -> object:
    match notice:
        case Fault():
            return _present(
                code=notice.code.value,
                message=notice.text,
                message_id=notice.message_id,
                retry_after_ms=notice.retry_after_ms,
            )
        case Receipt():
            return _present(
                message_id=notice.message_id, desktop_id=notice.desktop_id, status=notice.status, latest=notice.latest
            )
        case Resumed():
            return {"desktop_id": notice.desktop_id, "complete": notice.complete, "offset": str(notice.offset)}
        case _:
            return notice


def _present(**members: object) -> dict[str, object]:
    return {name: member for name, member in members.items() if member is not None}


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
