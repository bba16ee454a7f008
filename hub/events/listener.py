"""One service that listens to presence changes."""

import asyncio
import contextlib
from collections.abc import Callable

from actors.offsets import Offset


class Listener:
    """Where it stands in the stream, and what it hasn't taken yet: one page at most.

    Attributes:
        at: The last entry that it was given; None while it is to begin with what comes next.
    """

    __slots__ = ("_behind", "_ended", "_news", "_read_on", "_waiting", "at")

    def __init__(self, after: Offset | None, read_on: Callable[[], object]) -> None:
        """Give it nothing yet. `read_on` is called when it has taken a page and there is more."""
        self.at = after
        self._read_on = read_on
        self._waiting = b""
        self._behind = False
        self._ended = False
        self._news = asyncio.Event()

    @property
    def has_room(self) -> bool:
        """Whether it has taken what it was given. Who hasn't is not read for, and falls behind."""
        return not self._waiting

    def give(self, events: bytes, at: Offset, *, more: bool) -> None:
        """Give it what there is up to `at`; `more`: there is more behind it."""
        self.at, self._waiting, self._behind = at, events, more
        if events:
            self._news.set()
        elif more:
            self._read_on()

    def end(self) -> None:
        """There will be no more for it."""
        self._ended = True
        self._news.set()

    async def take(self, within_s: float) -> bytes | None:
        """Return what came; nothing if nothing comes within that time; None at the end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._news.wait()
        if self._ended:
            return None
        self._news.clear()
        taken, self._waiting = self._waiting, b""
        if self._behind:
            self._read_on()
        return taken
