"""What waits to be written: the latest state of each desktop, and every stream entry."""

from collections import OrderedDict, deque
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from actors.ids import DesktopId, UserId
from actors.messages import CameOnline, PresenceChange, PresenceRecord
from hub.presence.answers import StreamEntry, entry_of

MOST_CHANGES = 100_000
MOST_ENTRIES = 10_000

Key: TypeAlias = tuple[UserId, DesktopId]


def key_of(record: PresenceRecord) -> Key:
    """Return what a desktop's states have in common; under another owner it is another desktop to Redis."""
    return (record.user_id, record.desktop_id)


@dataclass(slots=True)
class Batch:
    """What is being written. Each part is with the time since when it has waited."""

    changes: OrderedDict[Key, tuple[float, PresenceChange]]
    entries: list[tuple[float, StreamEntry]]

    def __bool__(self) -> bool:
        return bool(self.changes or self.entries)


class PendingChanges:
    """A bounded queue in which a desktop's newer state takes the place of an older one. Makes no I/O.

    Past the bounds the oldest go first, and are counted: of the changes only in an outage that outlives many records'
    TTL, so that Redis forgets by itself what the dropped ones would have ended.
    """

    __slots__ = ("_changes", "_entries", "_taken", "dropped_changes", "dropped_entries")

    def __init__(self) -> None:
        self._changes: OrderedDict[Key, tuple[float, PresenceChange]] = OrderedDict()
        self._entries: deque[tuple[float, StreamEntry]] = deque()
        self._taken = Batch(OrderedDict(), [])
        self.dropped_changes = 0
        self.dropped_entries = 0

    def __bool__(self) -> bool:
        return bool(self._changes or self._entries)

    @property
    def waiting_since(self) -> float | None:
        """When the oldest of what isn't written yet came, or None if all is written."""
        firsts = [*islice(self._taken.changes.values(), 1), *islice(self._changes.values(), 1)]
        since = [first[0] for first in firsts] + [
            entry[0] for entry in (*self._taken.entries[:1], *islice(self._entries, 1))
        ]
        return min(since, default=None)

    def add(self, change: PresenceChange, now: float) -> None:
        """Take a change and what the stream is told of it. The late end of an older connection changes nothing."""
        self._coalesce(key_of(change.record), now, change)
        entry = entry_of(change)
        if entry is not None:
            self._entries.append((now, entry))
        self._bound()

    def take(self, most: int) -> Batch:
        """Take at most `most` changes and as many entries, the oldest first; `settle` or `restore` comes next."""
        changes = OrderedDict(self._changes.popitem(last=False) for _ in range(min(most, len(self._changes))))
        entries = [self._entries.popleft() for _ in range(min(most, len(self._entries)))]
        self._taken = Batch(changes, entries)
        return self._taken

    def settle(self) -> None:
        """What was taken is written."""
        self._taken = Batch(OrderedDict(), [])

    def restore(self) -> None:
        """What was taken could not be written: it waits again, in its old place; newer states of a desktop win."""
        newer, self._changes = self._changes, self._taken.changes
        for key, (since, change) in newer.items():
            self._coalesce(key, since, change)
        self._entries.extendleft(reversed(self._taken.entries))
        self.settle()
        self._bound()

    def _coalesce(self, key: Key, now: float, change: PresenceChange) -> None:
        waiting = self._changes.get(key)
        if waiting is None:
            self._changes[key] = (now, change)
            return
        since, older = waiting
        if change.record.epoch < older.record.epoch:
            return
        if isinstance(change, CameOnline) and isinstance(older, CameOnline) and older.announce:
            change = CameOnline(change.record, announce=True)  # the owner is still to be written
        self._changes[key] = (since, change)

    def _bound(self) -> None:
        while len(self._changes) > MOST_CHANGES:
            self._changes.popitem(last=False)
            self.dropped_changes += 1
        while len(self._entries) > MOST_ENTRIES:
            self._entries.popleft()
            self.dropped_entries += 1
