"""What nodes tell each other (ADR 0011).

A share is state: what one node holds of one user. Words travel over the nodes' channels, which may lose them; whoever
sends or hears one can do without it, or notices that it is missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from actors.ids import ConnectionId, DesktopId, DeviceId, Epoch, UserId
from actors.mail import Letter, Receipt, Sender, Stored
from actors.messages import Fault
from actors.offsets import Offset


@dataclass(frozen=True, slots=True)
class HeldDesktop:
    """A desktop that is connected to a node, or was until a moment ago. Times in milliseconds since the epoch."""

    desktop_id: DesktopId
    epoch: Epoch
    name: str | None
    platform: str | None
    since: int
    last_seen: int


@dataclass(frozen=True, slots=True)
class Share:
    """What one node holds of one user.

    Attributes:
        version: A later share of the same node and user has a higher one.
        desktops: Those that are to be seen as online, because of this node.
        devices: The phones whose tokens name a device, each with its connection's epoch: the newer one stays.
        nameless: How many phones have tokens without a device.
    """

    version: int
    desktops: tuple[HeldDesktop, ...] = ()
    devices: Mapping[DeviceId, Epoch] = field(default_factory=dict)
    nameless: int = 0

    @property
    def phones(self) -> int:
        """How many phones there are."""
        return len(self.devices) + self.nameless

    def holds(self, desktop_id: DesktopId) -> bool:
        """Whether the node holds this desktop."""
        return any(held.desktop_id == desktop_id for held in self.desktops)

    @property
    def empty(self) -> bool:
        """Whether the node holds nobody of the user."""
        return not self.desktops and not self.phones


@dataclass(frozen=True, slots=True)
class Gone:
    """A desktop that a share doesn't hold any more. `last_seen` in milliseconds since the epoch."""

    desktop_id: DesktopId
    epoch: Epoch
    last_seen: int
    reason: str


@dataclass(frozen=True, slots=True)
class Shared:
    """The sender's share of a user is now this one."""

    user_id: UserId
    share: Share
    gone: tuple[Gone, ...] = ()


@dataclass(frozen=True, slots=True)
class Listen:
    """The sender has phones that listen to this desktop, and wants what it says from now on.

    Answered with `Pieces` that carry the same `ask`: with what it said behind `after`; None: with nothing of that.
    """

    user_id: UserId
    desktop_id: DesktopId
    ask: int
    after: Offset | None


@dataclass(frozen=True, slots=True)
class Pieces:
    """Some of what a desktop said, finished frames for phones, numbered `first`, `first` + 1, ... within one epoch.

    Attributes:
        user_id: Whose desktop it is.
        desktop_id: Which.
        epoch: Of the connection that said it.
        first: The number of the first frame, or of the next one, if there is none.
        frames: The frames.
        before: The place before the first frame; None: unknown.
        ask: The `Listen` that it answers; 0: it was said just now.
        last: Whether the answer ends here. What is said just now comes behind it.
    """

    user_id: UserId
    desktop_id: DesktopId
    epoch: Epoch
    first: int
    frames: tuple[bytes, ...]
    before: Offset | None = None
    ask: int = 0
    last: bool = True


@dataclass(frozen=True, slots=True)
class Ended:
    """The desktop's connection of this epoch has said its last, at `offset`."""

    user_id: UserId
    desktop_id: DesktopId
    offset: Offset


@dataclass(frozen=True, slots=True)
class Posted:
    """A letter for a desktop that the receiver holds.

    `stored`: its place in the mailbox; None: it isn't there, so it is handed over now or never. `connection_id`: the
    phone's connection that it came from, on the sender; None: another service.
    """

    letter: Letter
    stored: Stored | None
    connection_id: ConnectionId | None


@dataclass(frozen=True, slots=True)
class Told:
    """A receipt for a phone of the receiver: for this connection if it is there, else for the sender's device."""

    sender: Sender
    receipt: Receipt
    connection_id: ConnectionId | None


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A letter of this connection of the receiver goes nowhere. `kind` is the message's type."""

    connection_id: ConnectionId
    kind: str
    fault: Fault


@dataclass(frozen=True, slots=True)
class Disowned:
    """The desktop has another owner since `epoch`: it is not this user's any more."""

    user_id: UserId
    desktop_id: DesktopId
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Outdated:
    """There was a newer connection of the desktop, of this epoch, and it is over: what the receiver holds is older."""

    user_id: UserId
    desktop_id: DesktopId
    epoch: Epoch


Word: TypeAlias = Shared | Listen | Pieces | Ended | Posted | Told | Undelivered | Disowned | Outdated
