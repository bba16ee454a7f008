"""A desktop's connection: what it may say, what becomes of it, and how it gets its mail."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from actors.closing import CloseReason
from actors.connection import Connection
from actors.feed import Feed
from actors.ids import ConnectionId, Epoch
from actors.inbox import Offer
from actors.mail import Letter, Stored
from actors.messages import (
    FROM_ACKING_DESKTOPS,
    FROM_DESKTOPS,
    FROM_MOBILES,
    FROM_THE_HUB,
    DesktopIdentity,
    Envelope,
    ErrorCode,
    Fault,
)
from actors.offsets import Offset
from actors.ports import Authenticator
from actors.post import PostOffice
from actors.registry import Desktop
from actors.ring import Ring
from actors.routes import DesktopRoute, Handed, MobileRoute, Origin
from actors.supervisor import Supervisor
from actors.surroundings import Surroundings

RELAYED = FROM_DESKTOPS
NOT_ALLOWED = FROM_MOBILES | FROM_THE_HUB

MOST_UNACKNOWLEDGED = 1000
"""Letters that the mailbox doesn't have, of which the sender is kept in memory until they are acknowledged."""


class DesktopConnection(Connection):
    """Relays the agent's answers to its owner's phones, and is the one writer of what they get from this desktop."""

    kind = "desktop"
    probed = False
    sends = RELAYED
    not_allowed = NOT_ALLOWED

    __slots__ = ("_desk", "_feed", "_handed", "_ring", "_said", "_stamp", "_unacknowledged", "acks", "epoch")

    identity: DesktopIdentity

    def __init__(
        self,
        connection_id: ConnectionId,
        identity: DesktopIdentity,
        epoch: Epoch,
        around: Surroundings,
        supervisor: Supervisor,
        post: PostOffice,
        auth: Authenticator,
        *,
        acks: bool = False,
    ) -> None:
        super().__init__(connection_id, identity, around, supervisor, post, auth)
        self.epoch = epoch
        self.acks = acks
        self._stamp = around.codec.mobile_stamp(identity.desktop_id, epoch)
        self._said: str | None = None
        self._desk: Desktop[DesktopRoute, MobileRoute] | None = None
        self._ring: Ring | None = None
        self._handed: list[Handed] = []
        self._unacknowledged: dict[str, Letter] | None = None
        self._feed = Feed(
            post.mailroom, identity.user_id, identity.desktop_id, ready=self._takes_mail, hand_over=self._hand_over_kept
        )

    def _accept(self, envelope: Envelope, now: float) -> None:
        kind = envelope.type
        if kind not in RELAYED:
            self._answer(kind, envelope, now)
            return
        around, desk = self._around, self._desk
        if desk is None or desk.epoch != self.epoch:  # A newer one came while the hub drains: now that one writes.
            return
        ring = self._ring
        if ring is None:
            ring = self._begin(desk)
        frame = around.codec.to_mobile(envelope, self._stamp, ring.seq + 1)
        ring.append(frame)
        if kind != "agent:stream":
            who = self.identity
            around.journal.append(who.user_id, who.desktop_id, ring.head, frame)
            if around.journal.crowded:
                self._wait_for_the_journal()
        heard = self._supervisor.relay(desk, frame, now)
        if heard:
            around.tallies.relayed[kind] += heard
        else:
            around.tallies.unheard[kind] += 1

    def _answer(self, kind: str, envelope: Envelope, now: float) -> None:
        """What isn't for the phones."""
        answer = self._ANSWERS.get(kind)
        if kind in FROM_ACKING_DESKTOPS and not self.acks:
            text = f"{kind} is for desktops that connect with ?{kind}=1"
            self._refuse(kind, Fault(ErrorCode.TYPE_NOT_ALLOWED, text, envelope.message_id), now)
        elif answer is not None:
            answer(self, envelope, now)
        else:
            self._refuse_type(envelope, now)

    # -- what it says to phones ------------------------------------------------------------------------------------

    def _begin(self, desk: Desktop[DesktopRoute, MobileRoute]) -> Ring:
        """Open this connection's part of the ring and of the journal, with its first message."""
        policy, who = self._around.policy, self.identity
        if desk.ring is None:
            desk.ring = Ring(policy.ring_frames, policy.ring_bytes)
            if desk.follows is not None:
                desk.ring.follow(desk.follows)
        self._ring = desk.ring
        self._ring.open(self.epoch)
        behind = partial(self._supervisor.neighbours.relaying.doubt, desk)  # Another node may have had it in between.
        self._around.journal.open(who.user_id, who.desktop_id, self.epoch, self._stale, behind)
        return self._ring

    def _wait_for_the_journal(self) -> None:
        """Durable messages come faster than they can be written down: this desktop pauses, and none is lost."""
        if not self._held:
            self._hold()
            self._around.journal.when_relieved(self._let_go_on)

    def _stale(self, newer: Epoch) -> None:
        """A newer epoch of this desktop has written (ADR 0009): it comes back, and gets one that is newer still."""
        self._around.epochs.pass_by(newer)
        if self._desk is not None:
            self._supervisor.neighbours.relaying.give_up_ring(self._desk)  # It lacks what the newer epoch said.
        self.close(CloseReason.RESYNC)

    # -- what it gets from phones ----------------------------------------------------------------------------------

    def letter_stored(self, handed: Handed, answer: Stored) -> None:
        """A letter came into the mailbox: hand it over when it is its turn."""
        self._feed.stored(handed.letter, handed.origin, answer)

    def read_mailbox(self) -> None:
        """Go on reading the mailbox, if there may be anything to read."""
        self._feed.read_on()

    def look_for_mail(self) -> None:
        """Read the mailbox: another node may have put something there."""
        self._feed.look()

    def hand_over(self, handed: Handed) -> Offer:
        """Take a letter into the inbox."""
        offer = self.offer(handed.letter.frame, self._around.clock.monotonic())
        if offer is Offer.ACCEPTED:
            if not self._handed:
                self.after_write(self._settle)
            self._handed.append(handed)
        return offer

    def _hand_over_kept(self, letter: Letter, origin: Origin | None) -> bool:
        """Take a letter if the desktop reads and there is room; else it stays in the mailbox until that is so."""
        if not self._takes_mail():
            return False
        if not self._inbox.has_room(letter.frame):
            self.after_write(lambda _written: self._feed.read_on())
            return False
        return self.hand_over(Handed(letter, origin, kept=True)) is Offer.ACCEPTED

    def _takes_mail(self) -> bool:
        return self._around.policy.mailbox and self._closing is None and self._transport.writable

    def writable_again(self) -> None:
        """The desktop caught up with what it was sent: there may be mail for it."""
        super().writable_again()
        self._feed.read_on()

    def _settle(self, written: bool) -> None:
        handed, self._handed = self._handed, []
        if not written:
            self._post.unwritten(handed)
            return
        if self.acks:
            self._await_acks(handed)
        self._post.written(self, handed)
        self._feed.read_on()

    def _await_acks(self, handed: list[Handed]) -> None:
        for each in handed:
            name = each.letter.message_id
            if each.kept or name is None:
                continue
            self._unacknowledged = self._unacknowledged or {}
            while len(self._unacknowledged) >= MOST_UNACKNOWLEDGED:
                del self._unacknowledged[next(iter(self._unacknowledged))]
            self._unacknowledged[name] = each.letter

    def _ack(self, envelope: Envelope, now: float) -> None:
        message_id = self._around.codec.acknowledged(envelope)
        if isinstance(message_id, Fault):
            self._refuse(envelope.type, message_id, now)
            return
        self._count(envelope.type, "accepted")
        letter = None if self._unacknowledged is None else self._unacknowledged.pop(message_id, None)
        self._post.acknowledged(self, message_id, letter)

    # -- coming and going ------------------------------------------------------------------------------------------

    def _farewell(self, reason: str) -> None:
        self._said = reason

    def _join(self) -> bool:
        self._pass_by_other_nodes()
        joined = self._supervisor.join_desktop(self)
        if joined:
            self._desk = self._supervisor.desktop_of(self.identity.user_id, self.identity.desktop_id)
        return joined

    def entered(self) -> None:
        """Other nodes know that the desktop is here: what they put into the mailbox before is read now."""
        self._feed.read_on()

    def _pass_by_other_nodes(self) -> None:
        """Be newer than the connection that another node has, though that node's clock may be ahead."""
        desk = self._supervisor.desktop_of(self.identity.user_id, self.identity.desktop_id)
        if desk is not None and desk.holder is not None and desk.epoch >= self.epoch:
            self._around.epochs.pass_by(desk.epoch)
            self.epoch = self._around.epochs.next()
            self._stamp = self._around.codec.mobile_stamp(self.identity.desktop_id, self.epoch)

    def _part(self, reason: CloseReason) -> None:
        self._supervisor.part_desktop(self, self._said or reason.value.presence, graced=reason.value.graced)
        if not self._still_relays():
            self._say_the_end()

    def link_lost(self) -> None:
        """The socket is gone; if nobody closed it before, the link broke."""
        super().link_lost()
        self._say_the_end()

    def _say_the_end(self) -> None:
        ring, self._ring = self._ring, None
        desk, self._desk = self._desk, None
        end = Offset(self.epoch, 0)
        if ring is not None and ring.epoch == self.epoch:
            who, end = self.identity, ring.head
            self._around.journal.close(who.user_id, who.desktop_id, end)
        if desk is not None:
            self._supervisor.neighbours.fanout.end(desk, end)

    def _tags(self) -> dict[str, object]:
        return {**super()._tags(), "desktop_id": self.identity.desktop_id}

    def _takes_last_words(self) -> bool:
        # A desktop that doesn't read would not get its mail: that stays in the mailbox.
        return self._transport.writable or not self._handed

    def _still_relays(self) -> bool:
        # While the hub drains, what the desktop sent before it saw the close still goes to its owner's phones.
        return self._closing is CloseReason.RESTARTING

    _ANSWERS: ClassVar[dict[str, Callable[["DesktopConnection", Envelope, float], None]]] = {
        "heartbeat": Connection._heartbeat,
        "goodbye": Connection._goodbye,
        "auth:refresh": Connection._refresh,
        "ack": _ack,
    }
