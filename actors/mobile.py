"""A phone's connection: what it may say, what becomes of it, and how it gets what it missed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar

from actors.closing import CloseReason
from actors.connection import Connection
from actors.ids import ConnectionId, DesktopId, Epoch
from actors.messages import (
    FROM_ACKING_DESKTOPS,
    FROM_DESKTOPS,
    FROM_MOBILES,
    FROM_THE_HUB,
    Envelope,
    ErrorCode,
    Fault,
    MobileIdentity,
    Resumed,
)
from actors.offsets import Offset
from actors.order import Followed
from actors.ports import Authenticator
from actors.post import PostOffice
from actors.replay import Replay
from actors.ring import Ring
from actors.shedding import SheddingInbox
from actors.supervisor import Supervisor
from actors.surroundings import Surroundings

ADDRESSED = FROM_MOBILES
NOT_ALLOWED = FROM_DESKTOPS | FROM_THE_HUB | FROM_ACKING_DESKTOPS

RETRY_UNKNOWN_MS = 500

MOST_UNDER_WAY = 1_048_576
LETTER_COST = 1024
"""So many bytes of a phone's letters may wait for the mailroom, each counted as so many more: then it isn't read from,
so that no flood fills the mailroom for others."""


class MobileConnection(Connection):
    """Sends messages to the desktops of its own user, and watches them.

    `resume`: up to where it has seen desktops; it gets what it missed of them, one after the other.
    """

    kind = "mobile"
    probed = True
    sends = ADDRESSED
    not_allowed = NOT_ALLOWED

    __slots__ = ("_doubted", "_lacking", "_mending", "_reached", "_replaying", "_resume", "_under_way", "epoch")

    identity: MobileIdentity
    _inbox: SheddingInbox

    def __init__(
        self,
        connection_id: ConnectionId,
        identity: MobileIdentity,
        around: Surroundings,
        supervisor: Supervisor,
        post: PostOffice,
        auth: Authenticator,
        *,
        resume: Mapping[DesktopId, Offset] | None = None,
    ) -> None:
        super().__init__(connection_id, identity, around, supervisor, post, auth)
        self.epoch = Epoch(0) if identity.device_id is None else around.epochs.next()
        self._resume = dict(resume) if resume else None
        self._replaying = False
        self._mending: frozenset[DesktopId] = frozenset()
        self._reached: dict[DesktopId, Offset] = {}
        self._doubted: frozenset[DesktopId] = frozenset()
        self._lacking: frozenset[DesktopId] = frozenset()
        self._under_way = 0

    def _accept(self, envelope: Envelope, now: float) -> None:
        kind = envelope.type
        answer = self._ANSWERS.get(kind)
        if answer is not None:
            answer(self, envelope, now)
        else:
            self._refuse_type(envelope, now)

    # -- what it says to desktops ----------------------------------------------------------------------------------

    def _address(self, envelope: Envelope, now: float) -> None:
        target = self._around.codec.addressed_desktop(envelope)
        if isinstance(target, Fault):
            self._refuse(envelope.type, target, now)
            return
        self._route(envelope, target)

    def _route(self, envelope: Envelope, target: DesktopId) -> None:
        """Send, or say why not. A message that comes before the store has told of past desktops waits for that."""
        user_id, supervisor = self.identity.user_id, self._supervisor
        if supervisor.desktop_of(user_id, target) is not None:
            self._post.send(self, target, envelope)
        elif supervisor.knows_desktops_of(user_id):
            text = "none of your desktops has this desktop_id"
            self.undelivered(envelope.type, Fault(ErrorCode.DESKTOP_NOT_FOUND, text, envelope.message_id))
        elif not supervisor.await_known(user_id, partial(self._route, envelope, target)):
            text = "whether you have this desktop can't be told right now; nothing was delivered, send it again"
            fault = Fault(ErrorCode.UNAVAILABLE, text, envelope.message_id, RETRY_UNKNOWN_MS)
            self.undelivered(envelope.type, fault)

    def letter_under_way(self, size: int) -> None:
        """A letter of so many bytes was given to the mailroom."""
        self._under_way += size + LETTER_COST
        if self._under_way > MOST_UNDER_WAY:
            self._hold()

    def letter_answered(self, size: int) -> None:
        """The mailroom has answered."""
        self._under_way -= size + LETTER_COST
        if self._held and self._under_way < MOST_UNDER_WAY // 2:
            self._let_go_on()

    def undelivered(self, kind: str, fault: Fault) -> None:
        """Tell the phone that its message goes nowhere."""
        now = self._around.clock.monotonic()
        if fault.code is ErrorCode.BAD_PAYLOAD:
            self._refuse(kind, fault, now)
        else:
            self._count(kind, fault.code.value)
            self.offer(self._around.codec.notice(fault), now)

    # -- what it missed ------------------------------------------------------------------------------------------

    def missed(self, desktop_id: DesktopId, at: Offset) -> None:
        """Something is missing of what a desktop said before it came to `at`, and can't be had."""
        if self._is_behind(desktop_id):  # It is told when it has the rest.
            self._doubted |= {desktop_id}
            return
        self._around.tallies.gaps += 1
        resumed = Resumed(desktop_id, complete=False, offset=at)
        self.offer(self._around.codec.notice(resumed), self._around.clock.monotonic())

    def reached(self, desktop_id: DesktopId) -> Offset | None:
        """Up to where the phone had everything of a desktop when that was last written down; None: never."""
        return self._reached.get(desktop_id)

    def has_all_up_to(self, desktop_id: DesktopId) -> Offset | None:
        """As `reached`; None, too, if something was missing when it was last given what it missed."""
        return None if desktop_id in self._lacking else self.reached(desktop_id)

    def stands(self, desktop_id: DesktopId, at: Offset) -> None:
        """The phone had everything of a desktop up to `at`, which this node forgets; no-op for one that is behind."""
        if not self._is_behind(desktop_id):
            self._reached[desktop_id] = at
            if len(self._reached) > self._around.policy.max_known:
                del self._reached[next(iter(self._reached))]

    def fell_behind(self, desktop_id: DesktopId, at: Offset) -> None:
        """Something that a desktop said behind `at` didn't come to this node: give the phone what can be had."""
        if self._closing is not None or not self._supervisor.fall_behind(self, desktop_id):
            return
        self._resume = self._resume or {}
        self._resume[desktop_id] = max(at, self._reached.get(desktop_id, at))
        self._mending |= {desktop_id}
        if not self._replaying:
            self._resume_next()

    def _is_behind(self, desktop_id: DesktopId) -> bool:
        """Whether it is still to be given what it missed of a desktop."""
        return self._resume is not None and desktop_id in self._resume

    def _resume_next(self) -> None:
        """Give it what it missed of the next desktop that it asked for."""
        self._replaying = bool(self._resume) and self._closing is None
        if not self._resume or self._closing is not None:
            return
        desktop_id, after = next(iter(self._resume.items()))
        replay = partial(self._guarded, partial(self._replay, desktop_id, after))
        self._supervisor.neighbours.when_heard(self.identity.user_id, desktop_id, after, replay)

    def _replay(self, desktop_id: DesktopId, after: Offset) -> None:
        if self._closing is not None:
            return
        around, policy = self._around, self._around.policy
        Replay(
            around.journal,
            self.identity.user_id,
            desktop_id,
            after,
            policy.replay_messages,
            piece=(policy.inbox_frames // 4, policy.inbox_bytes // 4),
            ring=partial(self._ring_of, desktop_id),
            silent=partial(self._supervisor.silent_behind, self.identity.user_id, desktop_id),
            guard=self._guarded,
            send=self._send_piece,
            done=self._resumed,
        ).go_on()

    def _ring_of(self, desktop_id: DesktopId) -> Ring | None:
        desktop = self._supervisor.desktop_of(self.identity.user_id, desktop_id)
        return None if desktop is None else desktop.ring

    def _send_piece(self, frames: Sequence[bytes], then: Callable[[], None]) -> None:
        now = self._around.clock.monotonic()
        for frame in frames:
            self.offer(frame, now)
        self.after_write(lambda written: then() if written and self._closing is None else None)

    def _resumed(self, frames: Sequence[bytes], resumed: Resumed, followed: Followed | None) -> None:
        """The last piece: in the same turn it begins to hear the desktop."""
        if self._closing is not None or self._resume is None:
            return
        desktop_id = resumed.desktop_id
        if desktop_id in self._doubted:
            resumed, followed = replace(resumed, complete=False), None
        self._reached[desktop_id] = max(self._resume.pop(desktop_id), resumed.offset)
        self._around.tallies.replays[resumed.complete] += 1
        mended, this = desktop_id in self._mending, {desktop_id}
        self._doubted -= this
        self._mending -= this
        self._lacking = self._lacking - this if resumed.complete else self._lacking | this
        self._supervisor.caught_up(self, desktop_id, self._reached[desktop_id], followed)
        # What it didn't ask for it needn't know of, if nothing is missing.
        if not mended or not resumed.complete:
            frames = [*frames, self._around.codec.notice(resumed)]
        if frames:
            self._send_piece(frames, self._resume_next)
        else:
            self._resume_next()

    # -- coming and going ------------------------------------------------------------------------------------------

    def _new_inbox(self) -> SheddingInbox:
        policy, codec = self._around.policy, self._around.codec
        return SheddingInbox(
            policy.inbox_frames, policy.inbox_bytes, self._wake, self._overflow, label=codec.label, gap=self._gap
        )

    def _gap(self, desktop_id: DesktopId, offset: Offset) -> bytes:
        self._around.tallies.gaps += 1
        self.after_write(self._look_whether_it_caught_up)
        return self._around.codec.notice(Resumed(desktop_id, complete=False, offset=offset))

    def _look_whether_it_caught_up(self, written: bool) -> None:
        if written and self._inbox.shedding:
            self._turn()

    def writable_again(self) -> None:
        """The phone caught up with what it was sent: it is told when nothing is left out any more."""
        super().writable_again()
        if self._inbox.shedding:
            self._turn()

    def _join(self) -> bool:
        joined = self._supervisor.join_mobile(self, self._resume or ())
        if joined:
            self._resume_next()
        return joined

    def entered(self) -> None:
        """Other nodes know that the device is here: what they kept for it before is read now."""
        if self._closing is None:
            self._post.tell_kept(self)

    def _part(self, reason: CloseReason) -> None:
        self._supervisor.part_mobile(self)
        self._post.phone_left(self)

    def _tags(self) -> dict[str, object]:
        return {**super()._tags(), "device_id": self.identity.device_id}

    _ANSWERS: ClassVar[dict[str, Callable[["MobileConnection", Envelope, float], None]]] = {
        "user:message": _address,
        "session:create": _address,
        "heartbeat": Connection._heartbeat,
        "goodbye": Connection._goodbye,
        "auth:refresh": Connection._refresh,
    }
