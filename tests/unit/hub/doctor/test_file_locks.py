import fcntl
import os
import sys
from pathlib import Path

import pytest

from hub.doctor.file_locks import find_holder, lock_holder

LOCKS = """\
1: POSIX  ADVISORY  WRITE 11 fe:00:700 0 EOF
2: FLOCK  ADVISORY  WRITE 12 fe:00:7001 0 EOF
3: FLOCK  ADVISORY  WRITE 13 fe:00:700 0 EOF
3: -> FLOCK  ADVISORY  WRITE 14 fe:00:800 0 EOF
4: FLOCK  ADVISORY  WRITE -1 fe:00:900 0 EOF
"""


@pytest.mark.parametrize(("inode", "holder"), [(700, 13), (7001, 12), (800, None), (900, 0), (70, None)])
def test_the_holder_is_found_by_inode(inode: int, holder: int | None) -> None:
    assert find_holder(LOCKS, inode) == holder


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/locks is Linux's")
def test_a_lock_is_seen_and_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "hub.lock"
    assert lock_holder(path) is None
    with path.open("w") as file:
        assert lock_holder(path) is None
        fcntl.flock(file, fcntl.LOCK_EX)
        assert lock_holder(path) == os.getpid()
