import os

import pytest

from hub.cli.settings import settings_or_exit


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HUB_")]:
        monkeypatch.delenv(name)


def test_good_settings_come_back() -> None:
    assert settings_or_exit(dev=True).port == 8080


def test_bad_settings_end_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        settings_or_exit()
    assert caught.value.code == 2
    assert "HUB_JWT_SECRET" in capsys.readouterr().err
