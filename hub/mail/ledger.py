"""What the mailroom counts, and whom it tells of letters that are over."""

import logging
from collections.abc import Callable

from actors.ids import DesktopId, UserId
from actors.mail import Receipt, Sender
from hub.mail import entries
from hub.store.guard import guard

log = logging.getLogger("hub.mail")
_guarded = guard(log, "telling that a message expired failed")


class Ledger:
    """Plain integers, for metrics.

    Attributes:
        stored: Letters that were put into a mailbox.
        duplicates: Letters whose key came before.
        expired: Letters that were taken out of a mailbox because they are over.
        outages: How often Redis went away.
        dropped: What was to be done when Redis is back and was given up: it was too much, or met a bug.
    """

    def __init__(self, tell: Callable[[Sender, Receipt], None]) -> None:
        self.stored = 0
        self.duplicates = 0
        self.expired = 0
        self.outages = 0
        self.dropped = 0
        self._tell = tell

    def note_expired(self, user_id: UserId, desktop_id: DesktopId, flat: entries.Fields) -> None:
        """Count letters that were taken out because they are over, and have their senders told."""
        self.expired += len(flat) // 2
        for sender, receipt in entries.expired(user_id, desktop_id, flat):
            _guarded(self._tell, sender, receipt)
