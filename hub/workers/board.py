"""How full each worker is, in memory that a parent's workers share: one number for each, which only costs a look."""

import mmap
import os
import struct
from io import FileIO

_ABSENT = (1 << 63) - 1
_COUNT = struct.Struct("q")
_SLACK_PARTS = 20


def new_board(numbers: int) -> FileIO:
    """Return memory for the counts of so many workers, none of which is there yet; close it when all have inherited it.

    It is a file on no disk: writing to one could keep a worker's loop waiting.
    """
    board = FileIO(os.memfd_create("tether-hub-board"), "r+")
    board.write(_COUNT.pack(_ABSENT) * numbers)
    return board


class Board:
    """The counts as one worker sees them.

    Two workers may write to the same place, and what is read may be a little old: it is near the truth.

    Args:
        descriptor: Of the memory; it is closed, the memory stays.
        number: This worker's.
    """

    def __init__(self, descriptor: int, number: int) -> None:
        self._counts = memoryview(mmap.mmap(descriptor, 0)).cast("q")
        os.close(descriptor)
        self._number = number

    def write(self, count: int) -> None:
        """Be there, with so many connections."""
        self._counts[self._number] = count

    def leave(self) -> None:
        """Be there no longer."""
        self.strike(self._number)

    def strike(self, number: int) -> None:
        """Note that nobody is there under that number."""
        self._counts[number] = _ABSENT

    def moved(self, number: int) -> None:
        """Note that a connection went from this worker to that one, which will write the truth when it next counts."""
        self._counts[number] += 1
        self._counts[self._number] -= 1

    def emptier(self) -> int | None:
        """Return the number of the emptiest worker, if this one is fuller by more than one and a twentieth."""
        counts = self._counts.tolist()
        least = min(counts)
        own = counts[self._number]
        return None if own <= least + 1 + own // _SLACK_PARTS else counts.index(least)
