"""A model of the presence scripts in plain Python: what hub/presence/scripts.py is compared with."""

from collections.abc import Sequence

from actors.ids import DesktopId, NodeId, UserId
from actors.messages import CameOnline, KnownDesktop, PresenceChange, PresenceRecord, WentOffline
from hub.presence.answers import PresenceAnswer, StreamEntry
from hub.presence.pending import Key, key_of


class ModelStore:
    """Remembers the fence for ever, and lets nothing expire."""

    def __init__(self, known_limit: int) -> None:
        self.records: dict[Key, PresenceRecord] = {}
        self.ended: dict[Key, int] = {}
        self.owners: dict[DesktopId, tuple[int, UserId]] = {}
        self.stream: list[StreamEntry] = []
        self._seen: dict[UserId, dict[DesktopId, int]] = {}
        self._known: dict[Key, tuple[str | None, str | None, str]] = {}
        self._limit = known_limit

    async def apply(self, changes: Sequence[PresenceChange], renewals: Sequence[PresenceRecord] = ()) -> None:
        for change in [*changes, *(CameOnline(record, announce=False) for record in renewals)]:
            if isinstance(change, CameOnline):
                self._put(change)
            else:
                self._drop(change)

    async def clear_node(self, node_id: NodeId) -> int:
        lost = [record for record in self.records.values() if record.node_id == node_id]
        for record in lost:
            del self.records[key_of(record)]
            self._leave(WentOffline(record, "node_lost", 0))
        return len(lost)

    async def known(self, user_id: UserId) -> list[KnownDesktop]:
        seen = sorted(self._seen.get(user_id, {}).items(), key=lambda item: (item[1], item[0]), reverse=True)
        return [
            self._known_desktop(user_id, desktop_id, last_seen)
            for desktop_id, last_seen in seen
            if self.owners.get(desktop_id, (0, user_id))[1] == user_id
        ]

    async def desktop(self, desktop_id: DesktopId) -> PresenceAnswer:
        _, owner = self.owners.get(desktop_id, (0, None))
        if owner is None:
            return PresenceAnswer(desktop_id, "offline", 0)
        record = self.records.get((owner, desktop_id))
        if record is None:
            last_seen = self._seen.get(owner, {}).get(desktop_id)
            return PresenceAnswer(desktop_id, "offline", 0, owner, last_seen)
        return PresenceAnswer(
            desktop_id,
            "online",
            0,
            owner,
            record.last_seen,
            record.node_id,
            record.connection_id,
            record.name,
            record.platform,
            record.since,
        )

    def _known_desktop(self, user_id: UserId, desktop_id: DesktopId, last_seen: int) -> KnownDesktop:
        name, platform, reason = self._known[(user_id, desktop_id)]
        return KnownDesktop(desktop_id, last_seen, name, platform, reason or "node_lost")

    def _told_offline(self, key: Key) -> bool:
        return key in self._known and self._known[key][2] != ""

    def _put(self, change: CameOnline) -> None:
        record, key = change.record, key_of(change.record)
        held = self.records.get(key)
        taken = held is None or held.epoch != record.epoch
        if (held and held.epoch > record.epoch) or self.ended.get(key, -1) >= record.epoch:
            taken = False
        else:
            if held is None and (change.announce or self._told_offline(key)):
                self.stream.append(_entry_of(change))
            self.records[key] = record
            seen = self._seen.setdefault(record.user_id, {})
            added = record.desktop_id not in seen
            seen[record.desktop_id] = record.last_seen
            if taken or added:
                self._known[key] = (record.name, record.platform, "")
            self._trim(record.user_id)
        if (change.announce or taken) and self.owners.get(record.desktop_id, (-1, ""))[0] <= record.epoch:
            self.owners[record.desktop_id] = (record.epoch, record.user_id)

    def _drop(self, change: WentOffline) -> None:
        record, key = change.record, key_of(change.record)
        held, ended = self.records.get(key), self.ended.get(key, -1)
        if (held and held.epoch > record.epoch) or ended > record.epoch:
            return
        self.ended[key] = record.epoch
        if self.records.pop(key, None) or (ended != record.epoch and not self._told_offline(key)):
            self._leave(change)
        else:
            self._remember(change)

    def _leave(self, change: WentOffline) -> None:
        self.stream.append(_entry_of(change))
        self._remember(change)

    def _remember(self, change: WentOffline) -> None:
        record, key = change.record, key_of(change.record)
        seen = self._seen.setdefault(record.user_id, {})
        if change.forget:
            seen.pop(record.desktop_id, None)
            self._known.pop(key, None)
            return
        seen[record.desktop_id] = max(record.last_seen, seen.get(record.desktop_id, 0))
        self._known[key] = (record.name, record.platform, change.reason)
        self._trim(record.user_id)

    def _trim(self, user_id: UserId) -> None:
        seen = self._seen[user_id]
        while len(seen) > self._limit:
            oldest = min(seen, key=lambda each: (seen[each], each))
            del seen[oldest]
            self._known.pop((user_id, oldest), None)


def _entry_of(change: PresenceChange) -> StreamEntry:
    record = change.record
    if isinstance(change, CameOnline):
        return StreamEntry(record.desktop_id, record.user_id, "online", "", record.last_seen)
    return StreamEntry(record.desktop_id, record.user_id, "offline", change.reason, change.at)
