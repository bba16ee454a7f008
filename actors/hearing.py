"""How it stands with listening to desktops on other nodes (ADR 0011): the state of `actors.relaying`."""

from collections.abc import Callable

from actors.copy import Copy, Taken
from actors.ids import Epoch
from actors.offsets import Offset
from actors.ports import Timer
from actors.relay import Relay
from actors.routes import MobileRoute


class Hearing:
    """How it stands with listening to one desktop.

    Attributes:
        waits_for_end: The connection before is elsewhere, too, and has not said its last yet.
        untold: The phones haven't been told that the desktop is there.
        watched: Phones were here when it came: they are to hear it from its first message on.
        was: The epoch of the connection that it had here before: phones have all that it said.
        asked: The newest asking.
        waiting: Whoever waits for the answer to an asking.
    """

    __slots__ = ("asked", "timer", "untold", "waiting", "waits_for_end", "was", "watched")

    def __init__(self, *, untold: bool, watched: bool, was: Epoch | None) -> None:
        self.waits_for_end = False
        self.untold = untold
        self.watched = watched
        self.was = was
        self.asked = 0
        self.waiting: list[tuple[int, Callable[[], object]]] = []
        self.timer: Timer | None = None

    def stop(self) -> None:
        """Wait for nothing any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def answered(self, ask: int) -> list[Callable[[], object]]:
        """Return who waited for this answer."""
        done = [then for number, then in self.waiting if number <= ask]
        self.waiting = [(number, then) for number, then in self.waiting if number > ask]
        return done


class Handover:
    """A desktop that came here from another node, whose last words are not known yet."""

    __slots__ = ("at", "timer", "waiting")

    def __init__(self, at: Offset, timer: Timer, waiting: list[Callable[[], object]]) -> None:
        self.at = at
        self.timer = timer
        self.waiting = waiting


def without_those_ahead(
    copy: Copy, listeners: tuple[MobileRoute | Relay, ...], taken: Taken, now: float
) -> tuple[MobileRoute | Relay, ...]:
    """Give those who have some of the frames already the others, and return who is to get all."""
    ahead, copy.ahead = copy.ahead, {}
    last = Offset(taken.first.epoch, taken.first.seq + len(taken.frames) - 1)
    for phone, at in ahead.items():
        if phone not in listeners:
            continue
        if at <= last:
            known = at.seq + 1 - taken.first.seq if at.epoch == taken.first.epoch else 0
            for frame in taken.frames[max(0, known) :]:
                phone.offer(frame, now)
        else:
            copy.ahead[phone] = at
    return tuple(phone for phone in listeners if phone not in ahead)
