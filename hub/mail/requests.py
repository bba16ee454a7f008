"""What the mailroom is asked: each as a command to Redis, with what its answer means."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from redis.exceptions import ResponseError

from actors.ids import DesktopId, UserId
from actors.mail import (
    SERVICE,
    KeptReceipt,
    Known,
    Letter,
    MailPage,
    NotStored,
    Receipt,
    Sender,
    Status,
    StoreAnswer,
    Stored,
    TooFast,
    message_key,
)
from actors.offsets import BEGINNING, Offset
from hub.frames import text_of
from hub.mail import entries, keys
from hub.mail.ledger import Ledger
from hub.mail.lua import MOST_KEPT
from hub.mail.scripts import MailScripts
from hub.store.calls import Command, Reply

_MOST_SEQ = 2**64 - 1
_REFUSALS = {b"full": NotStored.FULL, b"other": NotStored.OTHER_CONTENT, b"expired": NotStored.EXPIRED}


class Request:
    """One thing asked. Of `answered` and `away` one is called, once.

    Attributes:
        lasting: Whether it is done later if the store is away.
        patient: Whether it may wait a moment for company.
        asked_at: When it was asked, by the loop's time.
    """

    __slots__ = ("asked_at",)
    lasting: ClassVar[bool] = False
    patient: ClassVar[bool] = False
    asked_at: float

    @property
    def size(self) -> int:
        """Return how many bytes of text are in it."""
        return 0

    def command(self, scripts: MailScripts) -> Command:
        """Return what Redis is asked."""
        raise NotImplementedError

    def answered(self, reply: Reply, ledger: Ledger) -> None:
        """Take Redis' answer; a `ResponseError` says that another program uses the key for something else."""

    def away(self) -> None:
        """Answer that the store can't be asked."""


@dataclass(slots=True, eq=False)
class Store(Request):
    """`Mailroom.store`."""

    letter: Letter
    answer: Callable[[StoreAnswer], None]

    @property
    def size(self) -> int:
        """See `Request`."""
        return len(self.letter.frame)

    def command(self, scripts: MailScripts) -> Command:
        """See `Request`."""
        letter = self.letter
        limited = scripts.paced and letter.device_id != SERVICE
        pace = (keys.pace(letter.user_id),) if limited else ()
        return (
            *scripts.store.on(*keys.of_mailbox(letter.user_id, letter.desktop_id), *pace),
            letter.key,
            letter.fingerprint,
            letter.device_id or "",
            letter.kind,
            "" if letter.valid_until is None else letter.valid_until,
            text_of(letter.frame).decode(),
        )

    def runs_out(self, now_ms: int, age_ms: int) -> int:
        """Return when the letter will be over, in milliseconds since the epoch."""
        aged, asked = now_ms + age_ms, self.letter.valid_until
        return aged if asked is None else min(aged, asked)

    def answered(self, reply: Reply, ledger: Ledger) -> None:
        """See `Request`."""
        if isinstance(reply, ResponseError):
            self.away()
            return
        outcome = reply[0]
        if outcome == b"stored":
            ledger.stored += 1
            self.answer(Stored(entries.place(reply[1]), entries.place(reply[2])))
        elif outcome == b"known":
            ledger.duplicates += 1
            self.answer(Known(Status(reply[1].decode())))
        elif outcome == b"fast":
            self.answer(TooFast(reply[1]))
        else:
            self.answer(_REFUSALS[outcome])

    def away(self) -> None:
        """See `Request`."""
        self.answer(NotStored.AWAY)


