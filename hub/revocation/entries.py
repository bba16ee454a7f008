"""Revocations as the stream holds them, and back. What other programs may have damaged is read as if it weren't there.

The target is one field, a JSON array of its kind and names, since a `jti` may hold any characters.
"""

from collections.abc import Sequence

import msgspec

from hub.revocation.known import Revocation, Target

STREAM = "hub:revocations"
"""One for all nodes. Fields: `revocation_id target at until`; times in milliseconds since the epoch."""

_encode_target = msgspec.json.Encoder().encode
_decode_target = msgspec.json.Decoder(list[str]).decode


def fields_of(revocation: Revocation) -> tuple[str | int, ...]:
    """Return the fields of an entry, each with its value behind it."""
    target = _encode_target(revocation.target).decode()
    named = ("revocation_id", revocation.revocation_id, "target", target)
    return (*named, "at", revocation.at, "until", revocation.until)


def read_revocation(fields: Sequence[bytes]) -> Revocation | None:
    """Read the fields of an entry; None if they aren't those of a revocation."""
    values = dict(zip(fields[::2], fields[1::2], strict=False))
    try:
        target = _target(_decode_target(values[b"target"]))
        revocation_id = values[b"revocation_id"].decode()
        return Revocation(revocation_id, target, int(values[b"at"]), int(values[b"until"]))
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, ValueError):
        return None


def _target(parts: list[str]) -> Target:
    match parts:
        case ["jti" | "desktop_id" | "user_id" as kind, name]:
            return kind, name
        case ["device_id", user_id, device_id]:
            return "device_id", user_id, device_id
    raise ValueError("not the target of a revocation")
