"""Entries of the stream `hub:presence` that were decided and may not be in the stream yet (`hub.presence.scripts`)."""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from actors.ids import DesktopId, UserId
from hub.presence.answers import StreamEntry


@dataclass(frozen=True, slots=True)
class OwedEntry:
    """An entry that is owed. `stamp` says when it was decided, in microseconds since the epoch.

    `name` is what `keys.TOLD` knows it by, so that it is appended once.
    """

    entry: StreamEntry
    stamp: int
    name: str


@dataclass(frozen=True, slots=True)
class Debt:
    """What is owed of one desktop. `text`: a line `STATE EPOCH STAMP AT REASON` for each entry, the oldest first."""

    user_id: UserId
    desktop_id: DesktopId
    text: bytes

    def entries(self) -> list[OwedEntry]:
        """Read them. Lines that another program has damaged are passed over."""
        lines = self.text.decode(errors="replace").split("\n")
        return [entry for line in lines if (entry := self._read(line))]

    def _read(self, line: str) -> OwedEntry | None:
        try:
            state, _, stamp, at, reason = line.split(" ", 4)
            told = {"desktop_id": self.desktop_id, "user_id": self.user_id, "state": state, "reason": reason, "at": at}
            entry = msgspec.convert(told, StreamEntry, strict=False)
            return OwedEntry(entry, int(stamp), f"{line.removesuffix(reason)}{self.user_id} {self.desktop_id}")
        except (msgspec.ValidationError, ValueError):
            return None


def owed_entries(debts: Iterable[Debt]) -> list[OwedEntry]:
    """Return everything that is owed, in the order of deciding."""
    return sorted((entry for debt in debts for entry in debt.entries()), key=lambda entry: entry.stamp)
