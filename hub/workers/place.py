"""What a worker gets from its parent: a number, a listener, a link, a folder, a board. It travels as arguments.

The link is a pair of sockets. The worker says one line on it: that it is ready, or why it can't be. When the parent
closes its end, another worker has this one's listener, or the parent is gone: either way the worker leaves.
"""

import contextlib
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hub.embedded_valkey import SOCKET_PATH_MAX

READY = b"ready\n"
_MOST_BYTES = 2000
_LONGEST_NUMBER = 999


@dataclass(frozen=True, slots=True)
class Place:
    """One worker's place.

    Attributes:
        number: Small; no two living workers of a parent have the same one.
        listener: Bound to the address that all share.
        link: To the parent.
        folder: Where the workers' private sockets are; nobody but this user gets in.
        board: A descriptor of the memory in which all write how full they are (`hub.workers.board`).
    """

    number: int
    listener: socket.socket
    link: socket.socket
    folder: Path
    board: int

    def command(self) -> list[str]:
        """Return the command line of a worker that inherits the sockets and the board."""
        inherited = [str(self.listener.fileno()), str(self.link.fileno()), str(self.board)]
        own = [str(self.number), *inherited, str(self.folder)]
        return [sys.executable, "-P", "-m", "hub.workers.worker", *own]  # -P: nothing of the current directory

    @classmethod
    def taken(cls, arguments: Sequence[str]) -> "Place":
        """Take the place that these arguments describe, in the worker."""
        number, listener, link, board, folder = arguments
        sockets = socket.socket(fileno=int(listener)), socket.socket(fileno=int(link))
        return cls(int(number), *sockets, Path(folder), int(board))

    def say(self, line: bytes) -> None:
        """Tell the parent, if there still is one."""
        with contextlib.suppress(OSError):
            self.link.sendall(line)

    def give_up(self, reason: str) -> None:
        """Tell the parent why this worker can't serve; several lines are told as one."""
        self.say("; ".join(reason.splitlines()).encode(errors="replace")[:_MOST_BYTES] + b"\n")


def socket_of(folder: Path, number: int) -> Path:
    """Return where a worker tells its figures."""
    return folder / f"{number}.sock"


def entrance_of(folder: Path, number: int) -> Path:
    """Return where a worker takes connections from the others; no longer than `socket_of`."""
    return folder / f"{number}.in"


def check_folder(folder: Path) -> None:
    """Refuse a folder in which sockets' paths would be too long.

    Raises:
        OSError: If they would.
    """
    longest = socket_of(folder, _LONGEST_NUMBER)
    if len(os.fsencode(longest)) > SOCKET_PATH_MAX:
        raise OSError(f"no room for a Unix socket: {longest} is longer than {SOCKET_PATH_MAX} bytes; set TMPDIR")
