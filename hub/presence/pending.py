"""What waits to be written: the changes of each desktop, in order."""

from collections import OrderedDict
from itertools import islice
from typing import TypeAlias

from actors.ids import DesktopId, UserId
from actors.messages import CameOnline, PresenceChange, PresenceRecord

MOST_DESKTOPS = 100_000
MOST_EARLIER = 10_000

Key: TypeAlias = tuple[UserId, DesktopId]


def key_of(record: PresenceRecord) -> Key:
    """Return what a desktop's states have in common; under another owner it is another desktop to Redis."""
    return (record.user_id, record.desktop_id)


class PendingChanges:
    """A bounded queue. Makes no I/O.

    Redis decides what the stream is told, so every change that it may be told of is kept. One that isn't announced
    gives way to the desktop's next, unless it was tried: then it may be written, and owe the stream an entry.

    Past the bounds the oldest go first, and are counted: earlier changes of desktops that have changed again, and
    desktops' last ones only in an outage that outlives many records' TTL, so that Redis forgets by itself what the
    dropped ones would have ended.
    """

    __slots__ = ("_earlier", "_last", "_next", "_taken", "_tried", "_waiting", "dropped_changes", "dropped_entries")

    def __init__(self) -> None:
        self._next = 0
        self._tried = 0  # all tickets up to this one were taken before
        self._waiting: OrderedDict[int, tuple[float, PresenceChange]] = OrderedDict()
        self._last: dict[Key, int] = {}
        self._earlier: OrderedDict[int, None] = OrderedDict()
        self._taken: dict[int, tuple[float, PresenceChange]] = {}
        self.dropped_changes = 0
        self.dropped_entries = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __contains__(self, key: Key) -> bool:
        """Whether a change of this desktop waits."""
        return key in self._last

    @property
    def waiting_since(self) -> float | None:
        """When the oldest of what isn't written yet came, or None if all is written."""
        for since, _ in (*islice(self._taken.values(), 1), *islice(self._waiting.values(), 1)):
            return since
        return None

    def add(self, change: PresenceChange, now: float) -> None:
        """Take a change. The late end of an older connection changes nothing."""
        key = key_of(change.record)
        last = self._last.get(key)
        if last is not None:
            since, older = self._waiting[last]
            if change.record.epoch < older.record.epoch:
                return
            if last > self._tried and isinstance(older, CameOnline) and not older.announce:
                self._waiting[last] = (since, change)
                return
            self._earlier[last] = None
        self._next += 1
        self._waiting[self._next] = (now, change)
        self._last[key] = self._next
        self._bound()

    def take(self, most: int) -> list[PresenceChange]:
        """Take at most `most` changes, the oldest first; `settle` or `restore` comes next."""
        tickets = list(islice(self._waiting, most))
        self._taken = {ticket: self._remove(ticket) for ticket in tickets}
        self._tried = max([self._tried, *tickets[-1:]])
        return [change for _, change in self._taken.values()]

    def settle(self) -> None:
        """What was taken is written."""
        self._taken = {}

    def restore(self) -> None:
        """What was taken could not be written, or so it seems: it waits again, before what came since."""
        for ticket, (since, change) in reversed(self._taken.items()):
            self._waiting[ticket] = (since, change)
            self._waiting.move_to_end(ticket, last=False)
            if self._last.setdefault(key_of(change.record), ticket) != ticket:
                self._earlier[ticket] = None
                self._earlier.move_to_end(ticket, last=False)
        self.settle()
        self._bound()

    def _remove(self, ticket: int) -> tuple[float, PresenceChange]:
        since, change = self._waiting.pop(ticket)
        if ticket in self._earlier:
            del self._earlier[ticket]
        else:
            del self._last[key_of(change.record)]
        return since, change

    def _bound(self) -> None:
        while len(self._earlier) > MOST_EARLIER:
            self._drop(next(iter(self._earlier)))
        while len(self._last) > MOST_DESKTOPS:
            self._drop(next(iter(self._waiting)))

    def _drop(self, ticket: int) -> None:
        if ticket in self._earlier:
            self.dropped_entries += 1
        else:
            self.dropped_changes += 1
        self._remove(ticket)
