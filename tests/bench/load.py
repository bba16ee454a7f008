"""The load: pairs of one desktop and one mobile, and the loops that drive messages between them."""

import select
import time
from collections.abc import Callable, Sequence

from tests.bench.frames import client_frame, envelope, stamped
from tests.bench.lanes import Lane, MessagesLostError
from tests.bench.links import close_all

_STALL_S = 5.0
_DRAIN_S = 10.0
_MOST_EVENTS = 256


class Load:
    """All pairs on one poller, driven from one thread."""

    def __init__(self) -> None:
        self._lanes: list[Lane] = []
        self._ends: dict[int, tuple[Lane, Callable[[], list[bytes]]]] = {}
        self._poller = select.epoll()
        self.received = 0
        """Messages that have come out at the other end so far."""

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return len(self._lanes)

    def add(self, lanes: Sequence[Lane]) -> None:
        """Takes more pairs in, and closes them in the end."""
        self._lanes += lanes
        for lane in lanes:
            self._ends[lane.mobile.socket.fileno()] = (lane, lane.hear_mobile)
            self._ends[lane.desktop.socket.fileno()] = (lane, lane.hear_desktop)
            self._poller.register(lane.mobile.socket, select.EPOLLIN)
            self._poller.register(lane.desktop.socket, select.EPOLLIN)

    def close(self) -> None:
        """Closes all connections."""
        self._poller.close()
        close_all(link for lane in self._lanes for link in (lane.desktop, lane.mobile))

    def settle(self, quiet_s: float) -> None:
        """Reads notices, answers pings, until nothing has come for a while; a message that nobody sent raises."""
        deadline = time.monotonic() + _DRAIN_S
        while self._turn(quiet_s):
            if time.monotonic() > deadline:
                return

    def start_window(self, window: int) -> None:
        """Puts so many messages of every pair in flight; `closed_loop` keeps them there."""
        for lane in self._lanes:
            lane.top_up(window)

    def closed_loop(self, seconds: float, window: int) -> None:
        """Answers every message that is through with the next one of its pair, so long."""
        poll, ends = self._poller.poll, self._ends
        heard = time.monotonic()
        deadline = heard + seconds
        while (now := time.monotonic()) < deadline:
            for descriptor, _ in poll(0.5, _MOST_EVENTS):
                heard = now
                lane, hear = ends[descriptor]
                self.received += len(hear())
                lane.top_up(window)
            if now - heard > _STALL_S:
                raise MessagesLostError(f"nothing arrives any more, {self._in_flight()} messages are out")

    def open_loop(self, rate: float, seconds: float) -> tuple[list[int], list[int]]:
        """Sends by the clock, pair after pair, whatever the server does, and waits for all of it to arrive.

        A message's stamp is the moment at which it was due, so that waiting before it was sent is counted in.

        Returns:
            Nanoseconds from due to received of every message, and from due to sent.
        """
        lanes, total, interval = self._lanes, int(rate * seconds), 1e9 / rate
        delays: list[int] = []
        lateness: list[int] = []
        start = time.monotonic_ns() + 1_000_000
        last_call = start + int((seconds + _STALL_S) * 1e9)
        while len(delays) < total:
            now = time.monotonic_ns()
            while (sent := len(lateness)) < total and (due := start + int(sent * interval)) <= now:
                lanes[sent % len(lanes)].post_at(due)
                lateness.append(time.monotonic_ns() - due)
            self._receive_stamped(delays)
            if now > last_call:
                raise MessagesLostError(f"{total - len(delays)} of {total} messages have not arrived")
        self.received += total
        return delays, lateness

    def drain(self) -> None:
        """Waits for what is in flight, and a little longer for what must not come."""
        deadline = time.monotonic() + _DRAIN_S
        while self._in_flight():
            self._turn(0.1)
            if time.monotonic() > deadline:
                raise MessagesLostError(f"{self._in_flight()} messages have not arrived")
        self._turn(0.05)

    def hold(self, seconds: float, heartbeat_s: float) -> None:
        """Idles as real clients do: answers pings, and every desktop sends a heartbeat in every such span."""
        beat = client_frame(envelope("heartbeat", {}))
        interval = heartbeat_s / len(self._lanes)
        start = time.monotonic()
        sent = 0
        while (now := time.monotonic()) < start + seconds:
            while start + sent * interval <= now:
                self._lanes[sent % len(self._lanes)].desktop.send(beat)
                sent += 1
            self._turn(0.05)

    def _receive_stamped(self, delays: list[int]) -> None:
        for descriptor, _ in self._poller.poll(0, _MOST_EVENTS):
            messages = self._ends[descriptor][1]()
            now = time.monotonic_ns()
            delays.extend(now - stamped(message) for message in messages)

    def _turn(self, patience_s: float) -> bool:
        """Reads what there is; whether there was anything."""
        events = self._poller.poll(patience_s, _MOST_EVENTS)
        for descriptor, _ in events:
            self.received += len(self._ends[descriptor][1]())
        return bool(events)

    def _in_flight(self) -> int:
        return sum(lane.in_flight for lane in self._lanes)
