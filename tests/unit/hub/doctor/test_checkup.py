from pathlib import Path

from hub.config import SettingsError
from hub.doctor.checkup import bad_settings, examine
from hub.doctor.finding import Severity
from tests.unit.hub.doctor.support import SECRET, settings


async def test_a_hub_that_is_to_be_has_no_errors(tmp_path: Path) -> None:
    findings = await examine(settings(HUB_PORT="0", HUB_DATA_DIR=str(tmp_path / "data")))
    assert {finding.about for finding in findings} == {
        *("settings", "workers", "origins", "keys", "port", "open files", "data directory", "embedded Valkey")
    }
    assert all(finding.severity < Severity.ERROR for finding in findings)
    assert SECRET not in str(findings)
    assert not (tmp_path / "data").exists()


def test_each_setting_that_is_wrong_is_an_error() -> None:
    findings = bad_settings(SettingsError(["HUB_PORT: wrong", "HUB_HOST: wrong"]))
    assert [(finding.severity, finding.found) for finding in findings] == [
        (Severity.ERROR, "HUB_PORT: wrong"),
        (Severity.ERROR, "HUB_HOST: wrong"),
    ]
