"""The log of a run: one JSON object a line, for whoever has to find out afterwards what happened."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class ChaosLog:
    """Writes to a file, and counts time from its making.

    Attributes:
        path: The file.
        losses: From when to when what a desktop said may be missing in the journal: seconds, by `now`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.losses: list[tuple[float, float]] = []
        self._began = time.monotonic()
        self._file = path.open("w", encoding="utf-8", buffering=1)

    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    def say(self, event: str, **members: Any) -> None:
        """Write one line."""
        self._file.write(json.dumps({"t": round(self.now(), 3), "event": event, **members}) + "\n")

    @contextmanager
    def losing(self, before_s: float = 1.0, after_s: float = 0.0) -> Iterator[None]:
        """What was said meanwhile, or a moment before or after, may be lost by whoever has not written it yet."""
        began = self.now()
        try:
            yield
        finally:
            self.losses.append((began - before_s, self.now() + after_s))

    def may_be_lost(self, at: float) -> bool:
        """Whether what was said then may be lost."""
        return any(begin <= at <= end for begin, end in self.losses)

    def close(self) -> None:
        self._file.close()
