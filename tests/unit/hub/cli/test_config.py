import os

import pytest
from click.testing import CliRunner, Result

from hub.cli import config as config_module
from hub.cli.config import config

SECRET = "c4nary-secret-for-the-tests-0123456789"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HUB_")]:
        monkeypatch.delenv(name)


def _run(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(config, arguments, env=variables)


def test_into_a_pipe_go_plain_lines() -> None:
    result = _run(HUB_JWT_SECRET=SECRET, HUB_PORT="81")
    assert result.exit_code == 0
    assert "HUB_PORT\t81\tenvironment\t" in result.stdout
    assert "HUB_HOST\t127.0.0.1\tdefault\t" in result.stdout
    assert all(line.count("\t") == 3 for line in result.stdout.splitlines())
    assert "c4nary" not in result.output


def test_on_a_terminal_it_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    config_module._print_table([("HUB_HOST", "[red]", "environment", "[bold]address")])
    printed = capsys.readouterr().out
    assert "variable" in printed
    assert "[red]" in printed
    assert "\t" not in printed


def test_a_terminal_gets_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[object] = []
    monkeypatch.setattr(config_module, "_on_terminal", lambda: True)
    monkeypatch.setattr(config_module, "_print_table", rows.extend)
    assert _run(HUB_JWT_SECRET=SECRET).exit_code == 0
    assert rows


def test_violations_go_to_standard_error_with_exit_code_2() -> None:
    result = _run(HUB_PORT="x", HUB_PRT="1", HUB_JWT_SECRET="c4nary")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 3
    assert "c4nary" not in result.stderr


def test_development_shows_a_secret_that_is_made_up() -> None:
    result = _run("--dev")
    assert "HUB_JWT_SECRET\t********\tgenerated\t" in result.stdout
