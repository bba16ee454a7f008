"""Presence as Redis holds it, and back. What other programs may have damaged is read as if it weren't there."""

from collections.abc import Sequence

import msgspec

from actors.ids import ConnectionId, DesktopId, Epoch, NodeId, UserId
from actors.messages import KnownDesktop, PresenceRecord

NODE_LOST = "node_lost"
"""Why a desktop is away whose record ran out: nobody was left to say so."""


class KnownEntry(msgspec.Struct, frozen=True):
    """What is remembered of a desktop beside the contract. `reason` is empty while it is online."""

    name: str | None
    platform: str | None
    reason: str


FORGOTTEN = KnownEntry(None, None, "lost")
"""Stands in for an entry that has run out."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(KnownEntry).decode


def known_text(record: PresenceRecord, reason: str) -> str:
    """Return the value of a desktop in `keys.known`."""
    return _encode(KnownEntry(record.name, record.platform, reason)).decode()


def known_entry(value: bytes | None) -> KnownEntry:
    """Read a value of `keys.known`; never raises."""
    if value is None:
        return FORGOTTEN
    try:
        return _decode(value)
    except msgspec.DecodeError:
        return FORGOTTEN


def known_desktop(desktop_id: bytes, last_seen: bytes, value: bytes | None) -> KnownDesktop:
    """Return a desktop of the past, from its member and score in `keys.desktops` and its value in `keys.known`."""
    entry = known_entry(value)
    reason = entry.reason or NODE_LOST
    return KnownDesktop(DesktopId(desktop_id.decode()), milliseconds(last_seen), entry.name, entry.platform, reason)


def milliseconds(score: bytes) -> int:
    """Read a score of `keys.desktops`."""
    return int(float(score))


def pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Read the answer to HGETALL or ZRANGE WITHSCORES."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def read_record(fields: dict[bytes, bytes]) -> PresenceRecord | None:
    """Read the hash of `keys.record`; None if it isn't there or isn't whole."""
    text = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in fields.items()}
    try:
        return PresenceRecord(
            desktop_id=DesktopId(text["desktop_id"]),
            user_id=UserId(text["user_id"]),
            node_id=NodeId(text["node_id"]),
            connection_id=ConnectionId(text["connection_id"]),
            epoch=Epoch(int(text["epoch"])),
            name=text.get("name") or None,
            platform=text.get("platform") or None,
            since=int(text["since"]),
            last_seen=int(text["last_seen"]),
        )
    except (KeyError, ValueError):
        return None
