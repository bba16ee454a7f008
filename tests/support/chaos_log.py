"""The log of a run: one JSON object a line, for whoever has to find out afterwards what happened."""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MOMENT_S = 1.0


class ChaosLog:
    """Writes to a file, and counts time from its making. Times are seconds.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._losses: list[tuple[float, float]] = []
        self._outages: list[tuple[float, float]] = []
        self._began = time.monotonic()
        self._wall_began = time.time()
        self._file = path.open("w", encoding="utf-8", buffering=1)

    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    def say(self, event: str, **members: Any) -> None:
        """Write one line."""
        self._file.write(json.dumps({"t": round(self.now(), 3), "event": event, **members}) + "\n")

    @contextmanager
    def losing(self) -> Iterator[None]:
        """Whoever has not written something yet that was said meanwhile, or a moment before or after, may lose it."""
        with self._noting(self._losses):
            yield

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Nodes can't write meanwhile. What a desktop says is lost if it goes to another node before they can."""
        with self._noting(self._outages):
            yield

    def note_outages(self, spans: Iterable[tuple[float, float]]) -> None:
        """Nodes couldn't write then, whoever made it so; seconds since the epoch."""
        for begin, end in spans:
            span = begin - self._wall_began - MOMENT_S, end - self._wall_began + MOMENT_S
            if span not in self._outages:
                self._outages.append(span)

    def may_be_lost(self, at: float, moves: Sequence[float]) -> bool:
        """Whether what was said then by a desktop that connected at those times may be missing in the journal."""
        if any(begin <= at <= end for begin, end in self._losses):
            return True
        return any(begin <= at <= end and any(at <= move <= end for move in moves) for begin, end in self._outages)

    @contextmanager
    def _noting(self, spans: list[tuple[float, float]]) -> Iterator[None]:
        began = self.now()
        try:
            yield
        finally:
            spans.append((began - MOMENT_S, self.now() + MOMENT_S))

    def close(self) -> None:
        self._file.close()
