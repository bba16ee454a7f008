"""What desktops said and what each phone got of it: nothing twice, nothing out of order, nothing missing unsaid. Pure.

A desktop's messages are known by their places (epoch, number). Whether anything stood between two places that a phone
got one after the other is known at the end only, from what all phones got together.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

Place = tuple[int, int]
NOWHERE: Place = (0, 0)

MENDING_S = 6.5
"""So long a hub may take to mend a gap in the middle of a connection, before it says that it can't: 2.5 s and what
Redis may be away (`tests.chaos.faults.LONG_S`), while it can't know of the gap."""


def place_of(offset: str) -> Place:
    """An offset, to be compared."""
    epoch, _, seq = offset.partition("-")
    return int(epoch), int(seq)


class Gap(NamedTuple):
    """A phone had everything up to `after`, and then got `before`, or was told that it has all up to there.

    `told`: what the hub said of it: "told" (`complete` is false, before what came behind the gap or at the end of the
    replay), "cut" (the link broke before it could say), "denied" (`complete` is true) or "" (nothing).
    """

    after: Place
    before: Place
    told: str


class Suspect(NamedTuple):
    """A gap of which the hub may still tell. `since`: when it was seen, in seconds."""

    after: Place
    before: Place
    since: float


@dataclass
class Ear:
    """How one phone stands with one desktop.

    Attributes:
        at: The last place that it has, or was told to count from.
        gaps: Where something may be missing.
        faults: What can't be right, whatever others got.
        incomplete: How often it was told that something is missing.
    """

    at: Place = NOWHERE
    gaps: list[Gap] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    incomplete: int = 0
    _replaying: bool = False
    _pending: list[Suspect] = field(default_factory=list)
    _told_at: Place | None = None
    _denied_at: float = -MENDING_S

    def connected(self, now: float) -> None:
        """The phone is connected, and has asked for what is behind `at`."""
        for after, before, since in self._take_pending():
            cut = self._replaying or now - since < MENDING_S
            self.gaps.append(Gap(after, before, "cut" if cut else ""))
        self._replaying, self._told_at = True, None

    def heard(self, place: Place, now: float) -> None:
        """A message came."""
        if place <= self.at:
            self.faults.append(f"{_text(place)} came behind {_text(self.at)}")
            return
        if place != (self.at[0], self.at[1] + 1):
            if self._told_at == self.at:
                self.gaps.append(Gap(self.at, place, "told"))
            else:
                self._pending.append(Suspect(self.at, place, now))
        self.at = place

    def resumed(self, place: Place, now: float, *, complete: bool) -> None:
        """The hub closed a replay, or told of a gap, and says that everything up to `place` was sent."""
        if complete and not self._replaying:
            self.faults.append(f"a replay up to {_text(place)} that nobody asked for is called complete")
        self._replaying = False
        if place > self.at:
            self._pending.append(Suspect(self.at, (place[0], place[1] + 1), now))
            self.at = place
        told = "denied" if complete else "told"
        self.gaps += [Gap(after, before, told) for after, before, _ in self._take_pending()]
        if complete:
            self._denied_at = now
        elif now - self._denied_at < MENDING_S:  # It has learnt meanwhile that there was more, and takes its word back.
            self.gaps = [gap._replace(told="told") if gap.told == "denied" else gap for gap in self.gaps]
        if not complete:
            self.incomplete += 1
            self._told_at = self.at

    def missing(self, last: Mapping[int, int]) -> Iterator[tuple[Gap, list[Place]]]:
        """Yield the gaps, the end's too, and what stood in them; `last`: the last number of each epoch."""
        told = "cut" if self._replaying else ""
        self.gaps += [Gap(after, before, told) for after, before, _ in self._take_pending()]
        end = (max(last, default=0) + 1, 0)
        for gap in [*self.gaps, Gap(self.at, end, "told" if self._told_at == self.at else "")]:
            lost = [
                (epoch, seq)
                for epoch, newest in sorted(last.items())
                if gap.after[0] <= epoch <= gap.before[0]
                for seq in range(1, newest + 1)
                if gap.after < (epoch, seq) < gap.before
            ]
            if lost:
                yield gap, lost

    def _take_pending(self) -> list[Suspect]:
        pending, self._pending = self._pending, []
        return pending


