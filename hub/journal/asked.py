"""What the journal is asked for, and the command to Redis for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from actors.ids import DesktopId, Epoch, UserId
from actors.journal import JournalPage
from actors.offsets import Offset
from actors.ports import OfEpoch
from hub.frames import text_of
from hub.journal import keys
from hub.journal.scripts import PAGE_BYTES, JournalScripts
from hub.store.calls import Command

Answer: TypeAlias = Callable[[JournalPage | None], None]

_LAST_START = Offset(2**64 - 1, 2**64 - 2)
"""Redis knows nothing behind the greatest id, and says so with an error."""


@dataclass(slots=True)
class Open:
    """A connection begins. `asked_at`: monotonic seconds; `certain`: nothing of the desktop was dropped before it."""

    user_id: UserId
    desktop_id: DesktopId
    epoch: Epoch
    asked_at: float
    behind: OfEpoch
    certain: bool = True

    @property
    def size(self) -> int:
        """Bytes of the message."""
        return 0

    def command(self, scripts: JournalScripts) -> Command:
        """Return the command that does it."""
        return (*scripts.open.on(*keys.of_journal(self.user_id, self.desktop_id)), self.epoch, int(self.certain))


@dataclass(slots=True)
class Append:
    """A message is kept. `asked_at`: monotonic seconds."""

    user_id: UserId
    desktop_id: DesktopId
    offset: Offset
    frame: bytes
    asked_at: float

    @property
    def epoch(self) -> int:
        """The connection's."""
        return self.offset.epoch

    @property
    def size(self) -> int:
        """Bytes of the message."""
        return len(self.frame)

    def command(self, scripts: JournalScripts) -> Command:
        """Return the command that does it."""
        call = scripts.append.on(*keys.of_journal(self.user_id, self.desktop_id))
        return (*call, *self.offset, text_of(self.frame).decode(errors="replace"))


@dataclass(slots=True)
class Close:
    """A connection has ended. `asked_at`: monotonic seconds."""

    user_id: UserId
    desktop_id: DesktopId
    offset: Offset
    asked_at: float

    @property
    def epoch(self) -> int:
        """The connection's."""
        return self.offset.epoch

    @property
    def size(self) -> int:
        """Bytes of the message."""
        return 0

    def command(self, scripts: JournalScripts) -> Command:
        """Return the command that does it."""
        return (*scripts.close.on(*keys.of_journal(self.user_id, self.desktop_id)), *self.offset)


@dataclass(slots=True)
class Read:
    """Somebody wants to read."""

    user_id: UserId
    desktop_id: DesktopId
    after: Offset
    answer: Answer
    newest: int | None

    @property
    def size(self) -> int:
        """Bytes that may come back."""
        return PAGE_BYTES

    def command(self, scripts: JournalScripts) -> Command:
        """Return the command that does it."""
        call = scripts.read.on(*keys.of_journal(self.user_id, self.desktop_id))
        return (*call, str(min(self.after, _LAST_START)), "" if self.newest is None else self.newest)


Write: TypeAlias = Open | Append | Close
Asked: TypeAlias = Write | Read
