import socket
from dataclasses import replace
from pathlib import Path

import pytest

from hub.doctor.data_dir import DataDir, check_data_dir, look_at_data_dir
from hub.doctor.finding import Severity
from tests.unit.hub.doctor.support import severities, worst

MIB = 1 << 20
FINE = DataDir(
    path=Path("/srv/hub"),
    exists=True,
    usable=True,
    private=True,
    own=True,
    yielding=True,
    free_bytes=10_000 * MIB,
    kept_bytes=MIB,
    holder=None,
    socket=Path("/srv/hub/valkey.sock"),
    socket_file=False,
    listening=False,
)


def test_a_fine_directory_waits_for_its_hub() -> None:
    assert severities(check_data_dir(FINE)) == [Severity.OK, Severity.OK, Severity.NOTE]
    assert "starts with the hub" in worst(check_data_dir(FINE)).found


@pytest.mark.parametrize(
    ("found", "severity", "text"),
    [
        (replace(FINE, usable=False), Severity.ERROR, "can't be written"),
        (replace(FINE, private=False, own=False), Severity.WARNING, "other users may look into"),
        (replace(FINE, private=False), Severity.NOTE, "not running"),
        (replace(FINE, own=False, yielding=False), Severity.NOTE, "not running"),
        (replace(FINE, yielding=False), Severity.WARNING, "another user's"),
        (replace(FINE, free_bytes=10 * MIB), Severity.ERROR, "10 MiB free"),
        (replace(FINE, free_bytes=500 * MIB), Severity.WARNING, "500 MiB free"),
        (replace(FINE, free_bytes=3000 * MIB, kept_bytes=2000 * MIB), Severity.WARNING, "2000 MiB kept"),
        (replace(FINE, socket=None), Severity.ERROR, "too long"),
        (replace(FINE, holder=7), Severity.ERROR, "(process 7) is on this directory, its Valkey doesn't answer"),
        (replace(FINE, listening=True), Severity.WARNING, "no hub is seen"),
        (replace(FINE, holder=7, listening=True), Severity.NOTE, "runs under a hub (process 7)"),
        (replace(FINE, holder=0, listening=True), Severity.NOTE, "runs under a hub"),
        (replace(FINE, socket_file=True), Severity.NOTE, "its socket was left behind"),
        (replace(FINE, exists=False), Severity.NOTE, "not running"),
    ],
)
def test_what_can_be_wrong(found: DataDir, severity: Severity, text: str) -> None:
    finding = worst(check_data_dir(found))
    assert finding.severity is severity
    assert text in finding.found


def test_one_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    found = look_at_data_dir(tmp_path / "a" / "b")
    assert (found.exists, found.usable, found.listening) == (False, True, False)
    assert list(tmp_path.iterdir()) == []


def test_whose_it_is(tmp_path: Path) -> None:
    assert look_at_data_dir(tmp_path).own
    (tmp_path / "photos").mkdir()
    assert not look_at_data_dir(tmp_path).own
    (tmp_path / "hub.lock").touch()
    found = look_at_data_dir(tmp_path)
    assert (found.own, found.yielding) == (True, True)
    tmp_path.chmod(0o755)
    assert not look_at_data_dir(tmp_path).private


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    assert not look_at_data_dir(tmp_path / "data").usable


def test_what_is_kept_is_measured(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "appendonlydir" / "1.aof").write_bytes(b"x" * 1000)
    assert look_at_data_dir(tmp_path).kept_bytes == 1000


def test_a_socket_that_nobody_listens_on_was_left_behind(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "valkey.sock"))
        server.listen()
        assert look_at_data_dir(tmp_path).listening
    found = look_at_data_dir(tmp_path)
    assert (found.listening, found.socket_file) == (False, True)
