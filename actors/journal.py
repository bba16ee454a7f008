"""What desktops said, as the journal tells it to phones that come back (ADR 0009)."""

from dataclasses import dataclass
from typing import TypeAlias

from actors.offsets import Offset


@dataclass(frozen=True, slots=True)
class Opening:
    """A connection's first message follows; `offset` is `EPOCH-0`.

    `after`: where the connection before it ended; the beginning if there was none; None if nobody knows.
    """

    offset: Offset
    after: Offset | None


@dataclass(frozen=True, slots=True)
class Written:
    """A durable message: the finished frame, as it went to the phones."""

    offset: Offset
    frame: bytes


JournalEntry: TypeAlias = Opening | Written


@dataclass(frozen=True, slots=True)
class JournalPage:
    """A piece of a journal, in order.

    Attributes:
        entries: What there is, each newer than the one before.
        more: Whether there is more to read behind the last of them.
        head: Where the newest connection that said anything ended; the beginning if none ever did; None while it is
            open, or if it never told.
    """

    entries: tuple[JournalEntry, ...]
    more: bool
    head: Offset | None
