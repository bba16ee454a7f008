"""Which web pages may connect."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from hub.config import Settings
from hub.doctor.finding import Finding, note, ok, warning
from hub.doctor.settings import is_loopback

_ABOUT = "origins"


def check_origins(settings: Settings) -> Iterator[Finding]:
    """Look for pages that others can forge, and for none at all."""
    origins = sorted(settings.allowed_origins)
    if not origins:
        yield note(_ABOUT, "no web page may connect", "name your pages in HUB_ALLOWED_ORIGINS, if there are any")
        return
    yield ok(_ABOUT, f"{len(origins)} web page(s) may connect: {', '.join(origins)}")
    for origin in origins:
        parts = urlsplit(origin)
        if is_loopback(parts.hostname):
            yield from _local(settings, origin)
        elif parts.scheme == "http":
            yield warning(_ABOUT, f"{origin} comes without TLS: whoever is on the way can be that page", "use https://")


def _local(settings: Settings, origin: str) -> Iterator[Finding]:
    if not is_loopback(settings.host):
        yield note(_ABOUT, f"{origin} is a page on the visitor's own machine", "take it away outside development")
