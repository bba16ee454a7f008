import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hub.cli.doctor import doctor
from hub.config import Settings
from hub.doctor import checkup
from hub.doctor.finding import Finding, error, note, ok, warning

SECRET = "c4nary-kR8vQ2mZ7xW4nB9tL3pY6cJ1hG5fD0sA8eU2i"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HUB_")]:
        monkeypatch.delenv(name)


def _run(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(doctor, arguments, env=variables)


def _found(monkeypatch: pytest.MonkeyPatch, *findings: Finding) -> None:
    async def examine(_: Settings) -> list[Finding]:
        return list(findings)

    monkeypatch.setattr(checkup, "examine", examine)


@pytest.mark.parametrize(
    ("finding", "code"),
    [(ok("a", "b"), 0), (note("a", "b"), 0), (warning("a", "b", "c"), 1), (error("a", "b", "c"), 2)],
)
def test_the_exit_code_tells_the_worst(monkeypatch: pytest.MonkeyPatch, finding: Finding, code: int) -> None:
    _found(monkeypatch, ok("x", "y"), finding)
    assert _run(HUB_JWT_SECRET=SECRET).exit_code == code
    assert _run("--json", HUB_JWT_SECRET=SECRET).exit_code == code


def test_one_line_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    _found(monkeypatch, ok("clock", "fine"), warning("latency", "slow", "move nearer"))
    assert _run(HUB_JWT_SECRET=SECRET).output.splitlines() == [
        "ok       clock: fine",
        "warning  latency: slow -> move nearer",
    ]


def test_json_for_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    _found(monkeypatch, warning("latency", "slow", "move nearer"))
    assert json.loads(_run("--json", HUB_JWT_SECRET=SECRET).output) == {
        "exit_code": 1,
        "findings": [{"severity": "warning", "about": "latency", "found": "slow", "advice": "move nearer"}],
    }


def test_bad_settings_are_findings() -> None:
    result = _run(HUB_PORT="x", HUB_PRT="1", HUB_JWT_SECRET="c4nary")
    assert result.exit_code == 2
    assert [line.split()[0] for line in result.output.splitlines()] == ["error"] * 3
    assert "c4nary" not in result.output


def test_no_secret_is_shown(tmp_path: Path) -> None:
    socket = f"unix://user:c4nary@{tmp_path}/none.sock"
    result = _run(HUB_JWT_SECRET=SECRET, HUB_REDIS_URL=socket, HUB_PORT="0")
    assert result.exit_code == 2
    assert "can't be asked" in result.output
    assert "c4nary" not in result.output


def test_development_needs_no_secret(tmp_path: Path) -> None:
    result = _run("--dev", HUB_DATA_DIR=str(tmp_path), HUB_PORT="0")
    assert "development mode" in result.output
    assert list(tmp_path.iterdir()) == []
