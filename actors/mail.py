"""What phones send to desktops, on its way through the mailbox (ADR 0008)."""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import TypeAlias

from actors.ids import DesktopId, DeviceId, UserId
from actors.offsets import Offset

SERVICE = DeviceId("/service")
"""Stands in the place of the device for what another service sent. No token can name it (`actors.ids.ID_PATTERN`)."""


class Status(StrEnum):
    """What became of a message: `status` of a `receipt` (docs/protocol.md, "Receipts")."""

    STORED = "stored"
    DELIVERED = "delivered"
    ACKNOWLEDGED = "acknowledged"
    DUPLICATE = "duplicate"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Receipt:
    """`receipt`. `latest`: of a duplicate, what became of the first one so far."""

    message_id: str
    desktop_id: DesktopId
    status: Status
    latest: Status | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """A phone's message for a desktop, or another service's.

    Attributes:
        user_id: The sender's and the desktop's user.
        desktop_id: Whom it is for.
        device_id: From which device; None if the sender's token names none; `SERVICE` if another service sent it.
        kind: Its type.
        key: What it is remembered by: `message_key` of its `message_id`, or `nameless_key` with something unique.
        frame: The finished frame for the desktop.
        fingerprint: The same for messages of the same type and payload, and for no others.
        valid_until: Milliseconds since the epoch, after which it is not handed over any more; None: no such time.
    """

    user_id: UserId
    desktop_id: DesktopId
    device_id: DeviceId | None
    kind: str
    key: str
    frame: bytes
    fingerprint: str
    valid_until: int | None

    @property
    def message_id(self) -> str | None:
        """The sender's name for it, if it gave one."""
        return message_id_of(self.key)


def message_key(message_id: str) -> str:
    """Return what a message with a name is remembered by."""
    return f"m:{message_id}"


def nameless_key(unique: str) -> str:
    """Return what a message without a name is remembered by."""
    return f"x:{unique}"


def message_id_of(key: str) -> str | None:
    """Return the name that the sender gave, if it gave one."""
    return key[2:] if key.startswith("m:") else None


@dataclass(frozen=True, slots=True)
class Stored:
    """The letter is in the mailbox: at `entry`. `previous` is the newest entry that there was before, ever."""

    entry: Offset
    previous: Offset


@dataclass(frozen=True, slots=True)
class Known:
    """A letter of that key came before; `latest` is what became of it so far."""

    latest: Status


class NotStored(Enum):
    """Why a letter is not in the mailbox."""

    OTHER_CONTENT = auto()
    """Its key was used for something else."""
    FULL = auto()
    """The mailbox is at its bound."""
    EXPIRED = auto()
    """`valid_until` is over."""
    AWAY = auto()
    """The store can't be asked. The letter may be there all the same."""


@dataclass(frozen=True, slots=True)
class TooFast:
    """The letter is not in the mailbox: the user's phones together send too fast. In `wait_ms` there is room."""

    wait_ms: int


StoreAnswer: TypeAlias = Stored | Known | NotStored | TooFast


@dataclass(frozen=True, slots=True)
class MailPage:
    """A piece of a mailbox, in order.

    Attributes:
        letters: Each with its entry.
        reached: How far this page goes; with no `more`, the newest entry that there was ever.
        more: Whether there is more to read behind it.
    """

    letters: tuple[tuple[Offset, Letter], ...]
    reached: Offset
    more: bool


@dataclass(frozen=True, slots=True)
class Sender:
    """Who is to be told about a message."""

    user_id: UserId
    device_id: DeviceId | None


@dataclass(frozen=True, slots=True)
class KeptReceipt:
    """A receipt that waits for its device; `entry` is its place among those."""

    entry: Offset
    receipt: Receipt
