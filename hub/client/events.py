"""What happens to a client's connection, told in the same stream as its messages."""

from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from hub.client.message import Message


@dataclass(frozen=True, slots=True)
class Welcome:
    """What the hub says first on every connection (docs/protocol.md, "Messages").

    Attributes:
        connection_id: The hub's name for this connection.
        node_id: The hub process that holds it.
        server_time: The hub's clock, in milliseconds since the epoch.
        heartbeat_ms: How often a desktop sends `heartbeat`.
        timeout_ms: After how much silence the hub closes with 4103.
        max_bytes: The greatest message that the hub takes.
        token_expires_at: In milliseconds since the epoch; without a new token the hub closes with 4201 then.
    """

    connection_id: str = ""
    node_id: str = ""
    server_time: int = 0
    heartbeat_ms: int = 30_000
    timeout_ms: int = 120_000
    max_bytes: int = 1_048_576
    token_expires_at: int = 0

    @classmethod
    def of(cls, payload: dict[str, Any]) -> "Welcome":
        """Read a `welcome` payload; a field that is missing or makes no sense keeps its default."""
        return cls(
            **{each.name: payload[each.name] for each in fields(cls) if _fits(payload.get(each.name), each.type)}
        )


def _fits(field: object, kind: object) -> bool:
    return type(field) is kind and (not isinstance(field, int) or field > 0)


@dataclass(frozen=True, slots=True)
class Connected:
    """The hub has said `welcome`: messages can be sent."""

    welcome: Welcome


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection is gone, or didn't come about; the client tries again by itself.

    Attributes:
        code: The WebSocket close code (1006: the link was lost or nobody answered), or the HTTP status of a refusal.
        reason: Its name or what went wrong, for people.
        retry_in_s: Seconds until the next try.
    """

    code: int
    reason: str
    retry_in_s: float


Event: TypeAlias = Message | Connected | Disconnected
