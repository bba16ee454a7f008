"""What is said to Redis to write presence: one command for each change, owner and stream entry."""

from dataclasses import dataclass
from typing import Literal

from actors.messages import CameOnline, PresenceChange, PresenceRecord, WentOffline
from hub.presence import fields, keys, scripts
from hub.presence.owed import Debt, OwedEntry
from hub.store.calls import Command
from hub.store.script import Script

KNOWN_TTL_MS = 30 * 24 * 3600 * 1000
OWNER_EXPIRY_MS = 4_102_444_800_000
"""The year 2100, so that adding any epoch to it lies in the future (of an epoch of today: by 50,000 years)."""


@dataclass(frozen=True, slots=True)
class Commands:
    """Words commands. `ttl_ms`: how long a record lives; `known_limit`, `stream_length`: how much is kept."""

    ttl_ms: int
    known_limit: int
    stream_length: int

    def write(self, change: PresenceChange) -> Command:
        """Write or end a record (`scripts.PUT`, `scripts.DROP`)."""
        if isinstance(change, CameOnline):
            return self._put(change.record, announce=change.announce)
        return self._drop(change, "forget" if change.forget else "")

    def lose(self, change: WentOffline) -> Command:
        """End a record that was lost with its node; the node may write it again, if it lives after all."""
        return self._drop(change, "lost")

    def append(self, owed: OwedEntry) -> Command:
        """Append to the stream what isn't there yet (`scripts.APPEND`)."""
        entry = owed.entry
        return (
            *scripts.APPEND.on(keys.STREAM, keys.TOLD),
            owed.name,
            owed.stamp,
            self.stream_length,
            *("desktop_id", entry.desktop_id, "user_id", entry.user_id, "state", entry.state),
            *("reason", entry.reason, "at", entry.at),
        )

    def _put(self, record: PresenceRecord, *, announce: bool) -> Command:
        return (
            *self._fenced(scripts.PUT, record, ""),
            "1" if announce else "0",
            record.user_id,
            record.node_id,
            record.connection_id,
            record.name or "",
            record.platform or "",
            record.since,
        )

    def _drop(self, change: WentOffline, how: Literal["", "forget", "lost"]) -> Command:
        return (*self._fenced(scripts.DROP, change.record, change.reason), how, change.at, change.reason)

    def _fenced(self, script: Script, record: PresenceRecord, reason: str) -> Command:
        user_id, desktop_id = record.user_id, record.desktop_id
        return (
            *script.on(
                keys.record(user_id, desktop_id),
                keys.desktops(user_id),
                keys.known(user_id),
                keys.ended(user_id, desktop_id),
                keys.owed(user_id),
            ),
            record.epoch,
            desktop_id,
            record.last_seen,
            fields.known_text(record, reason),
            KNOWN_TTL_MS,
            self.known_limit,
            self.ttl_ms,
        )


def own(record: PresenceRecord) -> Command:
    """Make the record's user the desktop's owner (`scripts.OWN`)."""
    expires_at = OWNER_EXPIRY_MS + record.epoch
    return (*scripts.OWN.on(keys.owner(record.desktop_id)), record.user_id, expires_at)


def strike(debt: Debt) -> Command:
    """Say that no more is owed of a desktop than what was appended (`scripts.STRIKE`)."""
    return (*scripts.STRIKE.on(keys.owed(debt.user_id)), debt.desktop_id, debt.text)
