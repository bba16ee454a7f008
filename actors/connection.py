"""One socket's actor: its inbox, its watchdog, its limits, and how it ends.

`DesktopConnection` and `MobileConnection` say what each side may send. The actor runs in the turns of the event loop
that concern it: when a message arrives (`receive`), when its inbox wakes it (`_turn`), and when its alarm rings. No
task waits for it, so an idle connection costs memory only (ADR 0006).
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from actors.clock import Clock
from actors.closing import CloseReason
from actors.heartbeat import Dead, Probe, Watchdog
from actors.ids import ConnectionId
from actors.inbox import Inbox
from actors.limits import SlidingCount, TokenBucket
from actors.messages import Envelope, ErrorCode, Fault, Goodbye, HeartbeatAck, Identity, Welcome
from actors.ports import Authenticator, Timer, Transport
from actors.post import PostOffice
from actors.supervisor import Supervisor
from actors.surroundings import Surroundings

log = logging.getLogger("hub.connection")

BUG = "a bug in connection %s: it is closed with 1011, and no other one is touched"

MAX_FAULTS = 60
FAULT_WINDOW_S = 10.0
"""More bad messages than this in the window end a connection with 4006 (docs/protocol.md, "Error codes")."""

OVERRUN_S = 10.0
"""Who sends so many seconds' allowance over the rate limit is closed with 4101."""


