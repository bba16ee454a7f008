"""What actors say to each other, and what they have the wire say for them.

Identities come from verified tokens. Notices are the hub's own messages to a client (docs/protocol.md, "Messages");
presence changes are what the mirror writes to Redis.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeAlias

from actors.ids import ConnectionId, DesktopId, DeviceId, Epoch, NodeId, UserId
from actors.mail import Receipt
from actors.offsets import Offset


@dataclass(frozen=True, slots=True)
class DesktopIdentity:
    """Who a Desktop Token speaks for. `expires_at` is in seconds since the epoch.

    `token_id` (its `jti`) and `issued_at` (seconds since the epoch) say which token it was, for revoking it.
    """

    desktop_id: DesktopId
    user_id: UserId
    expires_at: float
    name: str | None = None
    platform: str | None = None
    token_id: str | None = field(default=None, compare=False)
    issued_at: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class MobileIdentity:
    """Who a User Token speaks for; `token_id` and `issued_at` as those of a desktop."""

    user_id: UserId
    expires_at: float
    device_id: DeviceId | None = None
    token_id: str | None = field(default=None, compare=False)
    issued_at: float = field(default=0.0, compare=False)


Identity: TypeAlias = DesktopIdentity | MobileIdentity

# Types of messages by who may send them (docs/protocol.md, "Messages"); what both sides may send is in none.
FROM_DESKTOPS = frozenset({"agent:stream", "agent:response", "agent:status"})
FROM_MOBILES = frozenset({"user:message", "session:create"})
FROM_ACKING_DESKTOPS = frozenset({"ack"})
FROM_THE_HUB = frozenset(
    {"desktop:online", "desktop:offline", "welcome", "receipt", "resumed", "error", "heartbeat:ack"}
)


class Envelope(Protocol):
    """A decoded message. `payload` is the sender's raw JSON object and stays unread but for the named fields."""

    type: str
    timestamp: int

    @property
    def message_id(self) -> str | None:
        """The sender's name for the message, if it gave one."""
        ...

    @property
    def valid_until(self) -> int | None:
        """Milliseconds since the epoch after which it is not to be handed over any more, if there is such a time."""
        ...


class ErrorCode(StrEnum):
    """Codes of `error` messages (docs/protocol.md, "Error codes")."""

    BAD_ENVELOPE = "bad_envelope"
    UNKNOWN_TYPE = "unknown_type"
    TYPE_NOT_ALLOWED = "type_not_allowed"
    BAD_PAYLOAD = "bad_payload"
    DESKTOP_NOT_FOUND = "desktop_not_found"
    DESKTOP_OFFLINE = "desktop_offline"
    QUEUE_FULL = "queue_full"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    TOKEN_INVALID = "token_invalid"  # noqa: S105 - a code, not a token
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a code, not a token
    FORBIDDEN = "forbidden"


@dataclass(frozen=True, slots=True)
class Fault:
    """What was wrong with a client's message: becomes an `error` to its sender.

    `text` says what was wrong and what would be right; it never quotes a payload or a token.
    """

    code: ErrorCode
    text: str
    message_id: str | None = None
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Welcome:
    """`welcome`: the first message on every connection."""

    connection_id: ConnectionId
    node_id: NodeId
    server_time: int
    heartbeat_ms: int
    timeout_ms: int
    max_bytes: int
    token_expires_at: int


@dataclass(frozen=True, slots=True)
class HeartbeatAck:
    """`heartbeat:ack`: the hub's clock, and in how many milliseconds the next heartbeat is due."""

    server_time: int
    next_ms: int


@dataclass(frozen=True, slots=True)
class DesktopOnline:
    """`desktop:online`: times in milliseconds since the epoch."""

    desktop_id: DesktopId
    name: str | None
    platform: str | None
    since: int
    last_seen: int


@dataclass(frozen=True, slots=True)
class DesktopOffline:
    """`desktop:offline`: `last_seen` in milliseconds since the epoch."""

    desktop_id: DesktopId
    name: str | None
    platform: str | None
    last_seen: int
    reason: str


@dataclass(frozen=True, slots=True)
class Goodbye:
    """`goodbye`: said just before the hub closes; `retry_after_ms` is this client's own share of a spread."""

    reason: str
    retry_after_ms: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """`resumed`: closes a replay; or, with `complete` false, tells a slow reader that something was left out.

    `offset`: where the replay ended; of a slow reader, behind which something is missing.
    """

    desktop_id: DesktopId
    complete: bool
    offset: Offset


Notice: TypeAlias = Welcome | HeartbeatAck | DesktopOnline | DesktopOffline | Goodbye | Resumed | Receipt | Fault


@dataclass(frozen=True, slots=True)
class Label:
    """What a frame for a phone holds, read from its text. `desktop_id` and `offset` are those beside the payload."""

    type: str
    desktop_id: DesktopId | None
    offset: Offset | None


@dataclass(frozen=True, slots=True)
class PresenceRecord:
    """A desktop that is online, as `hub:{u}:desktop:ID` holds it. Times in milliseconds since the epoch."""

    desktop_id: DesktopId
    user_id: UserId
    node_id: NodeId
    connection_id: ConnectionId
    epoch: Epoch
    name: str | None
    platform: str | None
    since: int
    last_seen: int


@dataclass(frozen=True, slots=True)
class CameOnline:
    """The desktop is online: write its record. `announce`: this is a change, so it goes to the stream too."""

    record: PresenceRecord
    announce: bool


@dataclass(frozen=True, slots=True)
class WentOffline:
    """The desktop's connection `record` is over: delete what it holds, and nothing that a newer one holds.

    `forget`: the desktop has another owner now, so it is no longer among this user's known ones.
    """

    record: PresenceRecord
    reason: str
    at: int
    forget: bool = False


PresenceChange: TypeAlias = CameOnline | WentOffline


@dataclass(frozen=True, slots=True)
class KnownDesktop:
    """A desktop that was seen before, as the store remembers it. `last_seen` in milliseconds since the epoch."""

    desktop_id: DesktopId
    last_seen: int
    name: str | None
    platform: str | None
    reason: str
