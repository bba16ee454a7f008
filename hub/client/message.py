"""The envelope as a client sees it: JSON to a frozen `Message`, and back (docs/protocol.md, "The envelope")."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Message:
    """One message from the hub. Types and fields that this client doesn't know are no error.

    Attributes:
        type: What kind of message it is: `user:message`, `agent:stream`, `error`, ...
        payload: The sender's JSON object, as it was sent.
        timestamp: The sender's clock, in milliseconds since the epoch.
        message_id: The sender's name for the message, if it gave one.
        desktop_id: Who sent it, on what comes to a mobile; stamped by the hub.
        user_id: Who sent it, on what comes to a desktop; stamped by the hub.
        device_id: From which device, on what comes to a desktop; stamped by the hub.
        offset: The message's place among all that its desktop says, `EPOCH-SEQ`, on what comes to a mobile; stamped by
            the hub. Of `desktop:online` and `desktop:offline`: where that desktop stands, if the hub knows.
        valid_until: After this time the hub doesn't hand it over any more; milliseconds since the epoch.
    """

    type: str
    payload: dict[str, Any]
    timestamp: int
    message_id: str | None = None
    desktop_id: str | None = None
    user_id: str | None = None
    device_id: str | None = None
    offset: str | None = None
    valid_until: int | None = None


def encode(
    kind: str,
    payload: Mapping[str, Any],
    timestamp: int,
    message_id: str | None = None,
    valid_until: int | None = None,
) -> bytes:
    """Return the UTF-8 text of an envelope; `timestamp` and `valid_until` are milliseconds since the epoch.

    Raises:
        TypeError: The payload holds something that JSON has no word for.
        ValueError: The payload holds NaN, an infinity or half a surrogate pair.
    """
    envelope: dict[str, Any] = {"type": kind, "payload": dict(payload), "timestamp": timestamp}
    if message_id is not None:
        envelope["message_id"] = message_id
    if valid_until is not None:
        envelope["valid_until"] = valid_until
    return json.dumps(envelope, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


class NotAMessage(Exception):  # noqa: N818 - it names what came
    """The peer sent something that is no envelope."""


def decode(text: str | bytes) -> Message:
    """Return the message in one WebSocket message.

    Raises:
        NotAMessage: It isn't JSON, or isn't an envelope.
    """
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise NotAMessage("not JSON, or nested too deeply") from fault
    if not isinstance(fields, dict):
        raise NotAMessage("not a JSON object")
    kind, payload, timestamp = fields.get("type"), fields.get("payload"), fields.get("timestamp")
    if not (isinstance(kind, str) and isinstance(payload, dict) and isinstance(timestamp, int)):
        raise NotAMessage("type, payload or timestamp is missing or of another type")
    texts = {name: _text(fields.get(name)) for name in _TEXTS}
    return Message(kind, payload, timestamp, valid_until=_number(fields.get("valid_until")), **texts)


_TEXTS = ("message_id", "desktop_id", "user_id", "device_id", "offset")


def _text(field: object) -> str | None:
    return field if isinstance(field, str) else None


def _number(field: object) -> int | None:
    return field if type(field) is int else None
