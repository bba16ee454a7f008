"""The post office: takes letters to desktops, and tells the senders what became of them (ADR 0008)."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from actors.afar import Afar
from actors.errand import Errand
from actors.ids import ConnectionId, DesktopId, DeviceId, NodeId, UserId
from actors.inbox import Offer
from actors.mail import (
    SERVICE,
    KeptReceipt,
    Known,
    Letter,
    NotStored,
    Receipt,
    Sender,
    Status,
    StoreAnswer,
    Stored,
    TooFast,
    message_key,
    nameless_key,
)
from actors.messages import Envelope, ErrorCode, Fault, MobileIdentity
from actors.nodes import Posted, Share, Told, Undelivered
from actors.ports import Mailroom
from actors.routes import DesktopRoute, Handed, MobileRoute, Origin
from actors.supervisor import Supervisor
from actors.surroundings import Surroundings

RETRY_UNAVAILABLE_MS = 500
RETRY_FULL_MS = 1000

MOST_ERRANDS = 1024
"""Services' letters that are not kept and are on their way to other nodes; nobody waits for older ones any more."""

_NEWS = frozenset({Status.DELIVERED, Status.ACKNOWLEDGED, Status.EXPIRED})
"""What a device that is away is told at its next connection."""


@dataclass(slots=True)
class PostOffice:
    """One a node. Letters are in the mailroom, or in a desktop's inbox; it remembers only whom to ask for again."""

    around: Surroundings
    supervisor: Supervisor
    mailroom: Mailroom
    _numbers: "count[int]" = field(default_factory=count)
    _unasked: dict[MobileRoute, None] = field(default_factory=dict)
    _errands: dict[ConnectionId, Errand] = field(default_factory=dict)

    # -- letters -------------------------------------------------------------------------------------------------

    def send(self, origin: MobileRoute, target: DesktopId, envelope: Envelope) -> None:
        """Take a phone's message to a desktop of its own user."""
        who = origin.identity
        self._post(self._letter(who, who.device_id, target, envelope), origin)

    def send_for_service(
        self, user_id: UserId, target: DesktopId, envelope: Envelope, answer: Callable[[Receipt | Fault], object]
    ) -> None:
        """Take another service's message to a desktop of this user; it has to have a `message_id`.

        `answer` is called once: when the mailroom has answered, or, without the mailroom, when the desktop has it. What
        becomes of the message later is told to nobody.
        """
        letter = self._letter(MobileIdentity(user_id, math.inf), SERVICE, target, envelope)
        self._post(letter, Errand(answer, self.around.tallies))

    def _post(self, letter: Letter, origin: Origin) -> None:
        if self.around.policy.mailbox:
            origin.letter_under_way(len(letter.frame))
            self.mailroom.store(letter, partial(self._stored, letter, origin))
        else:
            self._directly(letter, origin, ErrorCode.DESKTOP_OFFLINE)

    def _letter(self, who: MobileIdentity, device_id: DeviceId | None, target: DesktopId, envelope: Envelope) -> Letter:
        codec, name = self.around.codec, envelope.message_id
        return Letter(
            user_id=who.user_id,
            desktop_id=target,
            device_id=device_id,
            kind=envelope.type,
            key=nameless_key(f"{self.around.node_id}/{next(self._numbers)}") if name is None else message_key(name),
            frame=codec.to_desktop(envelope, who),
            fingerprint=codec.fingerprint(envelope),
            valid_until=envelope.valid_until,
        )

    def _stored(self, letter: Letter, origin: Origin, answer: StoreAnswer) -> None:
        origin.letter_answered(len(letter.frame))
        match answer:
            case Stored():
                self._report(letter, origin, Status.STORED)
                self._bring(letter, origin, answer)
            case Known(latest):
                self._report(letter, origin, Status.DUPLICATE, latest)
            case NotStored.EXPIRED:
                self._report(letter, origin, Status.EXPIRED)
            case NotStored.AWAY:
                self._directly(letter, origin, ErrorCode.UNAVAILABLE)
            case NotStored.FULL | NotStored.OTHER_CONTENT:
                self._refuse(letter, origin, _REFUSED[answer])
            case TooFast(wait_ms):
                self._refuse(letter, origin, ErrorCode.RATE_LIMITED, wait_ms)

    def _directly(self, letter: Letter, origin: Origin, absent: ErrorCode) -> None:
        """Hand a letter over without the mailbox."""
        if letter.valid_until is not None and letter.valid_until < self.around.clock.wall_ms():
            self._report(letter, origin, Status.EXPIRED)
            return
        desktop = self._connected(letter)
        if desktop is not None:
            self._hand_over(letter, origin, desktop)
        elif self.around.policy.mailbox:  # The store is away, and with it the way to other nodes.
            self._refuse(letter, origin, absent)
        else:
            self._send_on(letter, origin, None)

    def _hand_over(self, letter: Letter, origin: Origin, desktop: DesktopRoute) -> None:
        if desktop.hand_over(Handed(letter, origin, kept=False)) is not Offer.ACCEPTED:
            self._refuse(letter, origin, ErrorCode.QUEUE_FULL)

    def _connected(self, letter: Letter) -> DesktopRoute | None:
        desktop = self.supervisor.desktop_of(letter.user_id, letter.desktop_id)
        return None if desktop is None else desktop.connection

    # -- desktops and phones on other nodes --------------------------------------------------------------------------

    def hear(self, node_id: NodeId, word: Posted | Told | Undelivered) -> None:
        """Take what another node has for a desktop or a phone that is here."""
        match word:
            case Posted(letter, stored, name):
                origin = None if name is None else Afar(node_id, name, self.around.cluster)
                self._posted(letter, origin, stored)
            case Told():
                self._told(word)
            case Undelivered(name, kind, fault):
                sender = self._errands.pop(name, None) or self.supervisor.phone_named(name)
                if sender is not None:
                    sender.undelivered(kind, fault)

    def _bring(self, letter: Letter, origin: Origin, stored: Stored) -> None:
        """Tell the desktop's connection, wherever it is, that there is a letter."""
        desktop = self._connected(letter)
        if desktop is not None:
            desktop.letter_stored(Handed(letter, origin, kept=True), stored)
        else:
            self._send_on(letter, origin, stored)

    def _send_on(self, letter: Letter, origin: Origin, stored: Stored | None) -> None:
        """Send the letter to the node that the desktop is connected to."""
        desktop = self.supervisor.desktop_of(letter.user_id, letter.desktop_id)
        if isinstance(origin, Errand):
            # Its user may have nobody here; and there are no phones that would listen to a desktop that moves.
            look = partial(self._send_to_holder, letter, origin, stored)
            self.around.cluster.enter(letter.user_id, None, look)
        elif desktop is not None and desktop.holder is not None:
            self._send_to(desktop.holder, letter, origin, stored)
        elif stored is None:
            self._refuse(letter, origin, ErrorCode.DESKTOP_OFFLINE)

    def _send_to_holder(
        self, letter: Letter, origin: Origin, stored: Stored | None, others: Mapping[NodeId, Share] | None
    ) -> None:
        holders = [node_id for node_id, share in (others or {}).items() if share.holds(letter.desktop_id)]
        for node_id in holders:
            self._send_to(node_id, letter, origin, stored)
        if not holders and stored is None:
            self._refuse(letter, origin, ErrorCode.DESKTOP_OFFLINE)

    def _send_to(self, node_id: NodeId, letter: Letter, origin: Origin, stored: Stored | None) -> None:
        self.around.cluster.send(node_id, Posted(letter, stored, self._name_of(origin, stored)))

    def _name_of(self, origin: Origin, stored: Stored | None) -> ConnectionId | None:
        """What the other node is to call the origin when it answers."""
        if not isinstance(origin, Errand):
            return getattr(origin, "connection_id", None)
        if stored is not None:
            return None  # It has had its answer.
        name = ConnectionId(f"/errand/{next(self._numbers)}")
        self._errands[name] = origin
        while len(self._errands) > MOST_ERRANDS:
            del self._errands[next(iter(self._errands))]
        return name

    def _posted(self, letter: Letter, origin: Afar | None, stored: Stored | None) -> None:
        """A letter came from another node."""
        desktop = self._connected(letter)
        if stored is not None:
            if desktop is not None:
                desktop.letter_stored(Handed(letter, origin, kept=True), stored)
        elif origin is not None:
            if desktop is None:
                self._refuse(letter, origin, ErrorCode.DESKTOP_OFFLINE)
            else:
                self._hand_over(letter, origin, desktop)

    def _told(self, told: Told) -> None:
        """A receipt came from another node."""
        sender, receipt, name = told.sender, told.receipt, told.connection_id
        errand = None if name is None else self._errands.pop(name, None)
        if errand is not None:
            errand.told(receipt)
            return
        phones = self.supervisor.phones_of(sender)
        self._tell_phones([phone for phone in phones if phone.connection_id == name] or phones, sender, receipt)

    # -- what desktops' connections tell -------------------------------------------------------------------------

    def written(self, desktop: DesktopRoute, letters: Sequence[Handed]) -> None:
        """The letters went to the desktop's socket."""
        for handed in letters:
            letter = handed.letter
            self.around.tallies.relayed[letter.kind] += 1
            done = not desktop.acks or letter.message_id is None
            told = partial(self._report, letter, handed.origin, Status.DELIVERED)
            if handed.kept:
                self.mailroom.settle(letter, Status.DELIVERED, done=done, answer=told)
                continue
            told()
            if done and self.around.policy.mailbox:
                self.mailroom.settle(letter, Status.DELIVERED, done=True, answer=_nothing)

    def unwritten(self, letters: Sequence[Handed]) -> None:
        """The desktop's connection ended with the letters in its inbox; those kept are read by its next one."""
        for handed in letters:
            if not handed.kept and handed.origin is not None:
                self._refuse(handed.letter, handed.origin, ErrorCode.UNAVAILABLE)

    def acknowledged(self, desktop: DesktopRoute, message_id: str, handed: Letter | None) -> None:
        """The desktop has taken a message; `handed` is the letter if the mailbox doesn't have it."""
        user_id, desktop_id = desktop.identity.user_id, desktop.identity.desktop_id
        told = partial(self._acknowledged, Receipt(message_id, desktop_id, Status.ACKNOWLEDGED))
        if handed is not None:
            told(Sender(handed.user_id, handed.device_id))
        if not self.around.policy.mailbox:
            return
        if handed is None:
            self.mailroom.acknowledge(user_id, desktop_id, message_id, told)
        else:
            self.mailroom.settle(handed, Status.ACKNOWLEDGED, done=True, answer=_nothing)

    def _acknowledged(self, receipt: Receipt, sender: Sender | None) -> None:
        if sender is not None:
            self.tell(sender, receipt)

    def store_is_back(self) -> None:
        """The store can be asked again: what could not be given to desktops and phones meanwhile is read now."""
        unasked, self._unasked = self._unasked, {}
        for phone in unasked:
            self.tell_kept(phone)
        for desktop in self.supervisor.connected_desktops():
            desktop.read_mailbox()

    # -- receipts ------------------------------------------------------------------------------------------------

    def tell(self, sender: Sender, receipt: Receipt, origin: Origin | None = None) -> None:
        """Tell whoever sent a message what became of it: now, or when the device is back.

        Without a device it is the very connection that the message came from, or, if that is gone, all of the user's
        phones whose tokens name no device. A service is not told: nobody waits there.
        """
        if isinstance(origin, Afar) and sender.device_id in (None, SERVICE):
            origin.told(sender, receipt)
            return
        if sender.device_id == SERVICE:
            return
        phones = self.supervisor.phones_of(sender)
        own = [phone for phone in phones if phone is origin] if sender.device_id is None else phones
        nodes = [] if own else self.supervisor.neighbours.nodes_with(sender)
        for node_id in nodes:
            self.around.cluster.send(node_id, Told(sender, receipt, None))
        if own or phones or not nodes:
            self._tell_phones(own or phones, sender, receipt)

    def _tell_phones(self, phones: Sequence[MobileRoute], sender: Sender, receipt: Receipt) -> None:
        self.around.tallies.receipts[receipt.status.value] += 1
        if phones:
            frame, now = self.around.codec.notice(receipt), self.around.clock.monotonic()
            for phone in phones:
                phone.offer(frame, now)
        elif receipt.status in _NEWS and self.around.policy.mailbox:
            self.mailroom.keep(sender, receipt)

    def tell_kept(self, phone: MobileRoute) -> None:
        """Give a phone that has come the receipts that were kept for it."""
        sender = Sender(phone.identity.user_id, phone.identity.device_id)
        if self.around.policy.mailbox:
            self.mailroom.kept(sender, partial(self._kept, phone, sender))

    def phone_left(self, phone: MobileRoute) -> None:
        """The phone's connection is over."""
        self._unasked.pop(phone, None)

    def _kept(self, phone: MobileRoute, sender: Sender, kept: list[KeptReceipt] | None) -> None:
        if kept is None and phone in self.supervisor.phones_of(sender):
            self._unasked[phone] = None
        if not kept:
            return
        now = self.around.clock.monotonic()
        for each in kept:
            phone.offer(self.around.codec.notice(each.receipt), now)
        phone.after_write(lambda written: self.mailroom.forget(sender, kept[-1].entry) if written else None)

    def _report(self, letter: Letter, origin: Origin | None, status: Status, latest: Status | None = None) -> None:
        if letter.message_id is None:
            return
        receipt = Receipt(letter.message_id, letter.desktop_id, status, latest)
        if isinstance(origin, Errand):
            origin.told(receipt)
        else:
            self.tell(Sender(letter.user_id, letter.device_id), receipt, origin)

    @staticmethod
    def _refuse(letter: Letter, origin: Origin, code: ErrorCode, wait_ms: int | None = None) -> None:
        text, retry_after_ms = _TEXTS[code]
        origin.undelivered(letter.kind, Fault(code, text, letter.message_id, wait_ms or retry_after_ms))


def _nothing() -> None:
    """Nobody waits for the answer."""


_REFUSED = {NotStored.FULL: ErrorCode.QUEUE_FULL, NotStored.OTHER_CONTENT: ErrorCode.BAD_PAYLOAD}

_TEXTS: dict[ErrorCode, tuple[str, int | None]] = {
    ErrorCode.DESKTOP_OFFLINE: ("the desktop is not connected, and this hub keeps no messages; nothing was kept", None),
    ErrorCode.QUEUE_FULL: ("too much waits for this desktop; this message was not kept, send it again", RETRY_FULL_MS),
    ErrorCode.UNAVAILABLE: (
        "the message can't be kept right now and the desktop can't be reached; send it again",
        RETRY_UNAVAILABLE_MS,
    ),
    ErrorCode.BAD_PAYLOAD: (
        "this message_id was used for another message to this desktop; give every message its own",
        None,
    ),
    ErrorCode.RATE_LIMITED: ("all your phones together send too fast; this message was not kept, send it again", None),
}
