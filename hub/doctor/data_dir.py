"""The data directory of the embedded Valkey."""

import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hub.doctor.file_locks import lock_holder
from hub.doctor.finding import Finding, error, note, ok, warning
from hub.embedded_valkey import socket_path

_ABOUT = "data directory"
_ASK_S = 1.0
_MIB = 1 << 20
_LEAST_BYTES = 64 * _MIB
_FEW_BYTES = 1024 * _MIB


@dataclass(frozen=True, slots=True)
class DataDir:
    """What was found there.

    Attributes:
        path: The directory, absolute.
        exists: Whether it is there; if not, the rest tells of the nearest folder above it.
        usable: Whether it is a directory that this user may write to.
        private: Whether only its owner may look into it.
        own: Whether the hub takes it for its own, and makes it private at its start: empty, or used before.
        yielding: Whether this user may do that.
        free_bytes: Room on its disk.
        kept_bytes: What the append-only files take.
        holder: The process that holds the lock; 0 for one that isn't seen from here; None if nobody does.
        socket: Where its server listens; None if the path is too long for every place.
        socket_file: Whether that file is there.
        listening: Whether a server accepts there.
    """

    path: Path
    exists: bool
    usable: bool
    private: bool
    own: bool
    yielding: bool
    free_bytes: int
    kept_bytes: int
    holder: int | None
    socket: Path | None
    socket_file: bool
    listening: bool


def look_at_data_dir(data_dir: Path) -> DataDir:
    """Look at the directory and knock at its socket; makes nothing, takes no lock."""
    path = data_dir.resolve()
    there = next(
        each for each in (path, *path.parents) if os.path.exists(each)
    )  # unlike Path.exists, it bears folders that may not be entered
    status = there.stat()
    try:
        listens_at = socket_path(path)
    except ValueError:
        listens_at = None
    return DataDir(
        path=path,
        exists=there == path,
        usable=there.is_dir() and os.access(there, os.W_OK | os.X_OK),
        private=not status.st_mode & 0o077,
        own=_is_own(path),
        yielding=os.geteuid() in (0, status.st_uid),
        free_bytes=shutil.disk_usage(there).free,
        kept_bytes=_size(path / "appendonlydir"),
        holder=lock_holder(path / "hub.lock"),
        socket=listens_at,
        socket_file=listens_at is not None and os.path.exists(listens_at),
        listening=listens_at is not None and _accepts(listens_at),
    )


def check_data_dir(found: DataDir) -> Iterator[Finding]:
    """Say whether the hub can keep its data there, and who is there already."""
    if not found.usable:
        yield error(_ABOUT, f"{found.path} can't be written", "give it to the hub's user, or set HUB_DATA_DIR")
        return
    yield _check_privacy(found)
    yield _check_disk(found)
    yield from _check_server(found)


def _check_privacy(found: DataDir) -> Finding:
    if not found.exists:
        return ok(_ABOUT, f"{found.path} isn't there yet; the hub makes it")
    if found.own and not found.yielding:
        return warning(
            _ABOUT,
            f"{found.path} is another user's: the hub can't make it private",
            "name a folder below it in HUB_DATA_DIR, or give it to the hub's user (chown)",
        )
    if found.private or found.own:
        return ok(_ABOUT, f"{found.path} is writable, and private when the hub runs")
    return warning(_ABOUT, f"other users may look into {found.path}", "chmod 700: messages are kept there")


def _check_disk(found: DataDir) -> Finding:
    free = f"{found.free_bytes // _MIB} MiB free, {found.kept_bytes // _MIB} MiB kept"
    if found.free_bytes < _LEAST_BYTES:
        return error(_ABOUT, free, "make room: a Valkey that can't write refuses every write")
    if found.free_bytes < max(_FEW_BYTES, 2 * found.kept_bytes):
        return warning(_ABOUT, free, "make room: the file is written anew beside the old one from time to time")
    return ok(_ABOUT, free)


def _check_server(found: DataDir) -> Iterator[Finding]:
    about = "embedded Valkey"
    if found.socket is None:
        yield error(about, "the path of its socket is too long", "set a shorter HUB_DATA_DIR or TMPDIR")
    elif found.holder is not None and not found.listening:
        yield error(about, f"a hub{_process(found)} is on this directory, its Valkey doesn't answer", "see valkey.log")
    elif found.holder is not None:
        yield note(about, f"runs under a hub{_process(found)}", "a second hub needs a HUB_DATA_DIR of its own")
    elif found.listening:
        yield warning(about, "runs, and no hub is seen to hold it", "if it was left behind, the next start ends it")
    else:
        left = "; its socket was left behind, and is replaced then" if found.socket_file else ""
        yield note(about, f"not running: it starts with the hub{left}")


def _process(found: DataDir) -> str:
    return f" (process {found.holder})" if found.holder else ""


def _is_own(path: Path) -> bool:
    """Tell what `hub.embedded_valkey` would: the hub's own folder is one that is empty, or that has its lock."""
    try:
        inside = os.listdir(path)
    except OSError:
        return False
    return not inside or "hub.lock" in inside


def _size(folder: Path) -> int:
    try:
        return sum(each.stat().st_size for each in folder.iterdir())
    except OSError:  # not there, not ours, or a file that was replaced just now
        return 0


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(_ASK_S)
        try:
            link.connect(str(path))
        except OSError:
            return False
    return True
