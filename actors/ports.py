"""What the actors need from the world, with the guarantees written down. `hub/` has an adapter for each."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from actors.closing import CloseReason
from actors.ids import DesktopId, Epoch, NodeId, UserId
from actors.journal import JournalPage
from actors.mail import KeptReceipt, Letter, MailPage, Receipt, Sender, Status, StoreAnswer
from actors.messages import (
    Envelope,
    Fault,
    Identity,
    KnownDesktop,
    Label,
    MobileIdentity,
    Notice,
    PresenceChange,
)
from actors.nodes import Share, Word
from actors.offsets import Offset

OfEpoch: TypeAlias = Callable[[Epoch], None]
"""Is told of a desktop's connection, by its epoch."""


class Timer(Protocol):
    """A pending `call_later`."""

    def cancel(self) -> None:
        """Keep the call from happening; harmless when it already has."""
        ...


class Scheduler(Protocol):
    """The turn of events. An asyncio loop is one; tests have one that they turn by hand."""

    def call_soon(self, callback: Callable[..., object], *args: object) -> object:
        """Call after the current callback returns, in the order of asking."""
        ...

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> Timer:
        """Call in `delay` seconds."""
        ...


class Transport(Protocol):
    """One client's socket.

    Frames go out in the order given. `writable` is false while the peer reads slower than it is written to; the
    connection's `writable_again` is called when that is over. After `close` nothing is written any more, and the
    connection's `link_lost` or `peer_closed` follows within a bounded time, whatever the peer does.
    """

    writable: bool

    @property
    def unsent_bytes(self) -> int:
        """What was written and has not left for the peer yet."""
        ...

    def write(self, frames: Sequence[bytes]) -> None:
        """Hand over finished frames; they leave in one system call where possible."""
        ...

    def hold_reading(self) -> None:
        """Take nothing more from the peer until `let_read`; what was read already still comes."""
        ...

    def let_read(self) -> None:
        """Take from the peer again."""
        ...

    def ping(self) -> None:
        """Send a ping frame."""
        ...

    def close(self, reason: CloseReason, *, deadline_s: float) -> None:
        """Send the close frame behind what was written, and cut the link if the peer hasn't closed in `deadline_s`.

        Once it is sent, a sooner deadline takes the place of the one that was set.
        """
        ...


class Codec(Protocol):
    """Envelopes in, finished frames out. Frames are immutable, so one can go to many sockets."""

    def decode(self, text: str) -> Envelope | Fault:
        """Return the envelope, or what is wrong with it (`bad_envelope`). Never raises."""
        ...

    def to_mobile(self, envelope: Envelope, stamp: bytes, seq: int) -> bytes:
        """Encode for phones, with the sending connection's `stamp` (see `mobile_stamp`) and the message's number."""
        ...

    def to_desktop(self, envelope: Envelope, sender: MobileIdentity) -> bytes:
        """Encode for a desktop, with the sender's `user_id` and `device_id`."""
        ...

    def mobile_stamp(self, desktop_id: DesktopId, epoch: Epoch) -> bytes:
        """Return what `to_mobile` adds for this desktop; made once a connection."""
        ...

    def label(self, frame: bytes) -> Label:
        """Read back what a frame for a phone holds; for slow readers only, it costs more than making one."""
        ...

    def fingerprint(self, envelope: Envelope) -> str:
        """Return a text that is the same for messages of the same type and payload, and for no others."""
        ...

    def notice(self, notice: Notice, offset: Offset | None = None) -> bytes:
        """Encode one of the hub's own messages; `offset`: where the desktop that it tells of stands."""
        ...

    def addressed_desktop(self, envelope: Envelope) -> DesktopId | Fault:
        """Read `payload.desktop_id`, or say what is wrong with it (`bad_payload`)."""
        ...

    def acknowledged(self, envelope: Envelope) -> str | Fault:
        """Read `payload.message_id`, or say what is wrong with it (`bad_payload`)."""
        ...

    def goodbye_reason(self, envelope: Envelope) -> str | Fault:
        """Read `payload.reason`, or say what is wrong with it (`bad_payload`)."""
        ...

    def refresh_token(self, envelope: Envelope) -> str | Fault:
        """Read `payload.token`, or say what is wrong with it (`bad_payload`)."""
        ...


class Authenticator(Protocol):
    """Checks a new token for a live connection."""

    def refresh(self, current: Identity, token: str, answer: Callable[[Identity | Fault], None]) -> None:
        """Check `token` and call `answer` once, soon: with the new identity, or with what is wrong.

        The new token must be of the same kind and for the same subject (and owner) as `current`.
        """
        ...


