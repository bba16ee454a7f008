"""How it stands with listening to desktops on other nodes (ADR 0011): the state of `actors.relaying`."""

from collections.abc import Callable

from actors.copy import Copy, Taken
from actors.ids import DesktopId, Epoch
from actors.offsets import Offset
from actors.ports import Scheduler, Timer
from actors.relay import Relay
from actors.routes import MobileRoute

ANSWER_S = 1.0
"""So long a node may take to answer, or to say that a connection has ended: then it goes on without, and asks again."""


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
    """A desktop that came here from another node, whose last words are not known yet.

    Attributes:
        at: Up to where phones here heard it there.
        waiting: Whoever waits until that is known to be all, or known not to be.
    """

    __slots__ = ("at", "timer", "waiting")

    def __init__(self, at: Offset, timer: Timer, waiting: list[Callable[[], object]]) -> None:
        self.at = at
        self.timer = timer
        self.waiting = waiting


class Handovers:
    """Those of a node. Each ends by itself after `ANSWER_S`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._under_way: dict[DesktopId, Handover] = {}

    def get(self, desktop_id: DesktopId) -> Handover | None:
        """The one of a desktop, if its last words are waited for."""
        return self._under_way.get(desktop_id)

    def begin(self, desktop_id: DesktopId, at: Offset, waiting: list[Callable[[], object]]) -> None:
        """Wait for a desktop's last words; one that is under way has to be taken first."""
        timer = self._scheduler.call_later(ANSWER_S, self.end, desktop_id)
        self._under_way[desktop_id] = Handover(at, timer, waiting)

    def take(self, desktop_id: DesktopId) -> list[Callable[[], object]]:
        """Wait no more, and return who did."""
        handover = self._under_way.pop(desktop_id, None)
        if handover is None:
            return []
        handover.timer.cancel()
        return handover.waiting

    def end(self, desktop_id: DesktopId) -> None:
        """Wait no more, and let those go on who did."""
        call_all(self.take(desktop_id))


def call_all(waiting: list[Callable[[], object]]) -> None:
    """Let those go on who waited."""
    for then in waiting:
        then()


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
