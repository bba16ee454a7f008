import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hub.dev_secret import FILE_NAME, UnsafeDevSecret, ensure_dev_secret, read_dev_secret, with_dev_secret


def test_there_is_none_at_first(tmp_path: Path) -> None:
    assert read_dev_secret(tmp_path) is None
    assert read_dev_secret(tmp_path / "nowhere") is None


def test_a_made_secret_stays(tmp_path: Path) -> None:
    made = ensure_dev_secret(tmp_path)
    assert ensure_dev_secret(tmp_path) == made
    assert read_dev_secret(tmp_path) == made


def test_it_is_long_random_and_safe_in_an_environment_variable(tmp_path: Path) -> None:
    first, second = ensure_dev_secret(tmp_path / "a"), ensure_dev_secret(tmp_path / "b")
    assert first != second
    assert len(first) >= 43
    assert first.replace("-", "").replace("_", "").isalnum()


def test_only_the_owner_can_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        ensure_dev_secret(tmp_path / "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new" / FILE_NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_nothing_else_is_left_in_the_folder(tmp_path: Path) -> None:
    ensure_dev_secret(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_all_who_race_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(ensure_dev_secret, [tmp_path] * 64))
    assert len(secrets) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622, 0o660])
def test_a_file_that_others_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    ensure_dev_secret(tmp_path)
    (tmp_path / FILE_NAME).chmod(mode)
    with pytest.raises(UnsafeDevSecret, match="chmod 600"):
        read_dev_secret(tmp_path)
    with pytest.raises(UnsafeDevSecret):
        ensure_dev_secret(tmp_path)


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_dev_secret(tmp_path)
    stranger = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    with pytest.raises(UnsafeDevSecret, match="another user"):
        read_dev_secret(tmp_path)


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    ensure_dev_secret(tmp_path / "real")
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "real" / FILE_NAME)
    with pytest.raises(OSError, match="symbolic links"):
        read_dev_secret(tmp_path)


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE_NAME, 0o600)
    with pytest.raises(UnsafeDevSecret, match="plain file"):
        read_dev_secret(tmp_path)


def test_a_cut_off_secret_is_refused_not_used(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_text("short\n")
    path.chmod(0o600)
    with pytest.raises(UnsafeDevSecret, match="too short"):
        read_dev_secret(tmp_path)


def test_no_error_text_holds_the_secret(tmp_path: Path) -> None:
    secret = ensure_dev_secret(tmp_path)
    (tmp_path / FILE_NAME).chmod(0o644)
    with pytest.raises(UnsafeDevSecret) as caught:
        read_dev_secret(tmp_path)
    assert secret not in str(caught.value)


def test_an_environment_without_a_key_gets_the_secret(tmp_path: Path) -> None:
    environ = {"HUB_DATA_DIR": str(tmp_path), "HUB_JWT_SECRET": "", "PATH": "/bin"}
    assert with_dev_secret(environ) == environ
    secret = ensure_dev_secret(tmp_path)
    assert with_dev_secret(environ) == environ | {"HUB_JWT_SECRET": secret}
    assert environ["HUB_JWT_SECRET"] == ""


@pytest.mark.parametrize("key", ["HUB_JWT_SECRET", "HUB_JWT_SECRETS", "HUB_JWT_JWKS"])
def test_a_key_of_its_own_comes_first(tmp_path: Path, key: str) -> None:
    ensure_dev_secret(tmp_path)
    environ = {"HUB_DATA_DIR": str(tmp_path), key: "x"}
    assert with_dev_secret(environ) == environ


def test_the_folder_is_data_unless_told_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = ensure_dev_secret(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    assert with_dev_secret({}) == {"HUB_JWT_SECRET": secret}
