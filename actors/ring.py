"""The newest frames of one desktop, for phones that come back (ADR 0009). They outlive its connections."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from actors.ids import Epoch
from actors.offsets import BEGINNING, Offset

_TRIMMED_EVERY = 64
_LARGE = 4096


@dataclass(slots=True)
class _Span:
    """The frames of one connection: numbered from `first` on, up to `last` once a newer connection follows."""

    epoch: Epoch
    first: int
    last: int


class Ring:
    """Frames without a gap between them, bounded by count and bytes; the oldest go first.

    The bounds are kept at every 64th frame, and at every one of more than 4 KiB: at most 63 small frames (252 KiB) are
    there on top.

    Args:
        max_frames: How many are kept.
        max_bytes: How many bytes of them.
    """

    __slots__ = ("_before", "_frames", "_max_bytes", "_max_frames", "_spans", "_weighed", "bytes", "epoch", "seq")

    def __init__(self, max_frames: int, max_bytes: int) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._frames: deque[bytes] = deque()
        self._spans: deque[_Span] = deque()
        self._before: Offset | None = None
        self._weighed = 0
        self.bytes = 0
        """Of the frames, as of the last time that the bounds were kept."""
        self.epoch = Epoch(0)
        """Of the connection that said something last."""
        self.seq = 0
        """Of the newest frame."""

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def head(self) -> Offset:
        """Where the desktop stands."""
        return Offset(self.epoch, self.seq)

    @property
    def start(self) -> Offset:
        """Everything behind this place is here."""
        if not self._spans:
            return BEGINNING
        oldest = self._spans[0]
        return Offset(oldest.epoch, oldest.first - 1)

    def open(self, epoch: Epoch, at: int = 0) -> None:
        """What is appended from now on belongs to a new connection, and is numbered behind `at`."""
        if self._spans:
            self._trim()
            self._spans[-1].last = self.seq
        self._spans.append(_Span(epoch, at + 1, at))
        self.epoch, self.seq = epoch, at

    def follow(self, end: Offset) -> None:
        """The connection before the first one that is here ended at `end`; for a ring that has forgotten nothing."""
        if self.start.seq == 0 and self._before is None:
            self._before = end

    def append(self, frame: bytes) -> None:
        """Keep the frame with the next number, `seq` + 1."""
        self._frames.append(frame)
        self.seq = seq = self.seq + 1
        if not seq % _TRIMMED_EVERY or len(frame) > _LARGE:
            self._trim()

    def cut(self, epoch: Epoch) -> None:
        """Forget what connections before that of `epoch` said, which is here, and where they ended."""
        self._trim()
        evicted = 0
        for span in self._spans:
            if span.epoch < epoch:
                evicted += self._last(span) - span.first + 1
        for _ in range(evicted):
            self.bytes -= len(self._frames.popleft())
        self._weighed = len(self._frames)
        while len(self._spans) > 1 and self._spans[0].epoch < epoch:
            self._spans.popleft()
        self._before = None

    def cut_behind(self, place: Offset) -> None:
        """Somebody has heard what is not here, up to `place`: forget what lies before the next connection behind it."""
        newer = next((span.epoch for span in self._spans if span.epoch > place.epoch), None)
        if newer is not None and place >= self.start:
            self.cut(newer)

    def covers(self, after: Offset) -> bool:
        """Tell whether every frame behind `after` is here. `E-0` may be the place of a connection that said nothing."""
        start = self.start
        reaches_back_to = self._before if self._before is not None and start.seq == 0 else start
        if not self._spans or after < reaches_back_to:
            return False
        if after.seq == 0 or after == self._before:
            return True
        return any(span.epoch == after.epoch and after.seq <= self._last(span) for span in self._spans)

    def read(self, after: Offset, max_frames: int, max_bytes: int) -> tuple[list[bytes], Offset]:
        """Return the next frames behind `after`, at least one if there is any, and where they end."""
        passed, size = self._passed(after), 0
        frames: list[bytes] = []
        for frame in islice(self._frames, passed, passed + max_frames):
            size += len(frame)
            if frames and size > max_bytes:
                break
            frames.append(frame)
        return frames, self._place(passed + len(frames))

    def stretches(self, after: Offset) -> Iterator[tuple[Epoch, int, list[bytes]]]:
        """Give the frames behind `after`: those of each connection with its epoch and the first one's number."""
        passed, gone = self._passed(after), 0
        for span in self._spans:
            held = self._last(span) - span.first + 1
            begin, end = max(passed, gone), gone + held
            if begin < end:
                yield span.epoch, span.first + begin - gone, list(islice(self._frames, begin, end))
            gone = end

    def _place(self, count: int) -> Offset:
        """Where the first `count` frames end."""
        for span in self._spans:
            held = self._last(span) - span.first + 1
            if count <= held:
                return Offset(span.epoch, span.first - 1 + count)
            count -= held
        return self.head

    def _passed(self, after: Offset) -> int:
        """How many of the frames lie not behind `after`."""
        passed = 0
        for span in self._spans:
            if span.epoch > after.epoch:
                break
            last = self._last(span)
            if span.epoch == after.epoch:
                last = min(last, after.seq)
            passed += max(0, last - span.first + 1)
        return passed

    def _last(self, span: _Span) -> int:
        return self.seq if span is self._spans[-1] else span.last

    def _trim(self) -> None:
        """Keep the bounds; not at every frame, since this is on the way of every message."""
        frames = self._frames
        for frame in islice(reversed(frames), len(frames) - self._weighed):
            self.bytes += len(frame)
        evicted = 0
        while frames and (self.bytes > self._max_bytes or len(frames) > self._max_frames):
            self.bytes -= len(frames.popleft())
            evicted += 1
        self._weighed = len(frames)
        self._forget(evicted)

    def _forget(self, evicted: int) -> None:
        """Move the spans' beginnings on."""
        while evicted:
            oldest = self._spans[0]
            held = self._last(oldest) - oldest.first + 1
            if held > evicted or len(self._spans) == 1:
                oldest.first += evicted
                return
            self._before = Offset(oldest.epoch, oldest.last)
            self._spans.popleft()
            evicted -= held
