"""What must hold between settings. Each law names the settings it looks at, and says in one line how it is broken."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.ids import is_id

if TYPE_CHECKING:
    from hub.config import Settings


@dataclass(frozen=True, slots=True)
class BrokenLaw:
    """A law that doesn't hold: the fields it looked at, and the line for the operator."""

    fields: frozenset[str]
    line: str


@dataclass(frozen=True, slots=True)
class _Law:
    fields: frozenset[str]
    check: Callable[["Settings"], str | None]


def broken_laws(settings: "Settings") -> Iterator[BrokenLaw]:
    """Yield every law that these settings break."""
    for law in _LAWS:
        line = law.check(settings)
        if line is not None:
            yield BrokenLaw(law.fields, line)


def _worker_names_fit(settings: "Settings") -> str | None:
    if settings.workers == 1 or is_id(settings.worker_name(settings.workers)):
        return None
    return f"HUB_NODE_NAME ({len(settings.node_name)} letters) should be shorter: each worker's number is added to it"


def _heartbeats_fit(settings: "Settings") -> str | None:
    timeout, interval = settings.heartbeat_timeout_s, settings.heartbeat_interval_s
    if timeout >= 2 * interval:
        return None
    return (
        f"HUB_HEARTBEAT_TIMEOUT_S ({timeout:g}) should be at least twice HUB_HEARTBEAT_INTERVAL_S ({interval:g}), "
        "so that one lost heartbeat ends nothing"
    )


def _pings_fit(settings: "Settings") -> str | None:
    timeout, interval = settings.heartbeat_timeout_s, settings.ping_interval_s
    if interval < timeout:
        return None
    return f"HUB_PING_INTERVAL_S ({interval:g}) should be less than HUB_HEARTBEAT_TIMEOUT_S ({timeout:g})"


def _presence_outlives_timeout(settings: "Settings") -> str | None:
    ttl, timeout = settings.presence_ttl_s, settings.heartbeat_timeout_s
    if ttl >= timeout:
        return None
    return f"HUB_PRESENCE_TTL_S ({ttl:g}) should be at least HUB_HEARTBEAT_TIMEOUT_S ({timeout:g})"


def _inbox_holds_messages(settings: "Settings") -> str | None:
    inbox, message = settings.inbox_bytes, settings.max_message_bytes
    if inbox >= 2 * message:
        return None
    return f"HUB_INBOX_BYTES ({inbox}) should be at least twice HUB_MAX_MESSAGE_BYTES ({message}): {2 * message}"


def _kept_messages_fit(settings: "Settings") -> str | None:
    message = settings.max_message_bytes
    for name, size in (("HUB_MAILBOX_BYTES", settings.mailbox_bytes), ("HUB_JOURNAL_BYTES", settings.journal_bytes)):
        if size < message:
            return f"{name} ({size}) should be at least HUB_MAX_MESSAGE_BYTES ({message})"
    return None


def _what_waits_is_remembered(settings: "Settings") -> str | None:
    if settings.dedupe_s >= settings.mailbox_age_s and settings.dedupe_messages >= settings.mailbox_messages:
        return None
    return (
        f"HUB_DEDUPE_S ({settings.dedupe_s:g}) and HUB_DEDUPE_MESSAGES ({settings.dedupe_messages}) should be at least "
        f"HUB_MAILBOX_AGE_S ({settings.mailbox_age_s:g}) and HUB_MAILBOX_MESSAGES ({settings.mailbox_messages}), "
        "so that no message comes in twice"
    )


def _users_may_send_what_connections_may(settings: "Settings") -> str | None:
    user, connection = settings.user_rate_limit, settings.rate_limit
    if user is None or connection is None or (user.rate >= connection.rate and user.burst >= connection.burst):
        return None
    return (
        f"HUB_USER_RATE_LIMIT ({user}) should be at least HUB_RATE_LIMIT ({connection}), in rate and burst: "
        "else one connection could never send what it may"
    )


def _keys_are_named(settings: "Settings") -> str | None:
    secrets = settings.jwt_secret is not None or bool(settings.jwt_secrets)
    if secrets and settings.jwt_jwks is not None:
        return "HUB_JWT_JWKS and a secret (HUB_JWT_SECRET, HUB_JWT_SECRETS) exclude each other; unset one of them"
    if not secrets and settings.jwt_jwks is None:
        return (
            "no key to check tokens with: set HUB_JWT_SECRET (32 bytes at least) or HUB_JWT_JWKS; "
            "to try the hub out: hub serve --dev"
        )
    return None


def _tls_is_whole(settings: "Settings") -> str | None:
    if (settings.tls_cert is None) == (settings.tls_key is None):
        return None
    given, missing = ("HUB_TLS_KEY", "HUB_TLS_CERT") if settings.tls_cert is None else ("HUB_TLS_CERT", "HUB_TLS_KEY")
    return f"{given} is set and {missing} is not; TLS needs both"


_LAWS = (
    _Law(frozenset({"workers", "node_name"}), _worker_names_fit),
    _Law(frozenset({"heartbeat_timeout_s", "heartbeat_interval_s"}), _heartbeats_fit),
    _Law(frozenset({"heartbeat_timeout_s", "ping_interval_s"}), _pings_fit),
    _Law(frozenset({"heartbeat_timeout_s", "presence_ttl_s"}), _presence_outlives_timeout),
    _Law(frozenset({"inbox_bytes", "max_message_bytes"}), _inbox_holds_messages),
    _Law(frozenset({"max_message_bytes", "mailbox_bytes", "journal_bytes"}), _kept_messages_fit),
    _Law(frozenset({"dedupe_s", "dedupe_messages", "mailbox_age_s", "mailbox_messages"}), _what_waits_is_remembered),
    _Law(frozenset({"rate_limit", "user_rate_limit"}), _users_may_send_what_connections_may),
    _Law(frozenset({"jwt_secret", "jwt_secrets", "jwt_jwks"}), _keys_are_named),
    _Law(frozenset({"tls_cert", "tls_key"}), _tls_is_whole),
)
