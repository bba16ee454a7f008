"""What waits for its round trip to Redis, in the order of asking."""

from collections import deque
from collections.abc import Iterator, Sequence

from actors.ids import DesktopId, UserId
from hub.journal.asked import Asked, Open, Read, Write

MOST_WRITES = 20_000
MOST_BYTES = 67_108_864
MOST_READS = 4_096

BATCH = 1024
"""So many commands go in one round trip. When desktops say much, turns of the loop are long and few: small batches
would not keep up."""

CROWDED = 0.5
RELIEVED = 0.25
"""Past this part of a bound desktops should wait; below that one they go on."""

BATCH_BYTES = 2_097_152


class Pending:
    """A bounded queue; past a bound the oldest in it goes.

    Desktops that lost an opening are remembered: with it a whole connection may be gone, so the next opening must not
    say that it follows on the one that Redis knows of.
    """

    def __init__(self) -> None:
        self._waiting: deque[Asked] = deque()
        self._bytes = 0
        self._reads = 0
        self._torn: dict[tuple[UserId, DesktopId], None] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __iter__(self) -> Iterator[Asked]:
        return iter(self._waiting)

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for an answer, or there is enough for a round trip."""
        return self._reads > 0 or len(self._waiting) >= BATCH or self._bytes >= BATCH_BYTES

    @property
    def crowded(self) -> bool:
        """Whether writes come faster than they are done."""
        return self._filled > CROWDED

    @property
    def relieved(self) -> bool:
        """Whether there is much room again."""
        return self._filled < RELIEVED

    @property
    def _filled(self) -> float:
        return max(self._bytes / MOST_BYTES, len(self._waiting) / MOST_WRITES)

    @property
    def reads_full(self) -> bool:
        """Whether no more reads may wait."""
        return self._reads >= MOST_READS

    def add(self, asked: Asked) -> list[Asked]:
        """Put it behind all others, and return what had to go for it."""
        self._waiting.append(asked)
        self._count(asked, 1)
        return self._shed() if self._over else []

    def take(self) -> list[Asked]:
        """Take the oldest, as much as fits into one round trip."""
        batch: list[Asked] = []
        size = 0
        while self._waiting and len(batch) < BATCH:
            asked = self._waiting[0]
            size += asked.size
            if batch and size > BATCH_BYTES:
                break
            self._count(self._waiting.popleft(), -1)
            if isinstance(asked, Open) and self._torn and (asked.user_id, asked.desktop_id) in self._torn:
                del self._torn[asked.user_id, asked.desktop_id]
                asked.certain = False
            batch.append(asked)
        return batch

    def put_back(self, writes: Sequence[Write]) -> list[Asked]:
        """Put what was taken before all others again, and return what had to go for it."""
        self._waiting.extendleft(reversed(writes))
        for write in writes:
            self._count(write, 1)
        return self._shed()

    def take_reads(self) -> list[Read]:
        """Take all reads and leave the writes."""
        if not self._reads:
            return []
        reads = [asked for asked in self._waiting if isinstance(asked, Read)]
        self._waiting = deque(asked for asked in self._waiting if not isinstance(asked, Read))
        self._reads = 0
        return reads

    def lost(self, asked: Asked) -> None:
        """Remember that this was given up."""
        if isinstance(asked, Open):
            self._torn[asked.user_id, asked.desktop_id] = None
            if len(self._torn) > MOST_WRITES:
                del self._torn[next(iter(self._torn))]

    @property
    def _over(self) -> bool:
        return self._bytes > MOST_BYTES or len(self._waiting) - self._reads > MOST_WRITES

    def _shed(self) -> list[Asked]:
        gone = []
        while self._over:
            asked = self._waiting.popleft()
            self._count(asked, -1)
            gone.append(asked)
        return gone

    def _count(self, asked: Asked, sign: int) -> None:
        if isinstance(asked, Read):
            self._reads += sign
        else:
            self._bytes += sign * asked.size
