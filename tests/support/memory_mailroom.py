"""The mailroom in memory, by the rules of hub/mail/scripts.py: for tests of actors, and to compare the scripts with."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from actors.clock import Clock
from actors.ids import DesktopId, UserId
from actors.limits import Pace
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
    message_id_of,
    message_key,
)
from actors.offsets import BEGINNING, Offset
from actors.ports import Scheduler
from hub.frames import text_of
from hub.mail.limits import MailLimits
from hub.mail.lua import MOST_KEPT, PAGE_BYTES, PAGE_LETTERS

Result = TypeVar("Result")

RANK = [Status.STORED, Status.DELIVERED, Status.EXPIRED, Status.ACKNOWLEDGED]


@dataclass
class Remembered:
    """What became of a letter; `entry` is None once it has left the mailbox."""

    status: Status
    fingerprint: str
    sender: Sender
    at: int
    entry: Offset | None = None


@dataclass
class Mailbox:
    """One desktop's."""

    letters: dict[Offset, Letter] = field(default_factory=dict)
    receipts: dict[str, Remembered] = field(default_factory=dict)
    last: Offset = BEGINNING

    @property
    def bytes(self) -> int:
        return sum(size_of(letter) for letter in self.letters.values())


@dataclass
class Shelves:
    """What the store holds."""

    mailboxes: dict[tuple[UserId, DesktopId], Mailbox] = field(default_factory=dict)
    kept: dict[Sender, deque[KeptReceipt]] = field(default_factory=dict)
    whole_at: dict[UserId, float] = field(default_factory=dict)
    newest: Offset = BEGINNING


def size_of(letter: Letter) -> int:
    return len(text_of(letter.frame))


