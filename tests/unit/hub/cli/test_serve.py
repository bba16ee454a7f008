"""`hub serve` with several workers: what it hands to their parent, and what it says when they fail."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from hub.cli.serve import serve
from hub.config import Settings, load_settings
from hub.workers import parent
from hub.workers.process import WorkerFailed

SECRET = "a-secret-for-the-tests-0123456789abcdef"


@pytest.fixture(autouse=True)
def logs_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.cli.serve.configure_logs", lambda *_: None)


def two_workers(tmp_path: Path) -> dict[str, str]:
    return {"HUB_WORKERS": "2", "HUB_DATA_DIR": str(tmp_path), "HUB_JWT_SECRET": SECRET}


def test_the_tokens_of_development_mode_are_good_for_all_workers_and_printed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Mapping[str, str]] = []

    async def run(settings: Settings, environment: Mapping[str, str], started: Callable[[str], object]) -> None:
        assert settings.jwt_secret == load_settings(environment).jwt_secret
        seen.append(environment)
        started("http://127.0.0.1:1")

    monkeypatch.setattr(parent, "serve_with_workers", run)
    ended = CliRunner().invoke(serve, ["--dev"], env=two_workers(tmp_path) | {"HUB_JWT_SECRET": ""})
    assert ended.exit_code == 0, ended.output
    assert ended.output.count("Desktop Token, good for a day") == 1
    [environment] = seen
    assert environment["HUB_LOG_FORMAT"] == "pretty"
    assert environment["HUB_JWT_SECRET"] == (tmp_path / "dev-secret").read_text().strip()


@pytest.mark.parametrize("code", [1, 2])
def test_a_worker_that_does_not_start_ends_it_with_its_reason_and_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    async def run(*_: object) -> None:
        raise WorkerFailed("HUB_TLS_CERT: gone", code)

    monkeypatch.setattr(parent, "serve_with_workers", run)
    ended = CliRunner().invoke(serve, [], env=two_workers(tmp_path))
    assert ended.exit_code == code
    assert ended.output == "hub serve: HUB_TLS_CERT: gone\n"
