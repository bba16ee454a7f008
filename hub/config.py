"""All settings of the hub: one immutable model, read from the environment variables with the prefix `HUB_`.

Defaults are those of docs/protocol.md, "Running it". Laws between settings: hub/config_laws.py.
"""

import os
import re
import secrets
import socket
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from actors.ids import is_id
from hub.config_laws import BrokenLaw, broken_laws
from hub.config_values import (
    SECRET_BYTES,
    NamedSecret,
    RateLimit,
    check_file,
    check_jwks_source,
    check_redis_url,
    check_secret,
    parse_origins,
    parse_rate_limit,
    parse_secrets,
)

PREFIX = "HUB_"
CLIENT_VARIABLES = frozenset({"HUB_TOKEN"})
"""What `hub phone` and `hub desktop` read; no settings of the hub."""

_DAY_S = 86_400
_MIB = 1 << 20
_PING_S = 25.0  # under the usual idle timeouts of load balancers
_QUOTED_CHARS = 60
_KEY_FIELDS = {"jwt_secret", "jwt_secrets", "jwt_jwks"}
_NEVER_QUOTED = _KEY_FIELDS | {"redis_url", "tls_key"}

Duration = Annotated[float, Field(gt=0, le=_DAY_S, allow_inf_nan=False)]
Wait = Annotated[float, Field(ge=0, le=_DAY_S, allow_inf_nan=False)]
Age = Annotated[float, Field(gt=0, le=400 * _DAY_S, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class SettingsError(Exception):
    """The environment can't be used. `lines`: one for each violation, fit for an operator, without any secret."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


def _node_name(fields: dict[str, Any]) -> str:
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:100]
    return f"{host}:{fields['port']}"


def _check_node_name(name: str) -> str:
    if not is_id(name):
        raise ValueError("should be 1 to 128 letters, digits or any of . _ : @ -")
    return name


def _lower(text: object) -> object:
    return text.lower() if isinstance(text, str) else text


class Settings(BaseSettings):
    """What the hub runs with. Build it with `load_settings`; a test may also build one from keyword arguments.

    Times that end in `_s` are seconds, in `_ms` milliseconds. Raises pydantic's ValidationError.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True, validate_default=True
    )

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(default=8080, ge=0, le=65_535, description="port to listen on; 0 takes any free one")
    workers: int = Field(default=1, ge=1, le=128, description="worker processes on the port, each of them a node")
    node_name: Annotated[str, AfterValidator(_check_node_name)] = Field(
        default_factory=_node_name,
        description="name of this node in presence records, the same after a restart; unset: host name and port",
    )
    tls_cert: Annotated[Path, AfterValidator(check_file)] | None = Field(
        default=None, description="file with the certificate chain (PEM), for wss:// and https://"
    )
    tls_key: Annotated[Path, AfterValidator(check_file)] | None = Field(
        default=None, description="file with the certificate's private key (PEM)"
    )

    redis_url: Annotated[str, AfterValidator(check_redis_url)] | None = Field(
        default=None,
        repr=False,
        description="redis://, rediss://, unix:// or redis+cluster://HOST:PORT,HOST:PORT; "
        "unset: an embedded Valkey that starts and stops with the hub",
    )
    node_lease_s: Duration = Field(
        default=10, ge=1, le=300, description="how long a node that shares the Redis and can't reach it counts as alive"
    )
    redis_timeout_ms: int = Field(default=400, ge=10, le=10_000, description="longest wait for one answer of Redis")
    data_dir: Path = Field(default=Path("./data"), description="where the embedded Valkey keeps its files")
    presence_stream_length: Count = Field(default=10_000, description="entries kept in the stream hub:presence")

    jwt_secret: Annotated[SecretStr, AfterValidator(check_secret)] | None = Field(
        default=None,
        description="HS256 secret, 32 bytes at least, taken as it stands; for tokens that name no key (no kid)",
    )
    jwt_secrets: Annotated[tuple[NamedSecret, ...], BeforeValidator(parse_secrets)] = Field(
        default=(),
        description="HS256 secrets by key name (kid), for rotation: KID:SECRET,KID2:SECRET2; the first one signs. "
        "May stand beside HUB_JWT_SECRET. No comma in a secret",
    )
    jwt_jwks: Annotated[str, AfterValidator(check_jwks_source)] | None = Field(
        default=None, repr=False, description="file or URL of public keys (RS256, ES256, EdDSA), instead of a secret"
    )
    jwt_issuer: str | None = Field(default=None, description="the iss that every token must carry; unset: not checked")
    jwt_require_jti: bool = Field(default=False, description="whether every token must carry a jti")
    jwt_leeway_s: float = Field(default=10, ge=0, le=120, description="how far the clocks of issuer and hub may differ")
    token_grace_s: Wait = Field(default=0, description="how long a live connection outlives its token")
    revocation_ttl_s: int = Field(
        default=30 * _DAY_S,
        ge=1,
        le=400 * _DAY_S,
        description="how long revoked tokens are refused at most: as long as any token lives",
    )
    allow_query_token: bool = Field(default=True, description="whether ?token= is accepted")
    allowed_origins: Annotated[frozenset[str], BeforeValidator(parse_origins)] = Field(
        default=frozenset(),
        description="web pages that may connect: SCHEME://HOST[:PORT], comma-separated; unset: none",
    )

    heartbeat_timeout_s: Duration = Field(default=120, description="silence after which a peer is dead (4103)")
    heartbeat_interval_s: Duration = Field(
        default_factory=lambda fields: fields["heartbeat_timeout_s"] / 4,
        description="how often a desktop is to send heartbeat; unset: a quarter of the timeout",
    )
    ping_interval_s: Duration = Field(
        default_factory=lambda fields: min(_PING_S, fields["heartbeat_timeout_s"] / 4),
        description="how often the hub pings a mobile; unset: a quarter of the timeout, 25 at most",
    )
    presence_ttl_s: Duration = Field(
        default=120, description="how long a presence record outlives a hub that was killed"
    )
    offline_grace_s: Wait = Field(
        default=5, description="how long a desktop whose link was lost may take to come back unseen"
    )

    max_message_bytes: int = Field(default=_MIB, ge=1024, le=64 * _MIB, description="largest message, in bytes (1009)")
    rate_limit: Annotated[RateLimit | None, BeforeValidator(parse_rate_limit)] = Field(
        default=RateLimit(200, 400), description="messages a second : burst, for each connection; off: no limit"
    )
    user_rate_limit: Annotated[RateLimit | None, BeforeValidator(parse_rate_limit)] = Field(
        default_factory=lambda fields: fields["rate_limit"] and fields["rate_limit"].times(2),
        description="messages to desktops a second : burst, of all mobiles of a user on all nodes; off: no limit; "
        "unset: twice HUB_RATE_LIMIT",
    )
    max_connections: Count | None = Field(
        default=None, description="connections at once, of each worker; unset: what the open-file limit allows"
    )
    max_mobiles_per_user: Count = Field(default=20, description="mobiles of one user at once (4007)")
    max_desktops_per_user: Count = Field(default=50, description="desktops of one user at once (4007)")
    known_desktops: Count = Field(default=1000, description="desktops of one user that are remembered while away")
    inbox_bytes: int = Field(default=4 * _MIB, ge=2048, description="bytes that may wait for one connection (4102)")
    inbox_messages: int = Field(default=8192, ge=16, description="messages that may wait for one connection (4102)")

    mailbox: bool = Field(
        default=True, description="whether messages to a desktop are kept in Redis until it has them; off: never"
    )
    mailbox_messages: Count = Field(default=1000, description="messages that may wait for one desktop (queue_full)")
    mailbox_bytes: Count = Field(default=4 * _MIB, description="bytes that may wait for one desktop (queue_full)")
    mailbox_age_s: Age = Field(default=_DAY_S, description="how long a message waits for its desktop (expired)")
    dedupe_s: Age = Field(default=_DAY_S, description="how long a message_id is remembered (duplicate)")
    dedupe_messages: Count = Field(default=10_000, description="message_ids that are remembered for one desktop")
    journal_messages: Count = Field(default=1000, description="durable messages of one desktop kept for its phones")
    journal_bytes: Count = Field(default=4 * _MIB, description="bytes of them")
    journal_age_s: Age = Field(default=3 * _DAY_S, description="how long they are kept")
    ring_messages: Count = Field(
        default=2048, description="newest messages of one desktop, pieces too, kept in memory for phones that come back"
    )
    ring_bytes: int = Field(default=_MIB, ge=1024, description="bytes of them")
    replay_messages: Count = Field(
        default=1000, description="messages from the journal that a phone gets for one desktop when it comes back"
    )

    write_stall_s: Duration = Field(
        default=5, description="how long a peer may read nothing while it is written to (4102)"
    )
    close_deadline_s: Duration = Field(default=3, description="how long a peer may take to answer a close frame")
    handshake_deadline_s: Duration = Field(
        default=5, description="how long a connection may take from TCP to its upgrade"
    )
    drain_deadline_s: Duration = Field(default=10, description="how long a stop may take, from SIGTERM to the exit")
    drain_spread_s: Wait = Field(default=5, description="range over which retry_after_ms of goodbye is spread")

    log_format: Annotated[Literal["json", "pretty"], BeforeValidator(_lower)] = Field(
        default="json", description="json: one object a line; pretty: for people"
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        default="info", description="debug, info, warning or error"
    )

    _generated: frozenset[str] = PrivateAttr(frozenset())

    @property
    def generated(self) -> frozenset[str]:
        """Names of the fields that `load_settings` made up because nothing was set."""
        return self._generated

    @property
    def redis_timeout_s(self) -> float:
        """`redis_timeout_ms` in seconds, as what waits for Redis counts."""
        return self.redis_timeout_ms / 1000

    def worker_name(self, number: int) -> str:
        """Return the node name of one of several workers; each needs its own, and has it again after a restart."""
        return f"{self.node_name}.{number}"

    @model_validator(mode="after")
    def _hold_laws(self) -> Self:
        broken = tuple(broken_laws(self))
        if broken:
            raise PydanticCustomError("broken_laws", "{text}", {"text": _join(broken), "broken": broken})
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take keyword arguments only: `load_settings` reads the environment that it is given, whole and strictly."""
        return (init_settings,)


def variable_name(field: str) -> str:
    """Return the environment variable of a field of `Settings`."""
    return PREFIX + field.upper()


def load_settings(environ: Mapping[str, str] | None = None, *, dev: bool = False) -> Settings:
    """Read the settings from the environment; a variable that is empty counts as unset.

    Args:
        environ: The environment; by default that of the process.
        dev: Make up a secret if neither a secret nor a JWKS is set.

    Returns:
        Settings that keep every law.

    Raises:
        SettingsError: With one line for every violation, not only for the first.
    """
    environ = os.environ if environ is None else environ
    fields = {variable_name(field): field for field in Settings.model_fields}
    set_variables = {
        name: text
        for name, text in environ.items()
        if name.startswith(PREFIX) and name not in CLIENT_VARIABLES and text
    }
    values: dict[str, Any] = {fields[name]: text for name, text in set_variables.items() if name in fields}
    generated = frozenset({"jwt_secret"}) if dev and not values.keys() & _KEY_FIELDS else frozenset[str]()
    values |= {field: secrets.token_urlsafe(SECRET_BYTES) for field in generated}
    lines = [_unknown(name, fields) for name in sorted(set_variables.keys() - fields.keys())]
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError(lines + _violations(error, values)) from None
    if lines:
        raise SettingsError(lines)
    settings._generated = generated
    return settings


def _unknown(name: str, known: Mapping[str, str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"{name[:_QUOTED_CHARS]}: there is no such setting" + (f"; did you mean {near[0]}?" if near else "")


def _violations(error: ValidationError, values: Mapping[str, Any]) -> list[str]:
    """Return a line for each wrong value, and for each law that is broken among the right ones."""
    faults = error.errors(include_url=False)
    wrong = {str(fault["loc"][0]) for fault in faults if fault["loc"]}
    if not wrong:
        return [law.line for fault in faults for law in fault["ctx"]["broken"]]
    lines = [_line(fault, values) for fault in faults if fault["type"] != "default_factory_not_called"]
    try:
        Settings(**{field: text for field, text in values.items() if field not in wrong})
    except ValidationError as rest:
        laws: list[BrokenLaw] = [law for fault in rest.errors() for law in fault.get("ctx", {}).get("broken", ())]
        lines += [law.line for law in laws if not law.fields & wrong]
    return lines


def _line(fault: ErrorDetails, values: Mapping[str, str]) -> str:
    field = str(fault["loc"][0])
    text = fault["msg"].removeprefix("Value error, ")
    text = text[:1].lower() + text[1:]
    if field in _NEVER_QUOTED or field not in values:
        return f"{variable_name(field)}: {text}"
    return f"{variable_name(field)} ({values[field][:_QUOTED_CHARS]!r}): {text}"


def _join(broken: tuple[BrokenLaw, ...]) -> str:
    return "; ".join(law.line for law in broken)
