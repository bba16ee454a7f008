"""The journal's rules in plain Python: a twin of Redis' scripts for tests, in a world whose time is moved by hand."""

from collections.abc import Callable
from dataclasses import dataclass, field

from actors.clock import Clock
from actors.ids import DesktopId, Epoch, UserId
from actors.journal import JournalEntry, JournalPage, Opening, Written
from actors.offsets import BEGINNING, Offset
from actors.ports import OfEpoch, Scheduler
from hub.frames import text_of
from hub.journal.limits import JournalLimits
from hub.journal.scripts import PAGE_BYTES, PAGE_ENTRIES

DEFAULT_LIMITS = JournalLimits()
Answer = Callable[[JournalPage | None], None]
Place = tuple[UserId, DesktopId]


@dataclass
class Kept:
    """What is kept of one desktop. `written`: entries, each with the time in seconds when it came."""

    epoch: int | None = None
    end: Offset | None = None
    before: int | None = None
    written: list[tuple[JournalEntry, float]] = field(default_factory=list)

    @property
    def head(self) -> Offset | None:
        return BEGINNING if self.epoch is None else self.end


class MemoryJournal:
    """Does what is asked, and answers, when the scheduler settles. `beside`: another node's, in the same store."""

    def __init__(
        self,
        scheduler: Scheduler,
        clock: Clock,
        limits: JournalLimits = DEFAULT_LIMITS,
        beside: "MemoryJournal | None" = None,
    ) -> None:
        self._scheduler = scheduler
        self._clock = clock
        self._limits = limits
        self._kept: dict[Place, Kept] = {} if beside is None else beside._kept
        self._when_stale: dict[tuple[Place, int], OfEpoch] = {}
        self._waiting: list[Callable[[], None]] = []
        self._when_relieved: list[Callable[[], object]] = []
        self.crowded = False
        self._away = False

    @property
    def away(self) -> bool:
        """Whether the store can't be asked: writes wait, reads are answered None."""
        return self._away

    @away.setter
    def away(self, away: bool) -> None:
        self._away = away
        if not away:
            waiting, self._waiting = self._waiting, []
            for write in waiting:
                self._scheduler.call_soon(self._do, write)

    def when_relieved(self, act: Callable[[], object]) -> None:
        self._when_relieved.append(act)

    def relieve(self) -> None:
        """There is room again."""
        self.crowded = False
        acts, self._when_relieved = self._when_relieved, []
        for act in acts:
            self._scheduler.call_soon(act)

    def lose_everything(self) -> None:
        """As FLUSHALL."""
        self._kept.clear()

    def open(self, user_id: UserId, desktop_id: DesktopId, epoch: Epoch, stale: OfEpoch, behind: OfEpoch) -> None:
        place = (user_id, desktop_id)
        self._when_stale[place, epoch] = stale
        self._scheduler.call_soon(self._do, lambda: self._open(place, epoch, behind))

    def append(self, user_id: UserId, desktop_id: DesktopId, offset: Offset, frame: bytes) -> None:
        self._scheduler.call_soon(self._do, lambda: self._append((user_id, desktop_id), Written(offset, frame)))

    def close(self, user_id: UserId, desktop_id: DesktopId, offset: Offset) -> None:
        self._when_stale.pop(((user_id, desktop_id), offset.epoch), None)
        self._scheduler.call_soon(self._do, lambda: self._close((user_id, desktop_id), offset))

    def read(
        self, user_id: UserId, desktop_id: DesktopId, after: Offset, answer: Answer, *, newest: int | None = None
    ) -> None:
        def done() -> None:
            answer(None if self._away else self._page((user_id, desktop_id), after, newest))

        self._scheduler.call_soon(done)

    def _do(self, write: Callable[[], None]) -> None:
        if self._away:
            self._waiting.append(write)
        else:
            write()

    def _open(self, place: Place, epoch: int, behind: OfEpoch) -> None:
        kept = self._fenced(place, epoch)
        if kept is None:
            self._belie(self._kept[place], epoch)
            return
        if kept.epoch != epoch:
            before = kept.epoch
            self._begin(kept, epoch, kept.head)
            kept.before = before
        if kept.before is not None:
            behind(Epoch(kept.before))

    def _append(self, place: Place, message: Written) -> None:
        kept = self._begun(place, message.offset.epoch)
        if kept is not None and (not kept.written or message.offset > kept.written[-1][0].offset):
            self._add(kept, message)

    def _close(self, place: Place, offset: Offset) -> None:
        kept = self._begun(place, offset.epoch)
        if kept is not None:
            kept.end = max(offset, kept.end or offset)

    def _fenced(self, place: Place, epoch: int) -> Kept | None:
        kept = self._forget_silent(place)
        if kept.epoch is None or kept.epoch <= epoch:
            return kept
        stale = self._when_stale.pop((place, epoch), None)
        if stale is not None:
            stale(Epoch(kept.epoch))
        return None

    @staticmethod
    def _belie(kept: Kept, epoch: int) -> None:
        """This one spoke, and isn't here: the opening behind it names a predecessor that wasn't the one."""
        at = next((n for n, (entry, _) in enumerate(kept.written) if entry.offset.epoch >= epoch), None)
        near = None if at is None else kept.written[at][0]
        if at is not None and isinstance(near, Opening) and near.offset.epoch != epoch:
            del kept.written[at]

    def _begun(self, place: Place, epoch: int) -> Kept | None:
        kept = self._fenced(place, epoch)
        if kept is not None and kept.epoch != epoch:
            self._begin(kept, epoch, None)
        return kept

    def _begin(self, kept: Kept, epoch: int, after: Offset | None) -> None:
        kept.epoch, kept.end, kept.before = epoch, None, None
        self._add(kept, Opening(Offset(epoch, 0), after))

    def _add(self, kept: Kept, entry: JournalEntry) -> None:
        now = self._clock.monotonic()
        kept.written.append((entry, now))
        while len(kept.written) > 1 and self._over(kept, now):
            del kept.written[0]

    def _over(self, kept: Kept, now: float) -> bool:
        size = sum(_size(entry) for entry, _ in kept.written)
        too_old = kept.written[0][1] < now - self._limits.age_s
        return too_old or size > self._limits.bytes or len(kept.written) > self._limits.messages

    def _forget_silent(self, place: Place) -> Kept:
        kept = self._kept.setdefault(place, Kept())
        if kept.written and self._clock.monotonic() >= kept.written[-1][1] + self._limits.age_s:
            kept.written.clear()
        return kept

    def _page(self, place: Place, after: Offset, newest: int | None) -> JournalPage:
        kept = self._forget_silent(place)
        behind = [entry for entry, _ in kept.written if entry.offset > after]
        messages = [entry.offset for entry in behind if isinstance(entry, Written)]
        if newest is not None and len(messages) > newest:
            begin = messages[len(messages) - newest - 1]
            behind = [entry for entry in behind if entry.offset > begin]
        count = _fitting(behind)
        return JournalPage(tuple(behind[:count]), more=count < len(behind), head=kept.head)


def _size(entry: JournalEntry) -> int:
    return len(text_of(entry.frame)) if isinstance(entry, Written) else 0


def _fitting(entries: list[JournalEntry]) -> int:
    """How many of them are a page."""
    size = 0
    for count, entry in enumerate(entries[:PAGE_ENTRIES]):
        size += _size(entry) if isinstance(entry, Written) else len(str(entry.after or ""))
        if count and size > PAGE_BYTES:
            return count
    return min(len(entries), PAGE_ENTRIES)
