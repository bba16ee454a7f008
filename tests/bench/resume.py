"""What it costs when phones come back with `?resume=`, from the hub's memory."""

import contextlib
import functools
import json
from collections.abc import Iterator, Sequence

from tests.bench.figures import Resume
from tests.bench.frames import said
from tests.bench.lanes import MessagesLostError
from tests.bench.links import Door, IsIn, Link, Opener, check_harmless, close_all
from tests.bench.plan import Plan
from tests.bench.processes import Usage
from tests.bench.servers import Server, running
from tests.bench.stage import Progress, doors, open_links, spent, wait_quiet
from tests.bench.stats import median
from tests.bench.targets import Target, desktop_of

_PHONES = range(100)
_BEHIND = 1_000
_POUR_LIMIT_S = 20.0


def resume(hub: Target, plan: Plan, progress: Progress) -> list[Resume]:
    """Phones come and go, their desktops say 1,000 pieces each meanwhile, and the phones come back all at once."""
    figures = []
    for turn in range(plan.rounds):
        progress(f"resume: round {turn + 1} of {plan.rounds}")
        with running(hub) as server, _desktops(server) as desktops:
            figures.append(_missed(server, desktops, plan.resume_times))
    return figures


@contextlib.contextmanager
def _desktops(server: Server) -> Iterator[Sequence[Link]]:
    links = open_links(server, "desktop", _PHONES)
    try:
        wait_quiet(server)
        yield links
    finally:
        close_all(links)


def _missed(server: Server, desktops: Sequence[Link], times: int) -> Resume:
    plain = doors(server, "mobile", _PHONES)
    places = Places()
    coming, _ = _come_and_go(server, plain, places, times)
    for desktop in desktops:
        _pour(desktop)
    wait_quiet(server)
    back = [
        Door(door.name, f"{door.path}?resume={desktop_of(pair)}:{places.offsets[door.name]}", door.headers)
        for pair, door in zip(_PHONES, plain, strict=True)
    ]
    replaying, seconds = _come_and_go(server, back, Replays(_BEHIND), times)
    cost, count = replaying - coming, len(back) * _BEHIND * times
    return Resume(len(back), _BEHIND, cost.own * 1e6 / count, cost.store * 1e6 / count, seconds)


def _come_and_go(server: Server, doors: Sequence[Door], is_in: IsIn, times: int) -> tuple[Usage, float]:
    """All phones come at once, until they are in, and go, so many times.

    Returns:
        Seconds of CPU of all times together, and the median of the seconds until the last phone was in.
    """
    lasted = []

    def come() -> None:
        for _ in range(times):
            opener = Opener(server.launch.port, is_in, at_once=len(doors))
            arrival = spent(server, functools.partial(opener.open, doors))
            close_all(arrival.result)
            lasted.append(arrival.elapsed)
            wait_quiet(server)

    return spent(server, come).cpu, median(lasted)


def _pour(desktop: Link) -> None:
    """Says all the pieces, as fast as the hub takes them."""
    desktop.socket.settimeout(_POUR_LIMIT_S)
    desktop.socket.sendall(said("agent:stream").frame * _BEHIND)
    desktop.socket.settimeout(0)


class Places:
    """A phone is in when it knows where its desktop stands."""

    def __init__(self) -> None:
        self.offsets: dict[str, str] = {}
        """By the names of the links."""

    def __call__(self, link: Link, messages: Sequence[bytes]) -> bool:
        """Looks for the desktop's offset."""
        for message in messages:
            check_harmless(link.name, message)
            if b'"desktop:online"' in message:
                self.offsets[link.name] = json.loads(message)["offset"]
                return True
        return False


class Replays:
    """A phone is in when it has `resumed`: complete, and with exactly what it missed before."""

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self._got: dict[Link, int] = {}
        self._mark = said("agent:stream").mark

    def __call__(self, link: Link, messages: Sequence[bytes]) -> bool:
        """Counts what is replayed."""
        for message in messages:
            if self._mark in message:
                self._got[link] = self._got.get(link, 0) + 1
            elif not check_harmless(link.name, message) and b'"resumed"' in message:
                self._check(link, message)
                return True
        return False

    def _check(self, link: Link, message: bytes) -> None:
        got = self._got.pop(link, 0)
        if got != self._behind or json.loads(message)["payload"]["complete"] is not True:
            raise MessagesLostError(f"{link.name}: {got} of {self._behind} replayed, then {message.decode()}")
