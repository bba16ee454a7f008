"""What a process and all its children have used so far, read from /proc."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")
_STORES = ("valkey", "redis")


@dataclass(frozen=True)
class Process:
    """One line of /proc/PID/stat."""

    pid: int
    name: str
    parent: int
    cpu_s: float
    """User and system time, that of ended children included."""

    @property
    def is_store(self) -> bool:
        """Whether it is the embedded Valkey, which is counted apart from the hub."""
        return any(word in self.name for word in _STORES)


@dataclass(frozen=True)
class Usage:
    """Two figures of one kind: the server's own, and its embedded store's."""

    own: float
    store: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.own + self.store

    def __sub__(self, earlier: "Usage") -> "Usage":
        return Usage(self.own - earlier.own, self.store - earlier.store)


def parse_stat(line: str) -> Process:
    """Reads /proc/PID/stat, where the name may hold blanks and brackets."""
    pid, _, rest = line.partition(" (")
    name, _, fields = rest.rpartition(") ")
    columns = fields.split()
    ticks = sum(int(column) for column in columns[11:15])
    return Process(int(pid), name, int(columns[1]), ticks / _TICKS_PER_SECOND)


def tree(root: int) -> list[Process]:
    """The process and its living descendants."""
    found = {process.pid: process for process in all_processes()}
    members = [found[root]] if root in found else []
    known = {root}
    grown = True
    while grown:
        more = [process for process in found.values() if process.parent in known and process.pid not in known]
        known.update(process.pid for process in more)
        members += more
        grown = bool(more)
    return members


def command_line(pid: int) -> list[str]:
    """The words of a process's command; none if it has ended."""
    try:
        return (_PROC / str(pid) / "cmdline").read_text().rstrip("\0").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def cpu_seconds(root: int) -> Usage:
    """CPU time of the tree so far, in seconds (the kernel counts it in hundredths)."""
    return _split((process, process.cpu_s) for process in tree(root))


def resident_kib(root: int) -> Usage:
    """Resident memory (VmRSS) of the tree, in KiB; the kernel's socket buffers are not part of it."""
    return _split((process, _status_kib(process.pid, "VmRSS")) for process in tree(root))


def peak_kib(root: int) -> Usage:
    """The most that each living process of the tree ever had resident, added up: more than they had at once."""
    return _split((process, _status_kib(process.pid, "VmHWM")) for process in tree(root))


def _split(figures: Iterable[tuple[Process, float]]) -> Usage:
    own = store = 0.0
    for process, figure in figures:
        if process.is_store:
            store += figure
        else:
            own += figure
    return Usage(own, store)


def all_processes() -> list[Process]:
    processes = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                processes.append(parse_stat((entry / "stat").read_text()))
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile
    return processes


def _status_kib(pid: int, name: str) -> float:
    for line in (_PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return float(line.split()[1])
    return 0.0
