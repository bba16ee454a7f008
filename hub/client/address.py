"""Where a client connects to: the hub's address, the path of its role, and what it asks for in the query. No I/O."""

from collections.abc import Mapping
from typing import Literal, TypeAlias
from urllib.parse import urlencode, urlsplit, urlunsplit

Role: TypeAlias = Literal["desktop", "mobile"]

_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}

_PLAIN_IN_QUERIES = ":@,"
"""These stand for themselves in a query (RFC 3986, section 3.4), which keeps a long `resume` short."""


def endpoint(url: str, role: Role) -> str:
    """Return the WebSocket URL for `role` at the hub that `url` names.

    Raises:
        ValueError: `url` names no hub.
    """
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise ValueError(f"{url.partition('?')[0]!r} is no address of a hub: something like ws://127.0.0.1:8080 is")
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, f"{parts.path.rstrip('/')}/ws/{role}", parts.query, ""))


def asking(url: str, parameters: Mapping[str, str]) -> str:
    """Return `url` with `parameters` added to its query."""
    if not parameters:
        return url
    parts = urlsplit(url)
    added = urlencode(parameters, safe=_PLAIN_IN_QUERIES)
    return urlunsplit(parts._replace(query=f"{parts.query}&{added}" if parts.query else added))
