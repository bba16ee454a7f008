"""Where Redis listens, as `HUB_REDIS_URL` writes it: one server, or some nodes of a cluster."""

import re
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

DEFAULT_PORT = 6379

_CLUSTER = "+cluster"


class Address(NamedTuple):
    """A node of a cluster, as the cluster announces it."""

    host: str
    port: int


def redis_nodes(url: str) -> list[str]:
    """Return the URL of each server that a Redis URL names.

    `redis+cluster://LOGIN@HOST:PORT,HOST:PORT` and `rediss+cluster://` name nodes of a cluster, every other URL itself.
    """
    scheme, colon, rest = url.partition("://")
    if not colon or not scheme.endswith(_CLUSTER):
        return [url]
    where = re.split("[/?#]", rest, maxsplit=1)[0]
    login, sign, hosts = where.rpartition("@")
    end = rest[len(where) :]
    return [f"{scheme.removesuffix(_CLUSTER)}://{login}{sign}{host}{end}" for host in hosts.split(",")]


def at(url: str, address: Address) -> str:
    """Return a server's `url` with another host and port, and the same login."""
    parts = urlsplit(url)
    login, sign, _ = parts.netloc.rpartition("@")
    host = f"[{address.host}]" if ":" in address.host else address.host
    return urlunsplit(parts._replace(netloc=f"{login}{sign}{host}:{address.port}"))


def address_of(url: str) -> Address:
    """Return where a server's `url` points.

    Raises:
        ValueError: If it names no host, or its port is no number. The text never holds the password.
    """
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise ValueError("every node of a Redis Cluster is named by HOST:PORT")
    return Address(host, port or DEFAULT_PORT)