class Connection:
    """What desktops' and phones' connections have in common.

    The transport calls `start` once, then `receive`, `receive_binary`, `heard`, `writable_again` and `write_stalled`,
    `peer_closed` if the peer closes in an orderly way, and last `link_lost`, once.
    """

    kind: ClassVar[str]
    probed: ClassVar[bool]
    """Whether the hub pings this side; the other speaks by itself."""
    sends: ClassVar[frozenset[str]]
    """What this side is there to send, beside the messages of both."""
    not_allowed: ClassVar[frozenset[str]]
    """Types of the contract that this side may not send."""

    # What every message touches comes first, so that it shares a line of the processor's cache.
    __slots__ = (  # noqa: RUF023
        "_around",
        "_closing",
        "_watchdog",
        "_whole_at",
        "_inbox",
        "_transport",
        "_after_write",
        "offer",
        "_supervisor",
        "_post",
        "_alarm",
        "_auth",
        "_expires_at",
        "_faults",
        "_held",
        "_overrun",
        "_stall",
        "_stalled_bytes",
        "connection_id",
        "identity",
    )

    identity: Any

    def __init__(
        self,
        connection_id: ConnectionId,
        identity: Identity,
        around: Surroundings,
        supervisor: Supervisor,
        post: PostOffice,
        auth: Authenticator,
    ) -> None:
        policy, now = around.policy, around.clock.monotonic()
        self.connection_id = connection_id
        self.identity = identity
        self._around = around
        self._supervisor = supervisor
        self._post = post
        self._auth = auth
        self._inbox = self._new_inbox()
        self.offer = self._inbox.offer
        self._after_write: list[Callable[[bool], object]] | None = None
        self._watchdog = Watchdog(policy.heartbeat_timeout_s, policy.ping_interval_s if self.probed else None, now)
        self._whole_at = now
        self._overrun: TokenBucket | None = None
        self._faults: SlidingCount | None = None
        self._expires_at = _deadline(identity, around.clock, policy.token_grace_s)
        self._stall: Timer | None = None
        self._stalled_bytes = 0
        self._held = False
        self._closing: CloseReason | None = None
        self._alarm: Timer | None = None
        self._transport: Transport

    @property
    def closing(self) -> CloseReason | None:
        """Why the connection is ending, or None while it is open."""
        return self._closing

    # -- what the transport tells ----------------------------------------------------------------------------------

    def start(self, transport: Transport) -> None:
        """The socket is open: say `welcome`, join the registry, and watch."""
        self._transport = transport
        self._supervisor.opened(self)
        self.offer(self._around.codec.notice(self._welcome()), self._around.clock.monotonic())
        if not self._join():
            self.close(CloseReason.CONNECTION_LIMIT)
            return
        log.info("connected", extra=self._tags())
        self._check()

    def receive(self, text: str) -> None:
        """One whole message came."""
        around = self._around
        now = around.clock.monotonic()
        self._watchdog.last_heard = now
        if self._closing is not None and not self._still_relays():
            return
        envelope = around.codec.decode(text)
        if around.pace is not None:
            whole_at = around.pace.admit(self._whole_at, now)
            if whole_at < 0.0:
                self._over_rate(envelope, -whole_at, now)
                return
            self._whole_at = whole_at
        if isinstance(envelope, Fault):
            self._refuse("-", envelope, now)
        else:
            self._accept(envelope, now)

    def receive_binary(self, body: bytes) -> None:
        """A binary message came; there are none in the contract."""
        self.heard()
        if self._closing is None:
            text = "messages are JSON text; send a text frame, not a binary one"
            self._refuse("-", Fault(ErrorCode.BAD_ENVELOPE, text), self._around.clock.monotonic())

    def heard(self) -> None:
        """Some frame came: the peer lives."""
        self._watchdog.last_heard = self._around.clock.monotonic()

    def write_stalled(self) -> None:
        """The peer reads slower than it is written to."""
        self._stalled_bytes = self._transport.unsent_bytes
        self._stall = self._around.scheduler.call_later(
            self._around.policy.write_stall_s, self._guarded, self._check_stall
        )

    def writable_again(self) -> None:
        """The peer caught up: it lives, though nothing was read from it meanwhile."""
        self.heard()
        self._stop_stall_watch()
        if self._inbox:
            self._turn()

    def peer_closed(self) -> None:
        """The peer closed in an orderly way."""
        self._end(CloseReason.PEER_CLOSED)
        self._tell_after_write(written=False)

    def link_lost(self) -> None:
        """The socket is gone; if nobody closed it before, the link broke."""
        self._end(CloseReason.LINK_LOST)
        self._tell_after_write(written=False)
        self._supervisor.gone(self)

    @property
    def waiting(self) -> tuple[int, int]:
        """Frames and bytes in the inbox."""
        return len(self._inbox), self._inbox.pending_bytes

    # -- what other actors tell ------------------------------------------------------------------------------------

    def after_write(self, act: Callable[[bool], object]) -> None:
        """Call `act` once: with True when all that is in the inbox now is written, or with False if it never is."""
        if self._closing is not None:
            act(False)  # noqa: FBT003 - the one thing that it is told
        elif self._after_write is None:
            self._after_write = [act]
        else:
            self._after_write.append(act)

    def say_goodbye(self, retry_after_ms: int) -> None:
        """Tell the client that the hub restarts, and when to come back."""
        goodbye = Goodbye(CloseReason.RESTARTING.label, retry_after_ms)
        self.offer(self._around.codec.notice(goodbye), self._around.clock.monotonic())

    def close(self, reason: CloseReason, *, deadline_s: float | None = None) -> None:
        """End the connection: what waits in the inbox goes out first, but for a peer that doesn't read.

        One that is ending already only has its end hastened, if a sooner deadline is given.
        """
        if self._closing is not None:
            if deadline_s is not None:
                self._transport.close(self._closing, deadline_s=deadline_s)
            return
        waiting = self._end(reason)
        if reason is not CloseReason.SLOW_CONSUMER and self._takes_last_words():
            if waiting:
                self._transport.write(waiting)
            self._tell_after_write(written=True)
        self._tell_after_write(written=False)
        limit = self._around.policy.close_deadline_s
        if reason is CloseReason.SLOW_CONSUMER:
            limit = min(limit, 1.0)
        self._transport.close(reason, deadline_s=limit if deadline_s is None else deadline_s)

    def entered(self) -> None:
        """Other nodes know that the connection is here, or can't be told: now what was kept for it can be read."""
        raise NotImplementedError

    # -- for desktops and phones to define -------------------------------------------------------------------------

    def _join(self) -> bool:
        raise NotImplementedError

    def _part(self, reason: CloseReason) -> None:
        """Leave the registry; nothing happens if the connection isn't there."""
        raise NotImplementedError

    def _accept(self, envelope: Envelope, now: float) -> None:
        raise NotImplementedError

    def _tags(self) -> dict[str, object]:
        """What identifies the connection in a log line."""
        return {"kind": self.kind, "connection_id": self.connection_id, "user_id": self.identity.user_id}

    def _takes_last_words(self) -> bool:
        """Whether what waits in the inbox is written before the close."""
        return True

    def _still_relays(self) -> bool:
        """Whether messages are still taken from a connection that is closing."""
        return False

    # -- what both sides may say -------------------------------------------------------------------------------------

    def _heartbeat(self, envelope: Envelope, now: float) -> None:
        ack = HeartbeatAck(self._around.clock.wall_ms(), int(self._around.policy.heartbeat_interval_s * 1000))
        self._count(envelope.type, "accepted")
        self.offer(self._around.codec.notice(ack), now)

    def _goodbye(self, envelope: Envelope, now: float) -> None:
        reason = self._around.codec.goodbye_reason(envelope)
        if isinstance(reason, Fault):
            self._refuse(envelope.type, reason, now)
            return
        self._count(envelope.type, "accepted")
        self._farewell(reason)
        self.close(CloseReason.PEER_CLOSED)

    def _farewell(self, reason: str) -> None:
        """The client said why it leaves."""

    def _refresh(self, envelope: Envelope, now: float) -> None:
        token = self._around.codec.refresh_token(envelope)
        if isinstance(token, Fault):
            self._refuse(envelope.type, token, now)
            return
        self._auth.refresh(self.identity, token, lambda answer: self._refreshed(envelope, answer))

    def _refreshed(self, envelope: Envelope, answer: Identity | Fault) -> None:
        if self._closing is not None:
            return
        if isinstance(answer, Fault):
            fault = replace(answer, message_id=envelope.message_id)
            self._refuse(envelope.type, fault, self._around.clock.monotonic())
            return
        self._count(envelope.type, "accepted")
        self.identity = answer
        self._expires_at = _deadline(answer, self._around.clock, self._around.policy.token_grace_s)
        self._guarded(self._check)

    # -- within --------------------------------------------------------------------------------------------------

    def _welcome(self) -> Welcome:
        policy = self._around.policy
        return Welcome(
            connection_id=self.connection_id,
            node_id=self._around.node_id,
            server_time=self._around.clock.wall_ms(),
            heartbeat_ms=int(policy.heartbeat_interval_s * 1000),
            timeout_ms=int(policy.heartbeat_timeout_s * 1000),
            max_bytes=policy.max_message_bytes,
            token_expires_at=int(self.identity.expires_at * 1000),
        )

    def _hold(self) -> None:
        """Take nothing more from the client for now: what it sends can't be dealt with as fast as it comes."""
        if not self._held:
            self._held = True
            self._transport.hold_reading()

    def _let_go_on(self) -> None:
        """Take from the client again; that nothing was read from it meanwhile was not its silence."""
        self._held = False
        self.heard()
        self._transport.let_read()

    def _new_inbox(self) -> Inbox:
        policy = self._around.policy
        return Inbox(policy.inbox_frames, policy.inbox_bytes, self._wake, self._overflow)

    def _wake(self) -> None:
        self._around.turns.wake(self._turn)

    def _overflow(self) -> None:
        """The client takes less than it is sent."""
        self.close(CloseReason.SLOW_CONSUMER)

    def _turn(self) -> None:
        """Hand the transport all that lies in the inbox, in one write."""
        if not self._transport.writable or self._closing is not None:
            return
        inbox, around = self._inbox, self._around
        try:
            frames = inbox.take_all()
            if not frames:
                return
            around.tallies.handover.observe(around.clock.monotonic() - inbox.waiting_since, len(frames))
            self._transport.write(frames)
            if self._after_write is not None:
                self._tell_after_write(written=True)
        except Exception:
            log.exception(BUG, self.connection_id)
            self._tell_after_write(written=False)
            self.close(CloseReason.HUB_FAULT)

    def _tell_after_write(self, *, written: bool) -> None:
        if self._after_write is not None:
            acts, self._after_write = self._after_write, None
            for act in acts:
                act(written)

    def _count(self, kind: str, outcome: str) -> None:
        self._around.tallies.outcomes[kind, outcome] += 1

    def _refuse(self, kind: str, fault: Fault, now: float) -> None:
        """Answer a bad message; too many of them end the connection (4006)."""
        self._count(kind, fault.code.value)
        self.offer(self._around.codec.notice(fault), now)
        if self._faults is None:
            self._faults = SlidingCount(MAX_FAULTS, FAULT_WINDOW_S)
        if self._faults.hit(now):
            self.close(CloseReason.PROTOCOL_ABUSE)

    def _refuse_type(self, envelope: Envelope, now: float) -> None:
        """Answer a type that this side may not send, or that nobody knows."""
        kind = envelope.type
        if kind in self.not_allowed:
            text = f"a {self.kind} may not send {kind}; it sends {', '.join(sorted(self.sends))}, heartbeat"
            self._refuse(kind, Fault(ErrorCode.TYPE_NOT_ALLOWED, text, envelope.message_id), now)
        else:
            text = "this type is not known; see the table of messages in docs/protocol.md"
            self._refuse("-", Fault(ErrorCode.UNKNOWN_TYPE, text, envelope.message_id), now)

    def _over_rate(self, envelope: Envelope | Fault, wait: float, now: float) -> None:
        self._count("-", ErrorCode.RATE_LIMITED.value)
        text = f"more than {self._around.policy.rate:g} messages a second; this one was dropped, send it again later"
        retry_after_ms = int(wait * 1000) + 1
        fault = Fault(ErrorCode.RATE_LIMITED, text, getattr(envelope, "message_id", None), retry_after_ms)
        self.offer(self._around.codec.notice(fault), now)
        if self._overrun is None:
            rate = self._around.policy.rate or 0.0
            self._overrun = TokenBucket(rate, rate * OVERRUN_S, now)
        if self._overrun.take(now) > 0.0:
            self.close(CloseReason.RATE_LIMITED)

    def _guarded(self, act: Callable[[], object]) -> None:
        """What a timer calls: a bug of ours ends this connection."""
        try:
            act()
        except Exception:
            log.exception(BUG, self.connection_id)
            self.close(CloseReason.HUB_FAULT)

    def _check(self) -> None:
        """The alarm rang: is the peer alive, is its token? Set the next one."""
        if self._closing is not None:
            return
        now = self._around.clock.monotonic()
        token_left = self._expires_at - now
        if token_left <= 0:
            fault = Fault(ErrorCode.TOKEN_EXPIRED, "the token ran out; come back with a new one")
            self.offer(self._around.codec.notice(fault), now)
            self.close(CloseReason.TOKEN_EXPIRED)
            return
        verdict = self._watchdog.check(now)
        if isinstance(verdict, Dead):
            self.close(CloseReason.HEARTBEAT_TIMEOUT)
            return
        if isinstance(verdict, Probe):
            self._transport.ping()
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._around.scheduler.call_later(min(verdict.seconds, token_left), self._guarded, self._check)

    def _check_stall(self) -> None:
        """A peer that took nothing since the last look doesn't read at all."""
        if self._closing is not None or self._transport.writable:
            return
        if self._transport.unsent_bytes >= self._stalled_bytes:
            self.close(CloseReason.SLOW_CONSUMER)
        else:
            self.heard()
            self.write_stalled()

    def _stop_stall_watch(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _end(self, reason: CloseReason) -> list[bytes]:
        """Leave the routes, once; return what was still in the inbox."""
        if self._closing is not None:
            return []
        self._closing = reason
        if self._alarm is not None:
            self._alarm.cancel()
        self._stop_stall_watch()
        self._around.tallies.closes[self.kind, reason.label] += 1
        log.info("closed", extra={**self._tags(), "code": reason.code, "reason": reason.label})
        try:
            self._part(reason)
        except Exception:
            log.exception(BUG, self.connection_id)  # Whoever closes it, perhaps for somebody else, goes on.
        return self._inbox.close()


def _deadline(identity: Identity, clock: Clock, grace_s: float) -> float:
    """When the token's connection has to end, in monotonic seconds."""
    return clock.monotonic() + identity.expires_at + grace_s - clock.wall_ms() / 1000
