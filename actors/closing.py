"""Why a connection ends: one table from reason to close code, and to what the owner's phones are told.

Close codes: docs/protocol.md, "Close codes" (RFC 6455, section 7.4). The range tells a client what to do:
40xx stop, 41xx come back with back-off, 42xx come back at once after mending.
"""

from dataclasses import dataclass
from enum import Enum, unique


@dataclass(frozen=True, slots=True)
class Ending:
    """What one reason means.

    Attributes:
        code: The WebSocket close code.
        label: The close frame's reason text, the metric label and the name in logs.
        presence: `reason` in `desktop:offline` when a desktop's connection ends so.
        graced: Whether the desktop is expected back, so that the offline grace runs before anybody is told.
    """

    code: int
    label: str
    presence: str
    graced: bool


@unique
class CloseReason(Enum):
    """Everything that ends a connection."""

    PEER_CLOSED = Ending(1000, "closed", "closed", graced=False)
    LINK_LOST = Ending(1006, "lost", "lost", graced=True)
    PROTOCOL_ERROR = Ending(1002, "protocol_error", "lost", graced=True)
    NOT_UTF8 = Ending(1007, "not_utf8", "lost", graced=True)
    POLICY_VIOLATION = Ending(1008, "too_many_fragments", "lost", graced=True)
    TOO_BIG = Ending(1009, "too_big", "lost", graced=True)
    HUB_FAULT = Ending(1011, "internal_error", "lost", graced=True)
    RESTARTING = Ending(1012, "restarting", "closed", graced=False)
    HUB_FULL = Ending(1013, "try_again_later", "lost", graced=True)
    TOKEN_INVALID = Ending(4001, "token_invalid", "revoked", graced=False)
    FORBIDDEN = Ending(4003, "forbidden", "revoked", graced=False)
    SUPERSEDED = Ending(4005, "superseded", "superseded", graced=False)
    PROTOCOL_ABUSE = Ending(4006, "protocol_abuse", "closed", graced=False)
    CONNECTION_LIMIT = Ending(4007, "connection_limit", "closed", graced=False)
    RATE_LIMITED = Ending(4101, "rate_limited", "lost", graced=True)
    SLOW_CONSUMER = Ending(4102, "slow_consumer", "lost", graced=True)
    HEARTBEAT_TIMEOUT = Ending(4103, "heartbeat_timeout", "timeout", graced=False)
    TOKEN_EXPIRED = Ending(4201, "token_expired", "closed", graced=True)
    RESYNC = Ending(4202, "resync", "lost", graced=True)

    @property
    def code(self) -> int:
        """The WebSocket close code."""
        return self.value.code

    @property
    def label(self) -> str:
        """The name on the wire, in metrics and in logs."""
        return self.value.label