class MemoryMailroom:
    """Does what it is asked when the scheduler comes to it, in the order of asking.

    While `away`, it answers as a mailroom does whose store is away. What is over is taken out by `sweep` and by whoever
    comes across it.
    """

    def __init__(
        self,
        clock: Clock,
        scheduler: Scheduler,
        limits: MailLimits | None = None,
        *,
        tell: Callable[[Sender, Receipt], None] = lambda _sender, _receipt: None,
        returned: Callable[[], None] = lambda: None,
        beside: "MemoryMailroom | None" = None,
    ) -> None:
        """Make a mailroom; `beside`: its mailboxes are that one's, as those of two nodes are."""
        self._shelves: Shelves = Shelves() if beside is None else beside._shelves
        self.tell = tell
        self.tell_returned = returned
        self._clock = clock
        self._scheduler = scheduler
        self._limits = limits or MailLimits()
        self._owed: deque[Callable[[], object]] = deque(maxlen=10_000)
        self._away = False

    @property
    def mailboxes(self) -> dict[tuple[UserId, DesktopId], Mailbox]:
        return self._shelves.mailboxes

    @property
    def away(self) -> bool:
        return self._away

    @away.setter
    def away(self, away: bool) -> None:
        came_back = self._away and not away
        self._away = away
        if came_back:
            while self._owed:
                self._owed.popleft()()
            self.tell_returned()

    def mailbox(self, user_id: UserId, desktop_id: DesktopId) -> Mailbox:
        return self.mailboxes.setdefault((user_id, desktop_id), Mailbox())

    def sweep(self) -> None:
        """Take out what is over."""
        for mailbox in self.mailboxes.values():
            self._take_out_expired(mailbox)

    # -- the port ------------------------------------------------------------------------------------------------

    def store(self, letter: Letter, answer: Callable[[StoreAnswer], None]) -> None:
        self._scheduler.call_soon(lambda: answer(NotStored.AWAY if self._away else self._store(letter)))

    def read(
        self, user_id: UserId, desktop_id: DesktopId, after: Offset, answer: Callable[[MailPage | None], None]
    ) -> None:
        self._scheduler.call_soon(lambda: answer(None if self._away else self._read(user_id, desktop_id, after)))

    def settle(self, letter: Letter, status: Status, *, done: bool, answer: Callable[[], None]) -> None:
        def work() -> None:
            self._now_or_later(partial(self._settle, letter, status, done))
            answer()

        self._scheduler.call_soon(work)

    def acknowledge(
        self, user_id: UserId, desktop_id: DesktopId, message_id: str, answer: Callable[[Sender | None], None]
    ) -> None:
        acknowledge = partial(self._acknowledge, self.mailbox(user_id, desktop_id), message_key(message_id))

        def later() -> None:
            sender = acknowledge()
            if sender is not None:
                self.tell(sender, Receipt(message_id, desktop_id, Status.ACKNOWLEDGED))

        self._scheduler.call_soon(lambda: answer(self._now_or_later(acknowledge, later)))

    def keep(self, sender: Sender, receipt: Receipt) -> None:
        self._scheduler.call_soon(lambda: self._now_or_later(partial(self._keep, sender, receipt)))

    def kept(self, sender: Sender, answer: Callable[[list[KeptReceipt] | None], None]) -> None:
        self._scheduler.call_soon(lambda: answer(None if self._away else list(self._shelves.kept.get(sender, ()))))

    def forget(self, sender: Sender, until: Offset) -> None:
        self._scheduler.call_soon(lambda: self._now_or_later(partial(self._forget, sender, until)))

    # -- what is done --------------------------------------------------------------------------------------------

    def _now_or_later(self, work: Callable[[], Result], later: Callable[[], None] | None = None) -> Result | None:
        if self._away:
            self._owed.append(later or work)
            return None
        return work()

    def _store(self, letter: Letter) -> StoreAnswer:
        mailbox, now = self.mailbox(letter.user_id, letter.desktop_id), self._clock.wall_ms()
        known = mailbox.receipts.get(letter.key)
        if known is not None:
            return Known(known.status) if known.fingerprint == letter.fingerprint else NotStored.OTHER_CONTENT
        too_fast = self._too_fast(letter)
        if too_fast is not None:
            return too_fast
        if letter.valid_until is not None and now > letter.valid_until:
            self._remember(mailbox, letter, Status.EXPIRED)
            return NotStored.EXPIRED
        if self._full(mailbox, letter):
            return NotStored.FULL
        entry, previous = self._next_entry(now), mailbox.last
        mailbox.letters[entry] = letter
        mailbox.last = entry
        self._remember(mailbox, letter, Status.STORED, entry)
        return Stored(entry, previous)

    def _too_fast(self, letter: Letter) -> TooFast | None:
        if self._limits.rate is None or letter.device_id == SERVICE:
            return None
        shelves, now = self._shelves.whole_at, self._clock.wall_ms() / 1000
        whole_at = Pace(self._limits.rate, self._limits.burst).admit(shelves.get(letter.user_id, 0.0), now)
        if whole_at < 0.0:
            return TooFast(int(-whole_at * 1000) + 1)
        shelves[letter.user_id] = whole_at
        return None

    def _next_entry(self, now: int) -> Offset:
        self._shelves.newest = max(Offset(now, 0), Offset(self._shelves.newest.epoch, self._shelves.newest.seq + 1))
        return self._shelves.newest

    def _full(self, mailbox: Mailbox, letter: Letter) -> bool:
        too_many = len(mailbox.letters) >= self._limits.messages
        return too_many or mailbox.bytes + size_of(letter) > self._limits.bytes

    def _read(self, user_id: UserId, desktop_id: DesktopId, after: Offset) -> MailPage:
        mailbox = self.mailbox(user_id, desktop_id)
        self._take_out_expired(mailbox, after)
        letters = [(entry, letter) for entry, letter in mailbox.letters.items() if entry > after]
        page: list[tuple[Offset, Letter]] = []
        size = 0
        for entry, letter in letters:
            size += size_of(letter)
            if page and (len(page) == PAGE_LETTERS or size > PAGE_BYTES):
                return MailPage(tuple(page), page[-1][0], more=True)
            page.append((entry, letter))
        return MailPage(tuple(page), mailbox.last, more=False)

    def _settle(self, letter: Letter, status: Status, done: bool) -> None:
        mailbox = self.mailbox(letter.user_id, letter.desktop_id)
        known = mailbox.receipts.get(letter.key)
        if known is None:
            self._remember(mailbox, letter, status)
            return
        known.status = max(known.status, status, key=RANK.index)
        if done:
            self._leave(mailbox, known)

    def _acknowledge(self, mailbox: Mailbox, key: str) -> Sender | None:
        known = mailbox.receipts.get(key)
        if known is None or known.status is Status.ACKNOWLEDGED:
            return None
        known.status = Status.ACKNOWLEDGED
        self._leave(mailbox, known)
        return known.sender

    def _keep(self, sender: Sender, receipt: Receipt) -> None:
        kept = self._shelves.kept.setdefault(sender, deque(maxlen=MOST_KEPT))
        kept.append(KeptReceipt(self._next_entry(self._clock.wall_ms()), receipt))

    def _forget(self, sender: Sender, until: Offset) -> None:
        kept = self._shelves.kept.get(sender, deque())
        while kept and kept[0].entry <= until:
            kept.popleft()

    # -- rules ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _leave(mailbox: Mailbox, known: Remembered) -> None:
        if known.entry is not None:
            del mailbox.letters[known.entry]
            known.entry = None

    def _take_out_expired(self, mailbox: Mailbox, after: Offset = BEGINNING) -> None:
        now = self._clock.wall_ms()
        for entry, letter in [each for each in mailbox.letters.items() if each[0] > after]:
            over = entry.epoch + self._limits.age_ms
            if now <= (over if letter.valid_until is None else min(over, letter.valid_until)):
                continue
            self._leave(mailbox, mailbox.receipts.pop(letter.key))
            known = self._remember(mailbox, letter, Status.EXPIRED)
            message_id = message_id_of(letter.key)
            if message_id is not None:
                self.tell(known.sender, Receipt(message_id, letter.desktop_id, Status.EXPIRED))

    def _remember(self, mailbox: Mailbox, letter: Letter, status: Status, entry: Offset | None = None) -> Remembered:
        sender, now = Sender(letter.user_id, letter.device_id), self._clock.wall_ms()
        known = Remembered(status, letter.fingerprint, sender, now, entry)
        mailbox.receipts[letter.key] = known
        for key in list(mailbox.receipts):
            oldest = mailbox.receipts[key]
            young = oldest.at >= now - self._limits.remembered_ms
            if young and len(mailbox.receipts) <= self._limits.remembered_messages:
                break
            del mailbox.receipts[key]
            if oldest.entry is not None:
                oldest.at = now
                mailbox.receipts[key] = oldest
        return known
