"""Settings that are valid, and that an operator may still not have meant."""

import ipaddress
from collections.abc import Iterator

from hub.config import Settings
from hub.doctor.finding import Finding, note, ok, warning

_LEAST_DRAIN_S = 4.0
"""docs/operations.md, "Stopping"."""


def check_settings(settings: Settings) -> Iterator[Finding]:
    """Look at what is open to others, and at limits that are off."""
    yield ok("settings", f"{len(settings.model_fields_set)} set, all valid")
    if settings.generated:
        yield note(
            "settings", "development mode: the hub makes its secret itself", "don't use it where others reach it"
        )
    if settings.tls_cert is None and not is_loopback(settings.host):
        yield note("settings", f"listens on {settings.host} without TLS", "end TLS in a proxy, or set HUB_TLS_CERT")
    if settings.allow_query_token:
        yield note(
            "settings",
            "?token= is accepted, which access logs of proxies may write down",
            "HUB_ALLOW_QUERY_TOKEN=false, if every client can send a header; else keep the query out of those logs",
        )
    if settings.rate_limit is None:
        yield warning("settings", "no limit on messages (HUB_RATE_LIMIT=off)", "set a limit, such as 200:400")
    if settings.drain_deadline_s < _LEAST_DRAIN_S:
        yield warning(
            "settings",
            f"HUB_DRAIN_DEADLINE_S ({settings.drain_deadline_s:g}) leaves too little time for an orderly stop",
            f"{_LEAST_DRAIN_S:g} or more",
        )


def is_loopback(host: str | None) -> bool:
    """Tell whether only this machine reaches `host`."""
    if host is None or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
