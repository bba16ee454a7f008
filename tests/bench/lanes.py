"""What goes on between the two of a pair, and what has to come of it: everything, and everything once."""

import time
from typing import Protocol

from tests.bench.frames import Sample
from tests.bench.links import Link, check_harmless

_STORED = b'"status":"stored"'
_DELIVERED = b'"status":"delivered"'
_RECEIPT = b'"receipt"'


class MessagesLostError(Exception):
    """A message did not arrive, arrived twice, or arrived where it was not meant to."""


class Lane(Protocol):
    """A pair of which one sends and the other one receives."""

    desktop: Link
    mobile: Link

    @property
    def in_flight(self) -> int:
        """How many messages are not through yet."""

    def post_at(self, due: int) -> None:
        """Sends one message with this stamp."""

    def top_up(self, window: int) -> None:
        """Sends as many as are missing to so many in flight."""

    def hear_desktop(self) -> list[bytes]:
        """Reads what has come for the desktop; returns the messages of the lane among it."""

    def hear_mobile(self) -> list[bytes]:
        """The same for the mobile."""


class SpeechLane:
    """What the desktop says must come out at its mobile, once."""

    __slots__ = ("_sample", "desktop", "in_flight", "mobile")

    def __init__(self, desktop: Link, mobile: Link, sample: Sample) -> None:
        self.desktop = desktop
        self.mobile = mobile
        self.in_flight = 0
        self._sample = sample

    def post_at(self, due: int) -> None:
        """Sends one message with this stamp."""
        self._post(self._sample.at(due), 1)

    def top_up(self, window: int) -> None:
        """Sends as many as are missing to so many in flight."""
        missing = window - self.in_flight
        if missing > 0:
            self._post(self._sample.frame * missing, missing)

    def hear_desktop(self) -> list[bytes]:
        """Takes notices."""
        for message in self.desktop.messages():
            check_harmless(self.desktop.name, message)
        return []

    def hear_mobile(self) -> list[bytes]:
        """The messages that have come out."""
        messages = self.mobile.marked(self._sample.mark)
        self.in_flight = _fewer(self.in_flight, len(messages), self.mobile)
        return messages

    def _post(self, frames: bytes, count: int) -> None:
        _send(self.desktop, frames)
        self.in_flight += count


class MailLane:
    """What the mobile sends must come out at its desktop, once, and be `stored` and `delivered`, each told once.

    In the closed loop a message counts as through when `delivered` has come.
    """

    __slots__ = ("_coming", "_sample", "_stamp", "_undelivered", "_unstored", "desktop", "mobile")

    def __init__(self, desktop: Link, mobile: Link, sample: Sample) -> None:
        self.desktop = desktop
        self.mobile = mobile
        self._sample = sample
        self._stamp = 0
        self._coming = self._unstored = self._undelivered = 0

    @property
    def in_flight(self) -> int:
        """Messages of which something is missing yet: they themselves, or a receipt."""
        return max(self._coming, self._unstored, self._undelivered)

    def post_at(self, due: int) -> None:
        """Sends one message with this stamp, which is its name: greater than all before it."""
        self._stamp = due
        self._post(self._sample.at(due), 1)

    def top_up(self, window: int) -> None:
        """Sends as many as are missing to so many without `delivered`."""
        missing = window - self._undelivered
        if missing > 0:
            first = max(self._stamp + 1, time.monotonic_ns())
            self._stamp = first + missing - 1
            self._post(b"".join(map(self._sample.at, range(first, first + missing))), missing)

    def hear_desktop(self) -> list[bytes]:
        """The messages that have come out."""
        messages = self.desktop.marked(self._sample.mark)
        self._coming = _fewer(self._coming, len(messages), self.desktop)
        return messages

    def hear_mobile(self) -> list[bytes]:
        """Takes receipts and notices."""
        for message in self.mobile.messages():
            if _DELIVERED in message:
                self._undelivered = _fewer(self._undelivered, 1, self.mobile)
            elif _STORED in message:
                self._unstored = _fewer(self._unstored, 1, self.mobile)
            elif _RECEIPT in message:
                raise MessagesLostError(f"{self.mobile.name}: neither stored nor delivered: {message.decode()}")
            else:
                check_harmless(self.mobile.name, message)
        return []

    def _post(self, frames: bytes, count: int) -> None:
        _send(self.mobile, frames)
        self._coming += count
        self._unstored += count
        self._undelivered += count


def _send(link: Link, frames: bytes) -> None:
    if link.send(frames) != len(frames):
        raise MessagesLostError(f"{link.name}: the server takes no more")


def _fewer(awaited: int, count: int, link: Link) -> int:
    if count > awaited:
        raise MessagesLostError(f"{link.name}: got more than was sent to it")
    return awaited - count
