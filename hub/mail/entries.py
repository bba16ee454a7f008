"""Mail as Redis holds it, and back. What other programs may have damaged is read as if it weren't there."""

from collections.abc import Iterator, Sequence

from actors.ids import DesktopId, DeviceId, UserId
from actors.mail import KeptReceipt, Letter, Receipt, Sender, Status, message_id_of
from actors.offsets import BEGINNING, Offset, parse_offset
from hub.frames import text_frame

Fields = Sequence[bytes]
"""Names and values in turn, as a stream's entry has them."""


def place(text: bytes) -> Offset:
    """Read the id of an entry; the beginning if it is none."""
    return parse_offset(text.decode(errors="replace")) or BEGINNING


def letter(user_id: UserId, desktop_id: DesktopId, flat: Fields) -> Letter | None:
    """Read an entry of a mailbox; None if it isn't whole."""
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    try:
        text = fields[b"f"]
        text.decode()
        return Letter(
            user_id=user_id,
            desktop_id=desktop_id,
            device_id=device(fields[b"d"]),
            kind=fields[b"t"].decode(),
            key=fields[b"k"].decode(),
            frame=text_frame(text),
            fingerprint=fields[b"p"].decode(),
            valid_until=int(fields[b"v"]) if fields[b"v"] else None,
        )
    except (KeyError, ValueError):
        return None


def device(text: bytes) -> DeviceId | None:
    """Read a device's id; '' stands for none."""
    return DeviceId(text.decode(errors="replace")) if text else None


def expired(user_id: UserId, desktop_id: DesktopId, flat: Fields) -> Iterator[tuple[Sender, Receipt]]:
    """Read what a script took out because it is over; messages without a name get no receipts."""
    for key, device_id in zip(flat[::2], flat[1::2], strict=True):
        message_id = message_id_of(key.decode(errors="replace"))
        if message_id is not None:
            yield Sender(user_id, device(device_id)), Receipt(message_id, desktop_id, Status.EXPIRED)


def kept(entry: tuple[bytes, Fields]) -> KeptReceipt | None:
    """Read an entry of `keys.kept`; None if it isn't whole."""
    fields = dict(zip(entry[1][::2], entry[1][1::2], strict=True))
    try:
        latest = fields[b"latest"].decode()
        receipt = Receipt(
            message_id=fields[b"message_id"].decode(),
            desktop_id=DesktopId(fields[b"desktop"].decode()),
            status=Status(fields[b"status"].decode()),
            latest=Status(latest) if latest else None,
        )
    except (KeyError, ValueError):
        return None
    return KeptReceipt(place(entry[0]), receipt)