class Streams:
    """All desktops' messages, and all phones' ears.

    Attributes:
        heard: How many messages came to phones.
    """

    def __init__(self) -> None:
        self.heard = 0
        self._said: dict[str, dict[int, str]] = {}
        self._known: dict[str, dict[Place, int]] = {}
        self._ears: dict[str, dict[str, Ear]] = {}
        self._faults: list[str] = []

    def said(self, desktop_id: str, n: int, kind: str) -> None:
        """A desktop sends its message `n`, of which it doesn't know whether it arrives."""
        self._said.setdefault(desktop_id, {})[n] = kind

    def ear(self, phone: str, desktop_id: str) -> Ear:
        return self._ears.setdefault(phone, {}).setdefault(desktop_id, Ear())

    def connected(self, phone: str, now: float) -> None:
        for ear in self._ears.get(phone, {}).values():
            ear.connected(now)

    def hears(self, phone: str, desktop_id: str, offset: str, n: int, kind: str, now: float) -> None:
        """A desktop's message came to a phone."""
        self.heard += 1
        place, known = place_of(offset), self._known.setdefault(desktop_id, {})
        if known.setdefault(place, n) != n:
            self._faults.append(f"{phone}: {offset} of {desktop_id} is {n} here and {known[place]} elsewhere")
        if self._said.get(desktop_id, {}).get(n) != kind:
            self._faults.append(f"{phone}: {desktop_id} never said {n} as {kind}")
        self.ear(phone, desktop_id).heard(place, now)

    def resumed(self, phone: str, desktop_id: str, offset: str, now: float, *, complete: bool) -> None:
        self.ear(phone, desktop_id).resumed(place_of(offset), now, complete=complete)

    def newest(self, phone: str, desktop_id: str) -> int:
        """The number of the newest message that a phone has of a desktop; 0: none."""
        return self._known.get(desktop_id, {}).get(self.ear(phone, desktop_id).at, 0)

    def durable(self, desktop_id: str) -> set[int]:
        """The whole answers and statuses of a desktop that some phone got."""
        said = self._said.get(desktop_id, {})
        return {n for n in self._known.get(desktop_id, {}).values() if said.get(n) != "agent:stream"}

    @property
    def incomplete(self) -> int:
        """How often phones were told that something is missing."""
        return sum(ear.incomplete for ears in self._ears.values() for ear in ears.values())

    def out_of_order(self) -> list[str]:
        """What came twice, out of order, or as something else than it was."""
        wrong = list(self._faults)
        for phone, ears in self._ears.items():
            wrong += [f"{phone} of {desktop_id}: {fault}" for desktop_id, ear in ears.items() for fault in ear.faults]
        for desktop_id, known in self._known.items():
            numbers = [n for _, n in sorted(known.items())]
            if numbers != sorted(set(numbers)):
                wrong.append(f"{desktop_id}: what it said doesn't stand in its order")
        return wrong

    def lost(self, told: str) -> list[str]:
        """What phones missed of what others got, by what was said of it (see `Gap`)."""
        found = []
        for phone, ears in self._ears.items():
            for desktop_id, ear in ears.items():
                known = self._known.get(desktop_id, {})
                last: dict[int, int] = {}
                for epoch, seq in known:
                    last[epoch] = max(seq, last.get(epoch, 0))
                found += [
                    f"{phone} of {desktop_id}: {len(lost)} behind {_text(gap.after)}, from {_text(lost[0])}"
                    f" to {_text(lost[-1])}"
                    for gap, lost in ear.missing(last)
                    if gap.told == told
                ]
        return found


def _text(place: Place) -> str:
    return f"{place[0]}-{place[1]}"
