"""The actors' world under a test's control: time moved by hand, turns taken by hand, sockets that only remember."""

import heapq
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from actors.closing import CloseReason
from actors.ids import DesktopId, Epoch, UserId
from actors.messages import (
    DesktopIdentity,
    Envelope,
    ErrorCode,
    Fault,
    Identity,
    KnownDesktop,
    Label,
    MobileIdentity,
    Notice,
    PresenceChange,
)
from actors.offsets import Offset, parse_offset

WALL_S = 1_800_000_000
UPTIME_S = 4096.0


class HandClock:
    """Both times stand still until they are moved, together."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def monotonic(self) -> float:
        return UPTIME_S + self.passed_s

    def wall_ms(self) -> int:
        return WALL_S * 1000 + round(self.passed_s * 1000)


class HandTimer:
    """A call that is due at some time, unless it is cancelled."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class HandScheduler:
    """An event loop that is turned by hand, and moves its clock on as it comes to what is due."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self._soon: list[Callable[[], object]] = []
        self._later: list[tuple[float, int, HandTimer]] = []
        self._order = count()

    def call_soon(self, callback: Callable[..., object], *args: object) -> object:
        self._soon.append(lambda: callback(*args))
        return None

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> HandTimer:
        timer = HandTimer(lambda: callback(*args))
        heapq.heappush(self._later, (self.clock.passed_s + delay, next(self._order), timer))
        return timer

    @property
    def pending(self) -> int:
        """How many timers may still ring."""
        return sum(not timer.cancelled for _, _, timer in self._later)

    def settle(self) -> None:
        """Take turns until nothing is left to do right now."""
        while self._soon:
            due, self._soon = self._soon, []
            for callback in due:
                callback()

    def advance(self, seconds: float) -> None:
        """Let time go by, with everything that happens meanwhile."""
        end = self.clock.passed_s + seconds
        self.settle()
        while self._later and self._later[0][0] <= end:
            due, _, timer = heapq.heappop(self._later)
            if not timer.cancelled:
                self.clock.passed_s = max(self.clock.passed_s, due)
                timer.callback()
                self.settle()
        self.clock.passed_s = end


@dataclass
class PlainEnvelope:
    """A message as a dict."""

    type: str
    timestamp: int
    members: dict[str, Any]

    @property
    def message_id(self) -> str | None:
        return self.members.get("message_id")

    @property
    def valid_until(self) -> int | None:
        return self.members.get("valid_until")

    @property
    def payload(self) -> dict[str, Any]:
        found = self.members["payload"]
        assert isinstance(found, dict)
        return found


class PlainCodec:
    """Frames are JSON texts without framing; a payload's fields are not judged but for being there."""

    def decode(self, text: str) -> Envelope | Fault:
        try:
            members = json.loads(text)
        except ValueError:
            return Fault(ErrorCode.BAD_ENVELOPE, "not JSON")
        return PlainEnvelope(members["type"], members["timestamp"], members)

    def to_mobile(self, envelope: Envelope, stamp: bytes, seq: int) -> bytes:
        desktop_id, epoch = stamp.decode().split()
        return _frame({**_members(envelope), "desktop_id": desktop_id, "offset": f"{epoch}-{seq}"})

    def to_desktop(self, envelope: Envelope, sender: MobileIdentity) -> bytes:
        return _frame({**_members(envelope), "user_id": sender.user_id, "device_id": sender.device_id})

    def mobile_stamp(self, desktop_id: DesktopId, epoch: Epoch) -> bytes:
        return f"{desktop_id} {epoch}".encode()

    def label(self, frame: bytes) -> Label:
        members = json.loads(frame)
        return Label(members["type"], members.get("desktop_id"), parse_offset(members.get("offset", "")))

    def fingerprint(self, envelope: Envelope) -> str:
        assert isinstance(envelope, PlainEnvelope)
        return f"{envelope.type} {json.dumps(envelope.payload)}"

    def notice(self, notice: Notice, offset: Offset | None = None) -> bytes:
        payload = {name: _plain(getattr(notice, name)) for name in type(notice).__slots__}
        return _frame({"type": type(notice).__name__, "payload": payload})

    def addressed_desktop(self, envelope: Envelope) -> DesktopId | Fault:
        found = self._read(envelope, "desktop_id")
        return found if isinstance(found, Fault) else DesktopId(found)

    def acknowledged(self, envelope: Envelope) -> str | Fault:
        return self._read(envelope, "message_id")

    def goodbye_reason(self, envelope: Envelope) -> str | Fault:
        return self._read(envelope, "reason")

    def refresh_token(self, envelope: Envelope) -> str | Fault:
        return self._read(envelope, "token")

    def _read(self, envelope: Envelope, name: str) -> str | Fault:
        assert isinstance(envelope, PlainEnvelope)
        found = envelope.payload.get(name)
        return found if isinstance(found, str) else Fault(ErrorCode.BAD_PAYLOAD, name, envelope.message_id)


