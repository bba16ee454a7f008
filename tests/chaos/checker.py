"""What was promised, and whether it was kept: knows every message, every receipt and every notice of a run. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from tests.chaos.letters import Letters
from tests.chaos.streams import Streams

ONLINE, OFFLINE = "online", "offline"


class Finding(NamedTuple):
    """How it stands with one promise: how often it was put to the test, and how it was broken."""

    promise: str
    tested: int
    broken: list[str]


class Change(NamedTuple):
    """An entry of the stream `hub:presence`."""

    desktop_id: str
    state: str
    reason: str


class Checker:
    """Is told everything as it happens, and judges at the end.

    Attributes:
        streams: What desktops said.
        letters: What phones sent.
    """

    def __init__(self) -> None:
        self.streams = Streams()
        self.letters = Letters()
        self._owners: dict[str, str] = {}
        self._users: dict[str, str] = {}
        self._seen: dict[str, dict[str, tuple[str, str]]] = {}
        self._told: dict[str, dict[str, str]] = {}
        self._repeated: list[str] = []
        self._notices = 0
        self._strays: list[str] = []
        self._turned_away: list[str] = []
        self._mute: list[str] = []
        self._truth: dict[str, tuple[str, str]] = {}
        self._answers: list[tuple[str, str, str]] = []

    # -- who there is ------------------------------------------------------------------------------------------------

    def desktop(self, desktop_id: str, user: str) -> None:
        self._owners[desktop_id] = user

    def phone(self, phone: str, user: str) -> None:
        self._users[phone] = user

    def turned_away(self, who: str, why: str) -> None:
        """A client that does what the contract asks was told not to come back."""
        self._turned_away.append(f"{who}: {why}")

    def unheard(self, desktop_id: str) -> None:
        """What a desktop says in the end doesn't reach all phones of its user."""
        self._mute.append(desktop_id)

    # -- what happens --------------------------------------------------------------------------------------------------

    def connected(self, phone: str, now: float) -> None:
        """A phone has a new connection, and has asked for what is behind what it has."""
        self._told[phone] = {}
        self.streams.connected(phone, now)

    def hears(self, phone: str, desktop_id: str, offset: str, n: int, kind: str, now: float) -> None:
        """A desktop's message came to a phone."""
        self._own(phone, desktop_id, kind)
        self.streams.hears(phone, desktop_id, offset, n, kind, now)

    def noticed(self, phone: str, desktop_id: str, state: str, reason: str = "") -> None:
        """A phone was told that a desktop is there, or away."""
        self._notices += 1
        self._own(phone, desktop_id, state)
        told = self._told.setdefault(phone, {})
        if told.get(desktop_id) == state:
            self._repeated.append(f"{phone} of {desktop_id}: {state} {reason}")
        told[desktop_id] = state
        self._seen.setdefault(phone, {})[desktop_id] = state, reason

    def seen(self, phone: str, desktop_id: str) -> tuple[str, str]:
        """What a phone was told last of a desktop: its state, and the reason."""
        return self._seen.get(phone, {}).get(desktop_id, ("", ""))

    def truly(self, desktop_id: str, state: str, reason: str = "") -> None:
        """How a desktop is at the end."""
        self._truth[desktop_id] = state, reason

    def answered(self, node: str, desktop_id: str, state: str) -> None:
        """A node said over HTTP how a desktop is, at the end."""
        self._answers.append((node, desktop_id, state))

    def _own(self, phone: str, desktop_id: str, what: str) -> None:
        if self._owners.get(desktop_id) != self._users[phone]:
            self._strays.append(f"{phone} got {what} of {desktop_id}")

    # -- the judgement -------------------------------------------------------------------------------------------------

    def findings(self, changes: Iterable[Change]) -> list[Finding]:
        """Say how it stands with each promise; `changes`: all of `hub:presence`."""
        streams, letters = self.streams, self.letters
        own = [change for change in changes if change.desktop_id in self._owners]
        many = len(letters.all)
        return [
            Finding("a phone gets nothing twice and nothing out of order", streams.heard, streams.out_of_order()),
            Finding("what a phone misses it is told of", streams.heard, streams.lost("")),
            Finding("what is called complete is complete", streams.heard, streams.lost("denied")),
            Finding("what is stored or acknowledged has come to its desktop", many, letters.undelivered()),
            Finding("what a desktop acknowledged its sender is told", many, letters.untold()),
            Finding("every message is answered", many, letters.unanswered()),
            Finding("no message is refused for good", many, letters.refused),
            Finding("nothing comes to others", streams.heard + many, letters.astray() + self._strays),
            Finding("nobody who comes back is turned away", len(self._users) + len(self._owners), self._turned_away),
            Finding("in the end all phones hear all desktops", len(self._owners), self._mute),
            Finding("all phones see in the end who is there", self._notices, self.wrongly_seen()),
            Finding("a phone is told of changes only", self._notices, self._repeated),
            Finding("all nodes say in the end who is there", len(self._answers), self._wrongly_answered()),
            Finding("hub:presence has one entry a change", len(own), self._wrong_changes(own)),
        ]

    def kept(self, desktop_id: str, replayed: Iterable[int], excused: Iterable[int]) -> Finding:
        """Say whether the journal has a desktop's whole answers, but for those that may be lost."""
        lost = self.streams.durable(desktop_id) - set(replayed) - set(excused)
        texts = [f"{n} of {desktop_id}" for n in sorted(lost)]
        return Finding("whole answers are kept", len(self.streams.durable(desktop_id)), texts)

    def wrongly_seen(self) -> list[str]:
        """Phones that see a desktop otherwise than it is."""
        return [
            f"{phone} sees {desktop_id} {self.seen(phone, desktop_id)}, and it is {truth}"
            for phone, user in self._users.items()
            for desktop_id, truth in self._truth.items()
            if self._owners[desktop_id] == user and self.seen(phone, desktop_id) != truth
        ]

    def _wrongly_answered(self) -> list[str]:
        return [
            f"{node} says that {desktop_id} is {state}"
            for node, desktop_id, state in self._answers
            if self._truth[desktop_id][0] != state
        ]

    def _wrong_changes(self, changes: list[Change]) -> list[str]:
        wrong = []
        for desktop_id, truth in self._truth.items():
            states = [change.state for change in changes if change.desktop_id == desktop_id]
            if states != [ONLINE, OFFLINE] * (len(states) // 2) + [ONLINE] * (len(states) % 2):
                wrong.append(f"{desktop_id}: {', '.join(states)}")
            elif (states or [OFFLINE])[-1] != truth[0]:
                wrong.append(f"{desktop_id} is {truth[0]}, and its last entry says {(states or ['nothing'])[-1]}")
        return wrong
