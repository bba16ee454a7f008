"""Worker processes against cores."""

import pytest

from hub.config import load_settings
from hub.doctor.finding import Severity
from hub.doctor.workers import check_workers, cores

SECRET = "a-secret-for-the-tests-0123456789abcdef"


@pytest.mark.parametrize(
    ("workers", "there", "severity", "found"),
    [
        (1, 1, Severity.OK, "1 worker on 1 core"),
        (1, 4, Severity.OK, "1 worker, which uses one of 4 cores"),
        (4, 4, Severity.OK, "4 workers on 4 cores"),
        (3, 2, Severity.WARNING, "3 workers on 2 cores: they take each other's time"),
        (2, 1, Severity.WARNING, "2 workers on 1 core: they take each other's time"),
    ],
)
def test_more_workers_than_cores_are_too_many(workers: int, there: int, severity: Severity, found: str) -> None:
    settings = load_settings({"HUB_JWT_SECRET": SECRET, "HUB_WORKERS": str(workers)})
    [finding] = check_workers(settings, there, spreads=True)
    assert (finding.severity, finding.found) == (severity, found)
    assert bool(finding.advice) is (severity is Severity.WARNING)


def test_where_connections_are_not_spread_it_is_said() -> None:
    settings = load_settings({"HUB_JWT_SECRET": SECRET, "HUB_WORKERS": "2"})
    assert [finding.severity for finding in check_workers(settings, 2, spreads=False)] == [Severity.OK, Severity.NOTE]
    alone = load_settings({"HUB_JWT_SECRET": SECRET})
    assert [finding.severity for finding in check_workers(alone, 2, spreads=False)] == [Severity.OK]


def test_there_is_a_core() -> None:
    assert cores() >= 1