class PlacingCodec(PlainCodec):
    """Notices tell where their desktop stands."""

    def notice(self, notice: Notice, offset: Offset | None = None) -> bytes:
        told = json.loads(super().notice(notice))
        return json.dumps({**told, "offset": offset and str(offset)}).encode()


def _plain(field: object) -> object:
    return str(field) if isinstance(field, Offset) else field


def _members(envelope: Envelope) -> dict[str, Any]:
    assert isinstance(envelope, PlainEnvelope)
    return envelope.members


def _frame(members: dict[str, Any]) -> bytes:
    return json.dumps(members).encode()


@dataclass
class FakeTransport:
    """A socket that remembers what it was told; `broken` makes writing raise."""

    writable: bool = True
    unsent_bytes: int = 0
    broken: bool = False
    batches: list[list[bytes]] = field(default_factory=list)
    held: bool = False
    pings: list[float] = field(default_factory=list)
    closed: CloseReason | None = None
    deadlines: list[float] = field(default_factory=list)
    now: Callable[[], float] = lambda: 0.0

    def write(self, frames: Sequence[bytes]) -> None:
        if self.broken:
            raise RuntimeError("injected: writing fails")
        assert self.closed is None, "nothing is written behind a close frame"
        self.batches.append(list(frames))

    def hold_reading(self) -> None:
        self.held = True

    def let_read(self) -> None:
        self.held = False

    def ping(self) -> None:
        self.pings.append(self.now())

    def close(self, reason: CloseReason, *, deadline_s: float) -> None:
        self.closed = self.closed or reason
        self.deadlines.append(deadline_s)

    @property
    def told(self) -> list[dict[str, Any]]:
        """All messages that were written, in order."""
        return [json.loads(frame) for batch in self.batches for frame in batch]


class FakeMirror:
    """Remembers presence changes; a store's answer is given by hand."""

    def __init__(self) -> None:
        self.changes: list[PresenceChange] = []
        self.asked: list[tuple[UserId, Callable[[list[KnownDesktop] | None], None]]] = []

    def record(self, change: PresenceChange) -> None:
        self.changes.append(change)

    def load_known(self, user_id: UserId, answer: Callable[[list[KnownDesktop] | None], None]) -> None:
        self.asked.append((user_id, answer))

    def answer(self, known: list[KnownDesktop] | None) -> None:
        """Answer the oldest question."""
        self.asked.pop(0)[1](known)


class FakeAuth:
    """Keeps requests for a refresh until the test answers them."""

    def __init__(self) -> None:
        self.asked: list[tuple[Identity, str, Callable[[Identity | Fault], None]]] = []

    def refresh(self, current: Identity, token: str, answer: Callable[[Identity | Fault], None]) -> None:
        self.asked.append((current, token, answer))

    def answer(self, identity: Identity | Fault) -> None:
        """Answer the oldest request."""
        self.asked.pop(0)[2](identity)


def desktop_identity(
    desktop: str = "d1",
    user: str = "u1",
    *,
    lasts_s: float = 3600.0,
    name: str | None = "Desk",
    platform: str | None = "linux",
) -> DesktopIdentity:
    return DesktopIdentity(DesktopId(desktop), UserId(user), WALL_S + lasts_s, name, platform)
