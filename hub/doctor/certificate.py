"""The TLS certificate: usable as the hub uses it, and for how long."""

import ssl
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from hub.config import Settings
from hub.doctor.finding import Finding, error, note, ok, warning

_ABOUT = "certificate"
_SOON = timedelta(days=14)
_DATE = "%Y-%m-%d %H:%M UTC"
_WHY = {
    "KEY_VALUES_MISMATCH": "the key in HUB_TLS_KEY isn't the one of HUB_TLS_CERT",
    "NO_START_LINE": "HUB_TLS_CERT or HUB_TLS_KEY holds no PEM",
}


def check_certificate(settings: Settings, now: datetime) -> Iterator[Finding]:
    """Look at the certificate of the settings, if there is one. `now` is aware."""
    cert, key = settings.tls_cert, settings.tls_key
    if cert is None or key is None:
        return
    try:
        _load(cert, key)
        chain = x509.load_pem_x509_certificates(cert.read_bytes())
    except ssl.SSLError as reason:
        why = _WHY.get(reason.reason or "", f"unusable ({reason.reason or 'is the key encrypted?'})")
        yield error(_ABOUT, why, "the chain in HUB_TLS_CERT, its key in HUB_TLS_KEY, both PEM and without a passphrase")
        return
    except (OSError, ValueError) as reason:
        text = reason.strerror if isinstance(reason, OSError) else "not a certificate"
        yield error(_ABOUT, f"can't be read ({text})", "let the hub's user read HUB_TLS_CERT and HUB_TLS_KEY")
        return
    yield _check_dates(chain[0], now)
    if len(chain) == 1 and chain[0].issuer != chain[0].subject:
        yield note(_ABOUT, "the file holds no intermediate certificate", "clients that don't know the issuer need it")
    if key.stat().st_mode & (stat.S_IWGRP | stat.S_IRWXO):
        yield warning(_ABOUT, "any user may open the file of HUB_TLS_KEY, or a group may write it", "chmod 600")


def _load(cert: Path, key: Path) -> None:
    """Read both files as the hub does; an empty passphrase, so that nobody is asked for one."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")


def _check_dates(leaf: x509.Certificate, now: datetime) -> Finding:
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if now < begins:
        return error(_ABOUT, f"not valid before {begins:{_DATE}}", "look at this machine's clock, or renew it")
    if now >= ends:
        return error(_ABOUT, f"expired at {ends:{_DATE}}", "renew it and restart the hub")
    if ends - now < _SOON:
        return warning(_ABOUT, f"expires at {ends:{_DATE}}, in {(ends - now).days} days", "renew it, restart the hub")
    return ok(_ABOUT, f"fits its key, good until {ends:{_DATE}}")


def utc_now() -> datetime:
    """Return the wall clock's time, aware."""
    return datetime.now(UTC)
