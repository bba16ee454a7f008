import pytest

from hub.doctor.finding import Severity
from hub.doctor.origins import check_origins
from tests.unit.hub.doctor.support import settings, worst


@pytest.mark.parametrize(
    ("origins", "host", "severity"),
    [
        ("", "0.0.0.0", Severity.NOTE),
        ("https://app.example", "0.0.0.0", Severity.OK),
        ("https://app.example,http://app.example", "0.0.0.0", Severity.WARNING),
        ("http://localhost:3000", "127.0.0.1", Severity.OK),
        ("http://localhost:3000", "0.0.0.0", Severity.NOTE),
    ],
)
def test_pages_that_others_can_be(origins: str, host: str, severity: Severity) -> None:
    finding = worst(check_origins(settings(HUB_ALLOWED_ORIGINS=origins, HUB_HOST=host)))
    assert finding.severity is severity
