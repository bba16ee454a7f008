"""Places in a stream: `EPOCH-SEQ` of what a desktop said, and ids of mailbox entries (ADR 0009).

They are ids of Redis streams, two unsigned 64-bit numbers, and compare as such.
"""

import re
from typing import NamedTuple

_TEXT = re.compile(r"([0-9]{1,20})-([0-9]{1,20})")
_MOST = 2**64 - 1


class Offset(NamedTuple):
    """A place; `str()` gives the text that stands in messages and in Redis."""

    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"


BEGINNING = Offset(0, 0)
"""Before everything."""


def parse_offset(text: str) -> Offset | None:
    """Read `EPOCH-SEQ`; None if it isn't one."""
    found = _TEXT.fullmatch(text)
    if found is None:
        return None
    offset = Offset(int(found[1]), int(found[2]))
    return offset if max(offset) <= _MOST else None
