from hub.config import load_settings
from hub.doctor.finding import Severity
from hub.doctor.secrets import check_secrets
from tests.unit.hub.doctor.support import SECRET, settings, severities, worst


def test_a_good_secret_is_told_by_its_length_only() -> None:
    (finding,) = check_secrets(settings())
    assert finding.severity is Severity.OK
    assert f"{len(SECRET)} bytes" in finding.found
    assert SECRET[:6] not in finding.found


def test_a_weak_one_is_named_not_shown() -> None:
    weak = "hunter22" * 5
    rotation = load_settings({"HUB_JWT_SECRETS": f"new:{SECRET},old:{weak}"})
    finding = worst(check_secrets(rotation))
    assert finding.severity is Severity.WARNING
    assert "HUB_JWT_SECRETS old" in finding.found
    assert "hunter" not in finding.found + finding.advice


def test_a_rotation_that_changes_nothing() -> None:
    rotation = load_settings({"HUB_JWT_SECRETS": f"new:{SECRET},old:{SECRET}"})
    assert severities(check_secrets(rotation)) == [Severity.OK, Severity.OK, Severity.WARNING]


def test_without_secrets_there_is_nothing_to_say() -> None:
    assert list(check_secrets(load_settings({"HUB_JWT_JWKS": "https://issuer.example/keys"}))) == []
