from pathlib import Path

import pytest

from hub.config import Settings, load_settings
from hub.doctor.finding import Severity
from hub.doctor.key_set import check_document, check_key_set
from tests.unit.hub.auth.support import ec_pair, ed_pair, jwks, rsa_pair
from tests.unit.hub.doctor.support import settings, severities, worst


def _from(source: str) -> Settings:
    return load_settings({"HUB_JWT_JWKS": source, "HUB_JWT_ISSUER": "https://issuer.example"})


def test_usable_keys_are_counted_by_algorithm() -> None:
    document = jwks(ec_pair("a").jwk(), ec_pair("b").jwk(), ed_pair("c").jwk())
    (finding,) = check_document(document)
    assert finding.severity is Severity.OK
    assert "3 usable key(s): 2 ES256, 1 EdDSA" in finding.found


def test_keys_that_are_left_out_are_told() -> None:
    document = jwks(ec_pair("a").jwk(), ec_pair("b").jwk(use="enc"), ec_pair("c").jwk(kid={}))
    document = document.replace(b'"keys": [', b'"keys": ["no object", ')
    assert severities(check_document(document)) == [Severity.OK, Severity.NOTE]
    assert "3 of 4" in list(check_document(document))[1].found


@pytest.mark.parametrize("document", [b"junk", b"{}", jwks(rsa_pair("k", bits=1024).jwk())])
def test_a_document_without_usable_keys_is_an_error(document: bytes) -> None:
    assert severities(check_document(document)) == [Severity.ERROR]


async def test_a_file_that_only_we_write_is_fine(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(jwks(ec_pair("a").jwk()))
    file.chmod(0o644)
    assert severities(await check_key_set(_from(str(file)))) == [Severity.OK]
    file.chmod(0o666)
    assert worst(await check_key_set(_from(str(file)))).severity is Severity.WARNING


async def test_keys_that_come_over_http_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fetch(_: str) -> bytes:
        return jwks(ec_pair("a").jwk())

    monkeypatch.setattr("hub.doctor.key_set.fetch_document", fetch)
    finding = worst(await check_key_set(_from("http://user:c4nary@issuer.example/keys")))
    assert finding.severity is Severity.WARNING
    assert "c4nary" not in str(finding)
    assert severities(await check_key_set(_from("https://issuer.example/keys"))) == [Severity.OK]


async def test_keys_that_do_not_come_are_an_error(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.touch()
    source = _from(str(file))
    file.write_bytes(b" " * 300_000)
    finding = worst(await check_key_set(source))
    assert (finding.severity, "larger than" in finding.found) == (Severity.ERROR, True)


async def test_an_issuer_that_is_not_checked_is_noted(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(jwks(ec_pair("a").jwk()))
    file.chmod(0o600)
    findings = await check_key_set(load_settings({"HUB_JWT_JWKS": str(file)}))
    assert worst(findings).severity is Severity.NOTE


async def test_with_a_secret_there_is_no_key_set() -> None:
    assert await check_key_set(settings()) == []
