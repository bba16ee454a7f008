"""A node's connections as its other actors see them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from actors.closing import CloseReason
from actors.ids import ConnectionId, DesktopId, Epoch
from actors.inbox import Offer
from actors.mail import Letter, Stored
from actors.messages import DesktopIdentity, Fault, MobileIdentity
from actors.offsets import Offset


class Route(Protocol):
    """A connection as the supervisor sees it."""

    connection_id: ConnectionId
    kind: ClassVar[str]

    @property
    def waiting(self) -> tuple[int, int]:
        """Frames and bytes in the inbox."""
        ...

    def entered(self) -> None:
        """Other nodes know that the connection is here, or can't be told: now what was kept for it can be read."""
        ...

    def offer(self, frame: bytes, now: float) -> Offer:
        """Put a frame into the connection's inbox; a connection whose inbox is full closes itself (4102)."""
        ...

    def after_write(self, act: Callable[[bool], object]) -> None:
        """Call `act` once: with True when all that is in the inbox now is written, or with False if it never is."""
        ...

    def say_goodbye(self, retry_after_ms: int) -> None:
        """Tell the client that the hub is about to restart."""
        ...

    def close(self, reason: CloseReason, *, deadline_s: float | None = None) -> None:
        """End the connection; when it is ending already, only hasten that. The peer has `deadline_s` to answer."""
        ...


class Origin(Protocol):
    """What a letter came from: a phone's connection, or another service's errand (`actors.errand`)."""

    def letter_under_way(self, size: int) -> None:
        """A letter of so many bytes was given to the mailroom; who sends faster than it answers is not read from."""
        ...

    def letter_answered(self, size: int) -> None:
        """The mailroom has answered."""
        ...

    def undelivered(self, kind: str, fault: Fault) -> None:
        """Tell the sender that its message goes nowhere."""
        ...


class MobileRoute(Route, Origin, Protocol):
    """A phone's connection. `epoch`: of two connections of one device the one with the higher epoch stays."""

    identity: MobileIdentity
    epoch: Epoch

    def missed(self, desktop_id: DesktopId, at: Offset) -> None:
        """Something is missing of what a desktop said before it came to `at`, and can't be had."""
        ...

    def reached(self, desktop_id: DesktopId) -> Offset | None:
        """Up to where the phone had everything of a desktop when that was last written down; None: never."""
        ...

    def has_all_up_to(self, desktop_id: DesktopId) -> Offset | None:
        """As `reached`; None, too, if something was missing when the phone was last given what it missed."""
        ...

    def stands(self, desktop_id: DesktopId, at: Offset) -> None:
        """The phone had everything of a desktop up to `at`, which this node forgets; no-op for one that is behind."""
        ...

    def fell_behind(self, desktop_id: DesktopId, at: Offset) -> None:
        """Something that a desktop said behind `at` didn't come to this node: give the phone what can be had."""
        ...


@dataclass(frozen=True, slots=True)
class Handed:
    """A letter in a desktop's inbox, and what it came from if that is known.

    `kept`: it is in the mailbox until it is settled.
    """

    letter: Letter
    origin: Origin | None
    kept: bool


class DesktopRoute(Route, Protocol):
    """A desktop's connection. `acks`: it says `ack` for what it has taken."""

    identity: DesktopIdentity
    epoch: Epoch
    acks: bool

    def hand_over(self, handed: Handed) -> Offer:
        """Take a letter into the inbox."""
        ...

    def letter_stored(self, handed: Handed, answer: Stored) -> None:
        """A letter came into the mailbox: hand it over when it is its turn."""
        ...

    def read_mailbox(self) -> None:
        """Go on reading the mailbox, if there may be anything to read."""
        ...

    def look_for_mail(self) -> None:
        """Read the mailbox: another node may have put something there."""
        ...
