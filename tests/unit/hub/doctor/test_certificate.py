from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from hub.config import Settings
from hub.doctor.certificate import check_certificate
from hub.doctor.finding import Severity
from tests.unit.hub.doctor.support import settings, severities, worst

NOW = datetime(2030, 6, 1, tzinfo=UTC)
AUTHORITY = trustme.CA()


def _issue(folder: Path, days: float = 90) -> Settings:
    leaf = AUTHORITY.issue_cert("hub.example", not_before=NOW - timedelta(days=1), not_after=NOW + timedelta(days=days))
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(leaf.cert_chain_pems[0].bytes() + AUTHORITY.cert_pem.bytes())
    key.write_bytes(leaf.private_key_pem.bytes())
    key.chmod(0o600)
    return settings(HUB_TLS_CERT=str(chain), HUB_TLS_KEY=str(key))


def test_without_tls_there_is_nothing_to_look_at() -> None:
    assert list(check_certificate(settings(), NOW)) == []


@pytest.mark.parametrize(
    ("days", "severity", "found"),
    [
        (90, Severity.OK, "until 2030-08-30"),
        (13, Severity.WARNING, "in 13 days"),
        (-0.5, Severity.ERROR, "expired"),
    ],
)
def test_how_long_it_lasts(tmp_path: Path, days: float, severity: Severity, found: str) -> None:
    (finding,) = check_certificate(_issue(tmp_path, days), NOW)
    assert finding.severity is severity
    assert found in finding.found


def test_one_of_the_future_is_an_error(tmp_path: Path) -> None:
    (finding,) = check_certificate(_issue(tmp_path), NOW - timedelta(days=2))
    assert (finding.severity, "not valid before" in finding.found) == (Severity.ERROR, True)


def test_a_key_of_another_certificate_is_an_error(tmp_path: Path) -> None:
    chosen = _issue(tmp_path)
    (tmp_path / "key.pem").write_bytes(AUTHORITY.issue_cert("other.example").private_key_pem.bytes())
    (finding,) = check_certificate(chosen, NOW)
    assert (finding.severity, "isn't the one" in finding.found) == (Severity.ERROR, True)


@pytest.mark.parametrize("name", ["chain.pem", "key.pem"])
def test_what_is_no_pem_is_an_error(tmp_path: Path, name: str) -> None:
    chosen = _issue(tmp_path)
    (tmp_path / name).write_bytes(b"c4nary")
    (finding,) = check_certificate(chosen, NOW)
    assert finding.severity is Severity.ERROR
    assert "c4nary" not in str(finding)


def test_an_encrypted_key_is_an_error_and_asks_nobody(tmp_path: Path) -> None:
    chosen = _issue(tmp_path)
    plain = serialization.load_pem_private_key((tmp_path / "key.pem").read_bytes(), None)
    locked = plain.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )
    (tmp_path / "key.pem").write_bytes(locked)
    assert severities(check_certificate(chosen, NOW)) == [Severity.ERROR]


def test_a_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    chosen = _issue(tmp_path)
    (tmp_path / "key.pem").unlink()
    assert severities(check_certificate(chosen, NOW)) == [Severity.ERROR]


def test_a_key_that_others_read_is_a_warning(tmp_path: Path) -> None:
    chosen = _issue(tmp_path)
    (tmp_path / "key.pem").chmod(0o644)
    assert worst(check_certificate(chosen, NOW)).severity is Severity.WARNING


def test_a_chain_of_one_is_noted(tmp_path: Path) -> None:
    chosen = _issue(tmp_path)
    chain = (tmp_path / "chain.pem").read_bytes()
    (tmp_path / "chain.pem").write_bytes(chain[: chain.index(b"-----END CERTIFICATE-----") + 26])
    assert severities(check_certificate(chosen, NOW)) == [Severity.OK, Severity.NOTE]
