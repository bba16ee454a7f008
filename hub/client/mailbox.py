"""What has arrived and wasn't looked at yet: bounded, so that a slow reader slows the socket, not the machine."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """A bounded queue with an end. One writer, one reader, one event loop; order is kept."""

    __slots__ = ("_bound", "_closed", "_fault", "_items", "_room", "_some")

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._items: deque[T] = deque()
        self._room = asyncio.Event()
        self._some = asyncio.Event()
        self._closed = False
        self._fault: BaseException | None = None

    async def put(self, item: T) -> None:
        """Add `item`, when there is room."""
        while len(self._items) >= self._bound:
            self._room.clear()
            await self._room.wait()
        self._items.append(item)
        self._some.set()

    def close(self, fault: BaseException | None = None) -> None:
        """End it: the reader gets what is in it, and then the end, or `fault`."""
        self._closed, self._fault = True, fault
        self._some.set()

    async def get(self) -> T | None:
        """Return the next item; None at the end.

        Raises:
            BaseException: What it was closed with.
        """
        while not self._items:
            if self._fault is not None:
                raise self._fault
            if self._closed:
                return None
            self._some.clear()
            await self._some.wait()
        self._room.set()
        return self._items.popleft()
