"""The public keys of HUB_JWT_JWKS: fetched once, as the hub does, and counted."""

import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from hub.auth.jwks import MOST_KEYS, JwksError, read_jwks
from hub.auth.jwks_source import FetchError, fetch_document
from hub.config import Settings
from hub.doctor.finding import Finding, error, note, ok, warning
from hub.doctor.settings import is_loopback

_ABOUT = "keys"


async def check_key_set(settings: Settings) -> list[Finding]:
    """Fetch the key set, if there is one, and look at its keys and at the way that it comes."""
    source = settings.jwt_jwks
    if source is None:
        return []
    findings = [*_check_way(source), *_check_issuer(settings)]
    try:
        findings += check_document(await fetch_document(source))
    except FetchError as reason:
        findings.append(error(_ABOUT, f"HUB_JWT_JWKS: {reason}", "without keys every handshake is refused (503)"))
    return findings


def check_document(document: bytes) -> Iterator[Finding]:
    """Say which keys of a key set the hub uses."""
    try:
        usable = read_jwks(document)
    except JwksError as reason:
        yield error(_ABOUT, f"HUB_JWT_JWKS: {reason}", "the issuer has to publish keys for signatures")
        return
    members: list[Any] = msgspec.json.decode(document)["keys"]
    keys = [key for name in _names(members[:MOST_KEYS]) if (key := usable.get(name)) is not None and key.kid == name]
    kinds = ", ".join(f"{times} {kind}" for kind, times in sorted(Counter(key.algorithm for key in keys).items()))
    yield ok(_ABOUT, f"HUB_JWT_JWKS: {len(keys)} usable key(s): {kinds}")
    if len(members) > len(keys):
        yield note(_ABOUT, f"HUB_JWT_JWKS: {len(members) - len(keys)} of {len(members)} keys are left out")


def _names(members: list[Any]) -> set[str | None]:
    names = [member.get("kid") for member in members if isinstance(member, dict)]
    return {name for name in names if name is None or isinstance(name, str)}


def _check_way(source: str) -> Iterator[Finding]:
    if "://" not in source:
        if Path(source).stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            yield warning(_ABOUT, "others may write the file of HUB_JWT_JWKS, and mint tokens then", "chmod go-w")
        return
    parts = urlsplit(source)
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        yield warning(
            _ABOUT, "HUB_JWT_JWKS comes over http://: whoever is on the way can mint every token", "use https://"
        )


def _check_issuer(settings: Settings) -> Iterator[Finding]:
    if settings.jwt_issuer is None:
        yield note(
            _ABOUT, "the issuer of tokens isn't checked", "set HUB_JWT_ISSUER if the keys sign other tokens, too"
        )