@dataclass(slots=True, eq=False)
class Read(Request):
    """`Mailroom.read`."""

    patient: ClassVar[bool] = True

    user_id: UserId
    desktop_id: DesktopId
    after: Offset
    answer: Callable[[MailPage | None], None]

    def command(self, scripts: MailScripts) -> Command:
        """See `Request`."""
        return (*scripts.read.on(*keys.of_mailbox(self.user_id, self.desktop_id)), str(self.after))

    def answered(self, reply: Reply, ledger: Ledger) -> None:
        """See `Request`."""
        if isinstance(reply, ResponseError):
            self.answer(MailPage((), BEGINNING, more=False))
            return
        more, reached, page, expired = reply
        ledger.note_expired(self.user_id, self.desktop_id, expired)
        read = ((entries.place(place), entries.letter(self.user_id, self.desktop_id, flat)) for place, flat in page)
        letters = tuple((place, letter) for place, letter in read if letter is not None)
        self.answer(MailPage(letters, entries.place(reached), more=more == 1))

    def away(self) -> None:
        """See `Request`."""
        self.answer(None)


@dataclass(slots=True, eq=False)
class Settle(Request):
    """`Mailroom.settle`."""

    lasting: ClassVar[bool] = True

    letter: Letter
    status: Status
    done: bool
    answer: Callable[[], None]

    def command(self, scripts: MailScripts) -> Command:
        """See `Request`."""
        letter = self.letter
        return (
            *scripts.settle.on(*keys.of_mailbox(letter.user_id, letter.desktop_id)),
            letter.key,
            self.status,
            "1" if self.done else "",
            letter.fingerprint,
            letter.device_id or "",
        )

    def answered(self, reply: Reply, ledger: Ledger) -> None:
        """See `Request`."""
        self.answer()

    def away(self) -> None:
        """See `Request`."""
        self.answer()


@dataclass(slots=True, eq=False)
class Acknowledge(Request):
    """`Mailroom.acknowledge`."""

    lasting: ClassVar[bool] = True

    user_id: UserId
    desktop_id: DesktopId
    message_id: str
    answer: Callable[[Sender | None], None]

    def command(self, scripts: MailScripts) -> Command:
        """See `Request`."""
        return (*scripts.acknowledge.on(*keys.of_mailbox(self.user_id, self.desktop_id)), message_key(self.message_id))

    def answered(self, reply: Reply, ledger: Ledger) -> None:
        """See `Request`."""
        self.answer(Sender(self.user_id, entries.device(reply)) if isinstance(reply, bytes) else None)

    def away(self) -> None:
        """See `Request`."""
        self.answer(None)


@dataclass(slots=True, eq=False)
class Keep(Request):
    """`Mailroom.keep`."""

    lasting: ClassVar[bool] = True
    patient: ClassVar[bool] = True

    sender: Sender
    receipt: Receipt

    def command(self, scripts: MailScripts) -> Command:
        """See `Request`."""
        receipt = self.receipt
        call = scripts.keep.on(keys.kept(self.sender.user_id, self.sender.device_id))
        return (*call, receipt.desktop_id, receipt.message_id, receipt.status, receipt.latest or "")


@dataclass(slots=True, eq=False)
class Kept(Request):
    """`Mailroom.kept`."""

    patient: ClassVar[bool] = True

    sender: Sender
    answer: Callable[[list[KeptReceipt] | None], None]

    def command(self, scripts: MailScripts) -> Command:
        """See `Request`."""
        return ("XRANGE", keys.kept(self.sender.user_id, self.sender.device_id), "-", "+", "COUNT", MOST_KEPT)

    def answered(self, reply: Reply, ledger: Ledger) -> None:
        """See `Request`."""
        found = [] if isinstance(reply, ResponseError) else map(entries.kept, reply)
        self.answer([each for each in found if each is not None])

    def away(self) -> None:
        """See `Request`."""
        self.answer(None)


@dataclass(slots=True, eq=False)
class Forget(Request):
    """`Mailroom.forget`."""

    lasting: ClassVar[bool] = True
    patient: ClassVar[bool] = True

    sender: Sender
    until: Offset

    def command(self, scripts: MailScripts) -> Command:
        """See `Request`."""
        behind = Offset(self.until.epoch, min(self.until.seq + 1, _MOST_SEQ))
        return ("XTRIM", keys.kept(self.sender.user_id, self.sender.device_id), "MINID", "=", str(behind))
