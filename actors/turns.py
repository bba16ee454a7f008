"""When woken actors have their turn: right after the batch of messages that woke them, and once for the whole batch."""

from collections.abc import Callable

from actors.ports import Scheduler


class Turns:
    """Gathers the turns that one read from a socket causes, and runs them at its end.

    Without this each batch would wait for the event loop to come round again, which costs a system call more
    (docs/performance.md, "The turn at the end of a read"). What is woken by anything but a read has its turn when the
    loop comes round.
    """

    __slots__ = ("_scheduler", "_woken", "reading")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._woken: list[Callable[[], object]] = []
        self.reading = False
        """Set by a transport while it reads; it calls `run` at the end of the read."""

    def wake(self, turn: Callable[[], object]) -> None:
        """Have `turn` called soon."""
        if not self._woken and not self.reading:
            self._scheduler.call_soon(self.run)
        self._woken.append(turn)

    def run(self) -> None:
        """Call what was woken, in order."""
        self.reading = False
        woken = self._woken
        if woken:
            self._woken = []
            for turn in woken:
                turn()
