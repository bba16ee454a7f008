"""What stands behind a desktop: something that takes a question and says its answer piece by piece."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

Say: TypeAlias = Callable[[str], Awaitable[None]]
"""Takes the next piece of an answer; waits while too much of it is unsent."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an answer ended.

    Attributes:
        exit_code: The program's exit code; negative: the signal that ended it; None: it never ran or was stopped.
        failure: What went wrong, in words; None if nothing did.
        stderr: The end of what the program wrote to its standard error.
    """

    exit_code: int | None = 0
    failure: str | None = None
    stderr: str = ""


class Agent(Protocol):
    """Answers one question at a time."""

    async def answer(self, question: str, say: Say) -> Outcome:
        """Answer `question` through `say`. A failure is an `Outcome`, not an exception; may be cancelled."""
        ...
