import pytest

from hub.config import load_settings
from hub.doctor.finding import Severity
from hub.doctor.settings import check_settings, is_loopback
from tests.unit.hub.doctor.support import settings, severities, worst


def test_a_hub_behind_a_proxy_is_fine() -> None:
    assert severities(check_settings(settings(HUB_ALLOW_QUERY_TOKEN="false"))) == [Severity.OK]


@pytest.mark.parametrize(
    ("variable", "value", "severity", "found"),
    [
        ("HUB_HOST", "0.0.0.0", Severity.NOTE, "without TLS"),
        ("HUB_ALLOW_QUERY_TOKEN", "true", Severity.NOTE, "?token="),
        ("HUB_RATE_LIMIT", "off", Severity.WARNING, "no limit"),
        ("HUB_DRAIN_DEADLINE_S", "3", Severity.WARNING, "too little time"),
    ],
)
def test_what_an_operator_may_not_have_meant(variable: str, value: str, severity: Severity, found: str) -> None:
    quiet = {"HUB_ALLOW_QUERY_TOKEN": "false", variable: value}
    finding = worst(check_settings(settings(**quiet)))
    assert finding.severity is severity
    assert found in finding.found
    assert finding.advice


def test_development_is_named() -> None:
    finding = next(each for each in check_settings(load_settings({}, dev=True)) if "development" in each.found)
    assert finding.severity is Severity.NOTE


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("hub.example", False)],
)
def test_who_reaches_a_host(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
