"""Entries of the stream `hub:presence` as Server-Sent Events (HTML Standard, "Server-sent events")."""

from collections.abc import Sequence

import msgspec

from actors.offsets import Offset
from hub.presence.answers import StreamEntry

KEEP_ALIVE = b":\n\n"
"""A comment, which clients pass over."""

_encode = msgspec.json.Encoder().encode


def presence(entry_id: str, flat: Sequence[bytes]) -> bytes:
    """Return the event of an entry; nothing for one that isn't whole, which another program put there."""
    texts = [each.decode(errors="replace") for each in flat]
    try:
        entry = msgspec.convert(dict(zip(texts[::2], texts[1::2], strict=True)), StreamEntry, strict=False)
    except (msgspec.ValidationError, ValueError):
        return b""
    return f"id: {entry_id}\nevent: presence\ndata: ".encode() + _encode(entry) + b"\n\n"


def gap(after: Offset) -> bytes:
    """Return the event that says that changes behind `after` may be missing."""
    return f'event: gap\ndata: {{"after":"{after}"}}\n\n'.encode()


def place(at: Offset) -> bytes:
    """Return what sets the client's last event id, and is no event."""
    return f"id: {at}\n\n".encode()
