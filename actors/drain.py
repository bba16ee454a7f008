"""Leaving without loss: what the hub does between SIGTERM and its end.

1. Everybody is told `goodbye` with a `retry_after_ms` of their own, spread so that nobody stampedes back.
2. For a moment everything is still relayed both ways: what a client sent before it read the goodbye arrives.
3. The desktops are closed (1012); what they sent before they saw it still goes to the phones.
4. When the last desktop is gone, or its time is up, the phones are closed.
"""

from collections.abc import Callable

from actors.closing import CloseReason
from actors.ports import Scheduler
from actors.routes import Route
from actors.supervisor import Supervisor

LINGER_S = 0.3
DESKTOPS_S = 2.0
BATCH = 500
POLL_S = 0.02
HURRIED_S = 0.5


class Drain:
    """Drains one node.

    Args:
        spread_s: The range of `retry_after_ms`.
        close_deadline_s: How long a peer may take to answer the close frame.
        share: Returns a number in [0, 1); `random.random`.
        done: Called once, when no socket is open any more.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        scheduler: Scheduler,
        *,
        spread_s: float,
        close_deadline_s: float,
        share: Callable[[], float],
        done: Callable[[], None],
    ) -> None:
        self._supervisor = supervisor
        self._scheduler = scheduler
        self._spread_s = spread_s
        self._close_deadline_s = close_deadline_s
        self._share = share
        self._done = done
        self._hurried = False
        self._finished = False

    def start(self) -> None:
        """Begin."""
        self._in_batches(self._supervisor.open_routes(), self._say_goodbye, self._linger)

    def hurry(self) -> None:
        """Close everything now."""
        if not self._hurried:
            self._hurried = True
            self._close_all()

    def retry_after_s(self) -> float:
        """One client's share of the spread."""
        return self._share() * self._spread_s

    def _say_goodbye(self, route: Route) -> None:
        route.say_goodbye(int(self.retry_after_s() * 1000))

    def _linger(self) -> None:
        self._scheduler.call_later(LINGER_S, self._close_desktops)

    def _close_desktops(self) -> None:
        self._in_batches(self._supervisor.open_routes("desktop"), self._close, lambda: self._await_desktops(DESKTOPS_S))

    def _await_desktops(self, left_s: float) -> None:
        if left_s > 0 and self._supervisor.open_routes("desktop"):
            self._scheduler.call_later(POLL_S, self._await_desktops, left_s - POLL_S)
        else:
            self._close_all()

    def _close_all(self) -> None:
        self._in_batches(self._supervisor.open_routes(), self._close, self._await_all)

    def _await_all(self) -> None:
        if self._supervisor.open_count:
            self._scheduler.call_later(POLL_S, self._await_all)
        elif not self._finished:
            self._finished = True
            self._done()

    def _close(self, route: Route) -> None:
        route.close(CloseReason.RESTARTING, deadline_s=HURRIED_S if self._hurried else self._close_deadline_s)

    def _in_batches(self, routes: list[Route], act: Callable[[Route], None], then: Callable[[], None]) -> None:
        """Act on all of them, giving the loop a turn after each batch."""
        for route in routes[:BATCH]:
            act(route)
        rest = routes[BATCH:]
        if rest:
            self._scheduler.call_later(0.0, self._in_batches, rest, act, then)
        else:
            then()
