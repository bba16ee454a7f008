"""A letter that another service asked for, on its way (docs/protocol.md, "Messages over HTTP")."""

from collections.abc import Callable

from actors.mail import Receipt
from actors.messages import Fault
from actors.tallies import Tallies


class Errand:
    """What such a letter came from, in the place of a phone's connection: `actors.routes.Origin`.

    The first thing that becomes known of the letter is the answer. What becomes of it later is told to nobody: a
    service has no connection, and asks again with the same `message_id`.
    """

    __slots__ = ("_answer", "_tallies")

    def __init__(self, answer: Callable[[Receipt | Fault], object], tallies: Tallies) -> None:
        self._answer: Callable[[Receipt | Fault], object] | None = answer
        self._tallies = tallies

    def letter_under_way(self, size: int) -> None:
        """Nobody is held up: whoever takes errands bounds how many there are at once."""

    def letter_answered(self, size: int) -> None:
        """The mailroom has answered; so will the errand."""

    def told(self, receipt: Receipt) -> None:
        """Something became known of the letter."""
        if self._answer is not None:
            self._tallies.receipts[receipt.status.value] += 1
            self._give(receipt)

    def undelivered(self, kind: str, fault: Fault) -> None:
        """The letter goes nowhere."""
        self._tallies.outcomes[kind, fault.code.value] += 1
        self._give(fault)

    def _give(self, outcome: Receipt | Fault) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer(outcome)
