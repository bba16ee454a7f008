"""Users' messages and what was said of each: stored ones arrive, taken ones are known to be taken. Pure."""

from dataclasses import dataclass, field


@dataclass
class Letter:
    """A message of a phone to a desktop, and what happened to it."""

    user: str
    phone: str
    desktop_id: str
    statuses: list[str] = field(default_factory=list)
    arrivals: int = 0

    @property
    def taken(self) -> bool:
        """Whether its sender was told that the desktop has acknowledged it."""
        return "acknowledged" in self.statuses


class Letters:
    """All of them, by their message ids.

    Attributes:
        all: The letters.
        refused: What the hub said no to.
    """

    def __init__(self) -> None:
        self.all: dict[str, Letter] = {}
        self.refused: list[str] = []
        self._strays: list[str] = []

    def posted(self, message_id: str, letter: Letter) -> None:
        self.all[message_id] = letter

    def receipt(self, phone: str, message_id: str, status: str) -> None:
        """A phone was told what became of a message; for `duplicate`, what it had come to."""
        letter = self.all.get(message_id)
        if letter is None or letter.phone != phone:
            self._strays.append(f"{phone} was told of {message_id}, which isn't its own")
        else:
            letter.statuses.append(status)

    def refuse(self, message_id: str, code: str) -> None:
        self.refused.append(f"{message_id}: {code}")

    def arrived(self, desktop_id: str, user: str | None, phone: str | None, message_id: str) -> None:
        """A message came to a desktop."""
        letter = self.all.get(message_id)
        if letter is None or (letter.desktop_id, letter.user, letter.phone) != (desktop_id, user, phone):
            self._strays.append(f"{desktop_id} got {message_id} of {phone} of {user}")
        else:
            letter.arrivals += 1

    def astray(self) -> list[str]:
        """What came to somebody whom it is not for."""
        return self._strays

    def undelivered(self) -> list[str]:
        """What was said to be stored or acknowledged, and never came to its desktop."""
        return [
            f"{message_id} for {letter.desktop_id}: {', '.join(letter.statuses)}"
            for message_id, letter in self.all.items()
            if not letter.arrivals and {"stored", "acknowledged"} & set(letter.statuses)
        ]

    def untold(self) -> list[str]:
        """What came to its desktop, which acknowledged it, and whose sender never learns that."""
        return [
            f"{message_id} from {letter.phone}: {', '.join(letter.statuses) or 'nothing'}"
            for message_id, letter in self.all.items()
            if letter.arrivals and not letter.taken
        ]

    def unsettled(self) -> bool:
        """Whether anything is still to come to a desktop, or to be told."""
        return bool(self.undelivered() or self.untold() or self.unanswered())

    def unanswered(self) -> list[str]:
        """What nothing was said of at all."""
        return [message_id for message_id, letter in self.all.items() if not letter.statuses]
