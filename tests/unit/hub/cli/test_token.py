import os
import time
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner, Result

from hub.cli.token import token
from hub.dev_secret import ensure_dev_secret

SECRET = "c4nary-secret-for-the-tests-0123456789"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HUB_")]:
        monkeypatch.delenv(name)


def _run(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(token, arguments, env={"HUB_JWT_SECRET": SECRET, **variables})


def _claims(result: Result, audience: str) -> dict[str, object]:
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    assert result.stdout.count("\n") == 1
    return jwt.decode(result.stdout.strip(), SECRET, algorithms=["HS256"], audience=audience)


def test_a_desktop_token() -> None:
    result = _run("desktop", "--id", "d", "--user", "u", "--name", "Studio", "--platform", "linux", "--ttl", "30d")
    claims = _claims(result, "desktop")
    assert [claims[name] for name in ("sub", "user_id", "name", "platform")] == ["d", "u", "Studio", "linux"]
    assert claims["exp"] == pytest.approx(time.time() + 30 * 86_400, abs=5)


def test_a_user_token() -> None:
    claims = _claims(_run("mobile", "--user", "u", "--device", "phone"), "mobile")
    assert (claims["sub"], claims["device_id"]) == ("u", "phone")
    assert claims["exp"] == pytest.approx(time.time() + 86_400, abs=5)
    assert "device_id" not in _claims(_run("mobile", "--user", "u"), "mobile")


def test_a_service_token() -> None:
    assert _claims(_run("internal", "--id", "billing"), "internal")["sub"] == "billing"


@pytest.mark.parametrize(("ttl", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("12h", 43_200)])
def test_durations_have_units(ttl: str, seconds: int) -> None:
    claims = _claims(_run("internal", "--id", "s", "--ttl", ttl), "internal")
    assert claims["exp"] == pytest.approx(time.time() + seconds, abs=5)


@pytest.mark.parametrize("ttl", ["0", "-5", "1w", "", "1.5h", "never"])
def test_other_durations_are_refused(ttl: str) -> None:
    result = _run("internal", "--id", "s", "--ttl", ttl)
    assert result.exit_code == 2
    assert "should be a duration" in result.stderr


def test_where_no_key_is_set_the_development_secret_mints(tmp_path: Path) -> None:
    secret = ensure_dev_secret(tmp_path)
    result = _run("internal", "--id", "s", HUB_JWT_SECRET="", HUB_DATA_DIR=str(tmp_path))
    assert jwt.decode(result.stdout.strip(), secret, algorithms=["HS256"], audience="internal")["sub"] == "s"


def test_without_a_secret_there_is_no_token(tmp_path: Path) -> None:
    result = _run("internal", "--id", "s", HUB_JWT_SECRET="", HUB_DATA_DIR=str(tmp_path))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "HUB_JWT_SECRET" in result.stderr


def test_public_keys_mint_nothing() -> None:
    result = _run("internal", "--id", "s", HUB_JWT_SECRET="", HUB_JWT_JWKS="https://id.example/jwks")
    assert result.exit_code == 2
    assert "HUB_JWT_JWKS" in result.stderr


def test_an_id_that_isnt_one_is_refused() -> None:
    result = _run("mobile", "--user", "a b")
    assert result.exit_code == 2
    assert "sub should be" in result.stderr
    assert "c4nary" not in result.output
