"""From how a connection ended to what a client does next: one table, no I/O (docs/protocol.md, "Close codes").

40xx stop, 41xx come back with back-off, 42xx come back at once after mending. Codes of RFC 6455 and lost links come
back with back-off: they are about this connection, not about this client. So does an HTTP refusal, but for 401 and 403.
"""

from dataclasses import dataclass
from typing import TypeAlias

LOST = 1006
"""The link broke or nobody answered. RFC 6455 keeps this code for exactly that; it is never on the wire."""

_MAX_RETRY_AFTER_S = 3600.0

_MENDED_BY_TOKEN = frozenset({401, 403, 4201})

_NAMES = {
    1000: "closed",
    1001: "going_away",
    1002: "protocol_error",
    LOST: "lost",
    1007: "not_utf8",
    1008: "policy_violation",
    1009: "too_big",
    1011: "internal_error",
    1012: "restarting",
    1013: "try_again_later",
    4001: "token_invalid",
    4003: "forbidden",
    4005: "superseded",
    4006: "protocol_abuse",
    4007: "connection_limit",
    4101: "rate_limited",
    4102: "slow_consumer",
    4103: "heartbeat_timeout",
    4201: "token_expired",
    4202: "resync",
}

_STOPS = {
    401: "the hub refused the token",
    403: "the hub refused this client: a token of the wrong kind, or an origin that isn't allowed",
    4001: "the token is invalid or was revoked",
    4003: "this client may not do this",
    4005: "a newer connection of the same desktop or device took over",
    4006: "the hub got too many messages that it couldn't take",
    4007: "too many connections of this user",
    4201: "the token has expired",
}


@dataclass(frozen=True, slots=True)
class Parting:
    """How a connection ended, or why it didn't come about.

    Attributes:
        code: A WebSocket close code, or the HTTP status of a refused upgrade (always below 1000).
        reason: The close frame's reason, the refusal's `code`, or what went wrong.
        retry_after_s: Seconds that the hub asked for, in `goodbye` or in Retry-After.
    """

    code: int
    reason: str = ""
    retry_after_s: float | None = None

    @property
    def name(self) -> str:
        """The code's name in the contract, else the reason that was given."""
        return _NAMES.get(self.code) or self.reason or "unknown"


@dataclass(frozen=True, slots=True)
class Stop:
    """Don't come back; `text` tells a person why."""

    text: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Come back after `after_s` seconds and the back-off's delay on top."""

    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RetryNow:
    """Come back at once; if `new_token`, with another token than the last, and if there is none, stop."""

    new_token: bool = False


Advice: TypeAlias = Stop | Retry | RetryNow


def stop_text(code: int) -> str:
    """Say in words why `code` ends a client."""
    return _STOPS.get(code, "the hub closed the connection for good")


def advice(parting: Parting) -> Advice:
    """Say what a client does after `parting`. Total: every code has an answer."""
    if parting.code in _MENDED_BY_TOKEN:
        return RetryNow(new_token=True)
    match parting.code // 100:
        case 40:
            return Stop(stop_text(parting.code))
        case 42:
            return RetryNow()
        case _:
            return Retry(min(max(parting.retry_after_s or 0.0, 0.0), _MAX_RETRY_AFTER_S))
