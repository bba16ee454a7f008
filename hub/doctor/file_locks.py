"""Who holds a lock on a file, without taking it: whoever tries a lock is in the way of those who need it."""

from pathlib import Path

_LOCKS = Path("/proc/locks")  # proc_locks(5)


def lock_holder(path: Path) -> int | None:
    """Return the process that holds a `flock` on `path`, 0 for one that isn't seen from here, None for nobody.

    None, too, where the system doesn't tell: it is known on Linux only.
    """
    try:
        return find_holder(_LOCKS.read_text("ascii"), path.stat().st_ino)
    except OSError:
        return None


def find_holder(locks: str, inode: int) -> int | None:
    """Find the holder in the text of `/proc/locks`. The device isn't compared: some file systems give it two names."""
    for line in locks.splitlines():
        match line.split():
            case [_, "FLOCK", _, _, pid, place, *_] if place.rpartition(":")[2] == str(inode):
                return max(0, int(pid))
    return None