class PresenceMirror(Protocol):
    """Takes presence changes to where other services see them. Never blocks, never raises.

    Changes of one desktop arrive in the order given. While the store is away they wait, bounded, and the latest state
    of every desktop is written when it is back.
    """

    def record(self, change: PresenceChange) -> None:
        """Mirror one change."""
        ...

    def load_known(self, user_id: UserId, answer: Callable[[list[KnownDesktop] | None], None]) -> None:
        """Ask for the user's desktops of the past; `answer` is called once, with None if the store can't be asked."""
        ...


class Mailroom(Protocol):
    """Keeps phones' messages for desktops, and what became of them (ADR 0008). Never blocks, never raises.

    What is asked is done in the order of asking, and every answer is given once, later, in that order. While the store
    is away everything is answered at once, with what is said for that case below.
    """

    def store(self, letter: Letter, answer: Callable[[StoreAnswer], None]) -> None:
        """Put a letter into its desktop's mailbox, unless one of that key came before. Away: `NotStored.AWAY`."""
        ...

    def read(
        self, user_id: UserId, desktop_id: DesktopId, after: Offset, answer: Callable[[MailPage | None], None]
    ) -> None:
        """Read the mailbox behind `after`, a bounded piece. Away: None.

        Letters whose time is over are taken out instead; their senders are told by `tell` of whoever made the mailroom.
        """
        ...

    def settle(self, letter: Letter, status: Status, *, done: bool, answer: Callable[[], None]) -> None:
        """Remember what became of a letter; it leaves the mailbox if it is `done`.

        A letter that isn't known is remembered from now on, so that it is not stored any more. Away: done when the
        store is back (the newest 10,000 of them), and answered at once.
        """
        ...

    def acknowledge(
        self, user_id: UserId, desktop_id: DesktopId, message_id: str, answer: Callable[[Sender | None], None]
    ) -> None:
        """The desktop has taken the message: as `settle`. Away: None, and done when the store is back.

        The answer is who sent it; None for one that isn't known or was acknowledged before. After an outage the sender
        is told by `tell` of whoever made the mailroom.
        """
        ...

    def keep(self, sender: Sender, receipt: Receipt) -> None:
        """Keep a receipt for a device that is away, for a day; without a device, for the user's phones without one."""
        ...

    def kept(self, sender: Sender, answer: Callable[[list[KeptReceipt] | None], None]) -> None:
        """Read what was kept for a device, in order. Away: None."""
        ...

    def forget(self, sender: Sender, until: Offset) -> None:
        """Drop what was kept for a device, up to and with `until`."""
        ...


class Journal(Protocol):
    """Keeps what desktops said to phones and should not be lost (ADR 0009). Never blocks, never raises.

    What is asked is done in the order of asking. While the store is away, the newest of it waits, bounded. While it is
    here nothing is given up, if those who write wait when it is `crowded`.
    """

    crowded: bool
    """Whether writes come faster than they are done."""

    def open(self, user_id: UserId, desktop_id: DesktopId, epoch: Epoch, stale: OfEpoch, behind: OfEpoch) -> None:
        """A connection is about to say its first message; `behind` is told which one wrote before it, if any did.

        `stale` is called if a newer epoch has written already, with that: nothing of this one is kept.
        """
        ...

    def append(self, user_id: UserId, desktop_id: DesktopId, offset: Offset, frame: bytes) -> None:
        """Keep a durable message; `frame` as it went to the phones."""
        ...

    def close(self, user_id: UserId, desktop_id: DesktopId, offset: Offset) -> None:
        """The connection said nothing behind `offset`, and never will."""
        ...

    def when_relieved(self, act: Callable[[], object]) -> None:
        """Call `act` once, later: when there is room again, or the store is away."""
        ...

    def read(
        self,
        user_id: UserId,
        desktop_id: DesktopId,
        after: Offset,
        answer: Callable[[JournalPage | None], None],
        *,
        newest: int | None = None,
    ) -> None:
        """Read behind `after`, a bounded piece; `answer` is called once, later; None if the store can't be asked.

        `newest`: begin so late that at most so many messages are left to read.
        """
        ...


class Cluster(Protocol):
    """The other nodes that share the store (ADR 0011). Never blocks, never raises.

    Whoever made the cluster is told what comes from there: words in the order in which each node sent them; that
    something of a node's words was lost; that a node is gone; and that everything is to be entered anew.
    """

    def enter(
        self, user_id: UserId, share: Share | None, answer: Callable[[Mapping[NodeId, Share] | None], None]
    ) -> None:
        """Write what this node holds of a user, and read what all others hold, in one step.

        So of two nodes that enter at the same moment the later one sees the earlier. `share`: None only reads; an
        empty one takes the node's share away. `answer` is called once, later; None: the store is away, and everything
        is to be entered anew when it is back. Calls for one user are answered in the order of asking.
        """
        ...

    def send(self, node_id: NodeId, word: Word) -> None:
        """Tell another node something, soon. It may be lost; then the other node is told so, if it lives."""
        ...
