"""Settings whose text has a syntax of its own: how each is read, and what it becomes.

Every function raises ValueError with one line that says what is wrong and what would be right. No line quotes a secret.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from hub.auth.kid import is_kid
from hub.redis_url import redis_nodes

SECRET_BYTES = 32
"""The shortest HS256 secret: as long as the hash (RFC 7518, section 3.2)."""

_REDIS_SCHEMES = ("redis", "rediss", "unix")
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A token bucket: `rate` messages a second in the long run, `burst` of them at once."""

    rate: float
    burst: int

    def __str__(self) -> str:
        """Return it as it is written in the environment."""
        return f"{self.rate:g}:{self.burst}"

    def times(self, many: int) -> "RateLimit":
        """Return the limit of so many together."""
        return RateLimit(self.rate * many, self.burst * many)


@dataclass(frozen=True, slots=True)
class NamedSecret:
    """An HS256 secret and the `kid` that tokens signed with it carry."""

    kid: str
    secret: SecretStr


def parse_rate_limit(text: object) -> object:
    """Read `200:400`, or `off` as None; anything but text passes for pydantic to judge."""
    if not isinstance(text, str):
        return text
    if text.strip().lower() == "off":
        return None
    try:
        rate, burst = text.split(":")
        limit = RateLimit(float(rate), int(burst))
    except ValueError:
        raise ValueError("should be RATE:BURST, such as 200:400, or off") from None
    if not 0 < limit.rate < float("inf"):
        raise ValueError("the rate should be more than 0 messages a second (to have no limit: off)")
    if limit.burst < 1:
        raise ValueError("the burst should be 1 or more")
    return limit


def parse_origins(text: object) -> object:
    """Read `https://a.example,https://b.example:8443` into a frozenset, lower-case, without the scheme's own port."""
    if not isinstance(text, str):
        return text
    return frozenset(_parse_origin(part.strip().lower()) for part in text.split(",") if part.strip())


def _parse_origin(origin: str) -> str:
    match = _ORIGIN.fullmatch(origin)
    if match is None or int(match[3] or 0) > _HIGHEST_PORT:
        raise ValueError(f"{origin[:100]!r} should be SCHEME://HOST or SCHEME://HOST:PORT, without a path or wildcard")
    if match[3] == _DEFAULT_PORTS.get(match[1]):
        return f"{match[1]}://{match[2]}"
    return origin


def parse_secrets(text: object) -> object:
    """Read `kid1:secret1,kid2:secret2` into NamedSecrets; a secret is all from the first colon to the next comma."""
    if not isinstance(text, str):
        return text
    secrets = tuple(_parse_secret(number, part.strip()) for number, part in enumerate(text.split(","), start=1))
    kid, times = Counter(each.kid for each in secrets).most_common(1)[0]
    if times > 1:
        raise ValueError(f"the name {kid!r} is used {times} times; every secret should have its own")
    return secrets


def _parse_secret(number: int, part: str) -> NamedSecret:
    kid, colon, secret = part.partition(":")
    if not colon or not is_kid(kid):
        raise ValueError(f"part {number} should be NAME:SECRET, the name of letters, digits, '.', '_' and '-'")
    return NamedSecret(kid, check_secret(SecretStr(secret)))


def check_secret(secret: SecretStr) -> SecretStr:
    """Refuse a secret that is shorter than HS256 needs, or that isn't one."""
    if secret.get_secret_value().startswith(("-----BEGIN", "ssh-", "{")):
        raise ValueError("this is a key, not a secret; public keys go into a JWKS (HUB_JWT_JWKS)")
    length = len(secret.get_secret_value().encode())
    if length < SECRET_BYTES:
        raise ValueError(f"a secret of {length} bytes is too weak for HS256; it should have {SECRET_BYTES} at least")
    return secret


def check_redis_url(url: str) -> str:
    """Refuse what the Redis client can't open."""
    nodes = redis_nodes(url)
    if nodes != [url]:
        for node in nodes:
            _check_cluster_node(node)
        return url
    scheme, host, path = _split(url)
    if scheme not in _REDIS_SCHEMES:
        raise ValueError("should begin with redis://, rediss://, unix:// or redis+cluster://")
    if scheme == "unix" and not path.startswith("/"):
        raise ValueError("should name the socket's whole path: unix:///PATH")
    if scheme != "unix" and not host:
        raise ValueError(f"should name a host: {scheme}://HOST:PORT/DATABASE")
    return url


def _check_cluster_node(url: str) -> None:
    scheme, host, path = _split(url)
    if scheme not in ("redis", "rediss"):
        raise ValueError("should begin with redis+cluster://, or rediss+cluster:// for TLS")
    if not host:
        raise ValueError("should name some nodes of the cluster: redis+cluster://HOST:PORT,HOST:PORT")
    if path not in ("", "/", "/0"):
        raise ValueError("should name no database: a cluster has only database 0")


def check_file(path: Path) -> Path:
    """Refuse what isn't an existing file (such as the contents of one)."""
    if not os.path.isfile(path):  # unlike Path.is_file, it bears text that is far too long for a path
        raise ValueError("should be the path of an existing file")
    return path


def check_jwks_source(source: str) -> str:
    """Refuse a JWKS that is neither a file's path nor an http(s) URL."""
    if "://" not in source:
        check_file(Path(source))
        return source
    scheme, host, _ = _split(source)
    if scheme not in ("http", "https") or not host:
        raise ValueError("should be a file's path, or a URL that begins with https:// or http://")
    return source


def _split(url: str) -> tuple[str, str | None, str]:
    """Return scheme, host and path. urllib's own errors may quote the password, so they end here."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError(f"is not a URL; the port, if there is one, should be a number up to {_HIGHEST_PORT}") from None
    return parts.scheme, parts.hostname, parts.path
