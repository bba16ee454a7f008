import pytest

from hub.doctor.finding import Severity
from hub.doctor.open_files import check_open_files
from tests.unit.hub.doctor.support import settings


@pytest.mark.parametrize(
    ("hard_limit", "wanted", "severity", "found"),
    [
        (20_096, "", Severity.OK, "room for 20000 connections"),
        (1024, "", Severity.WARNING, "room for 928 connections only"),
        (1024, "500", Severity.OK, "room for 928"),
        (1024, "5000", Severity.WARNING, "HUB_MAX_CONNECTIONS asks for 5000"),
        (64, "", Severity.WARNING, "room for 0"),
    ],
)
def test_the_limit_has_room_for_the_connections(hard_limit: int, wanted: str, severity: Severity, found: str) -> None:
    (finding,) = check_open_files(settings(HUB_MAX_CONNECTIONS=wanted), hard_limit)
    assert finding.severity is severity
    assert found in finding.found


def test_the_advice_is_a_number() -> None:
    (finding,) = check_open_files(settings(HUB_MAX_CONNECTIONS="5000"), 1024)
    assert "5096" in finding.advice
