"""Gives one desktop its mailbox, in order, and as fast as it reads (ADR 0008)."""

from collections.abc import Callable

from actors.ids import DesktopId, UserId
from actors.mail import Letter, MailPage, Stored
from actors.offsets import BEGINNING
from actors.ports import Mailroom
from actors.routes import Origin


class Feed:
    """Where a desktop's connection stands in its mailbox.

    The mailbox decides the order. A letter that comes while everything before it was handed over goes out from
    memory; in every other case the mailbox is read from where the connection stands.

    Args:
        mailroom: Where the mailbox is.
        user_id: Whose desktop it is.
        desktop_id: Which.
        ready: Whether the desktop reads what it is given.
        hand_over: Takes the next letter, and what it came from if it goes out from memory; or returns
            False. `read_on` is to be called once the letter is written, or there is room for it.
    """

    __slots__ = ("_again", "_at", "_caught_up", "_desktop_id", "_hand_over", "_mailroom", "_reading", "_ready", "_user")

    def __init__(
        self,
        mailroom: Mailroom,
        user_id: UserId,
        desktop_id: DesktopId,
        *,
        ready: Callable[[], bool],
        hand_over: Callable[[Letter, Origin | None], bool],
    ) -> None:
        self._mailroom = mailroom
        self._user = user_id
        self._desktop_id = desktop_id
        self._ready = ready
        self._hand_over = hand_over
        self._at = BEGINNING
        self._caught_up = False
        self._reading = False
        self._again = False

    def read_on(self) -> None:
        """Read what there is behind the last letter, if there may be any and the desktop reads."""
        if self._caught_up or not self._ready():
            return
        self._again = self._reading
        if not self._reading:
            self._reading = True
            self._mailroom.read(self._user, self._desktop_id, self._at, self._take)

    def look(self) -> None:
        """There may be more than this node knows of."""
        self._caught_up = False
        self.read_on()

    def stored(self, letter: Letter, origin: Origin | None, answer: Stored) -> None:
        """A letter came into the mailbox."""
        if answer.entry <= self._at:
            return  # It was read already.
        if self._caught_up and answer.previous == self._at and self._hand_over(letter, origin):
            self._at = answer.entry
        else:
            self._caught_up = False
            self.read_on()

    def _take(self, page: MailPage | None) -> None:
        self._reading = False
        if page is None:
            if self._again:  # Perhaps by whoever learnt that the store is back, before this answer came.
                self.read_on()
            return
        for entry, letter in page.letters:
            if not self._hand_over(letter, None):
                return
            self._at = entry
        self._at = max(self._at, page.reached)
        self._caught_up = not page.more and not self._again
        if not page.letters:
            self.read_on()
