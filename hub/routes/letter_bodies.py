"""What another service wants a desktop to be sent: the body of its request, read as a phone's message is."""

import secrets

import msgspec

from actors.ids import DesktopId
from actors.messages import Envelope, Fault
from hub.routes.problems import Problem
from hub.wire import JsonCodec, MessageId, Millis

_MADE_ID_BYTES = 16
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Named(msgspec.Struct):
    """What a body may say beside the payload."""

    message_id: MessageId = msgspec.field(default_factory=lambda: secrets.token_hex(_MADE_ID_BYTES))
    valid_until: Millis | msgspec.UnsetType = msgspec.UNSET


class _Message(_Named, forbid_unknown_fields=True, kw_only=True):
    payload: dict[str, msgspec.Raw]


_NAMED = msgspec.json.Decoder(_Named)
_MESSAGE = msgspec.json.Decoder(_Message)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_message(codec: JsonCodec, desktop_id: DesktopId, body: bytes) -> Envelope:
    """Read `{payload, message_id?, valid_until?}`: a `user:message`.

    Raises:
        Problem: 400, if it is anything else.
    """
    try:
        asked = _MESSAGE.decode(body.decode())
    except _UNREADABLE as error:
        raise _bad(f"{_plain(error)}; send {{payload, message_id?, valid_until?}}") from None
    return _envelope(codec, "user:message", desktop_id, asked.payload, asked)


def read_session(codec: JsonCodec, desktop_id: DesktopId, body: bytes) -> Envelope:
    """Read `{session_id, message_id?, valid_until?, ...}`: a `session:create`, whose payload is all the rest.

    Raises:
        Problem: 400, if it is anything else.
    """
    try:
        text = body.decode()
        asked, payload = _NAMED.decode(text), _MEMBERS.decode(text)
    except _UNREADABLE as error:
        raise _bad(f"{_plain(error)}; send {{session_id, message_id?, valid_until?, ...}}") from None
    for name in _Named.__struct_fields__:
        payload.pop(name, None)
    return _envelope(codec, "session:create", desktop_id, payload, asked)


def _envelope(
    codec: JsonCodec, kind: str, desktop_id: DesktopId, payload: dict[str, msgspec.Raw], asked: _Named
) -> Envelope:
    addressed = {"desktop_id": msgspec.Raw(f'"{desktop_id}"'), **payload}
    envelope = codec.compose(kind, addressed, asked.message_id, asked.valid_until)
    if isinstance(envelope, Fault):
        raise _bad(envelope.text)
    target = codec.addressed_desktop(envelope)
    if isinstance(target, Fault):
        raise _bad(target.text)
    if target != desktop_id:
        raise _bad("payload.desktop_id names another desktop than the path; it may be left out")
    return envelope


def _bad(text: str) -> Problem:
    return Problem(400, "bad_payload", text)


def _plain(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
