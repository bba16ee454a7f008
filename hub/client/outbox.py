"""Messages on their way until the hub has said what became of them (docs/protocol.md, "Receipts")."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from hub.client.errors import NotConnected, Refused, TooManyPosts
from hub.client.link import Link
from hub.client.message import Message

MOST_OPEN = 1000
"""Open posts of one client; each keeps its message."""

WORTH_ANOTHER_TRY = frozenset({"unavailable", "queue_full", "rate_limited"})
"""After an error of these codes the same message may well be taken later."""

_WINDOW = 32
"""So many wait for their answer at once: a thousand that meet again after a tunnel come in order and in bounds."""

_RETRY_S = 1.0
"""After an error that is worth another try and doesn't say when."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message.

    Attributes:
        message_id: The message's name.
        desktop_id: The desktop that it is for.
        status: `stored` (the hub keeps it until the desktop has it), `delivered` (handed over) or `acknowledged` (the
            desktop's program has taken it).
    """

    message_id: str
    desktop_id: str
    status: str


@dataclass(frozen=True, slots=True)
class _Again:
    """Send it again after `after_s` seconds."""

    after_s: float


_Answer: TypeAlias = Receipt | _Again | Refused


class Outbox:
    """The messages of one client that are open, by their names."""

    def __init__(
        self, connected: Callable[[float], Awaitable[Link]], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        """Send through what `connected` gives after so many seconds at most; it raises NotConnected or HubClosed."""
        self._connected = connected
        self._sleep = sleep
        self._open: set[str] = set()
        self._asked: dict[str, asyncio.Future[_Answer]] = {}
        self._window = asyncio.Semaphore(_WINDOW)

    async def deliver(self, message_id: str, envelope: bytes, timeout_s: float) -> Receipt:
        """Send `envelope` until the hub has said that it has it.

        Raises:
            Refused: Sending it again is pointless.
            NotConnected, HubClosed: The hub didn't say so in `timeout_s`, or `connected` says that it never will.
            TooBig: It is greater than the hub takes.
            TooManyPosts: 1,000 are open already.
            ValueError: One of that name is open.
        """
        with self._opened(message_id):
            try:
                async with asyncio.timeout(timeout_s):
                    return await self._until_received(message_id, envelope, timeout_s)
            except TimeoutError:
                raise NotConnected(f"the hub didn't say in {timeout_s:g} s that it has the message") from None

    def note(self, message: Message) -> None:
        """Take in what the hub says of a message that is open."""
        match message:
            case Message(type="receipt", payload={"message_id": str(message_id)} as payload):
                self._settle(message_id, _receipt(payload))
            case Message(type="error", payload={"message_id": str(message_id)} as payload):
                self._settle(message_id, _after(payload))

    def lost(self) -> None:
        """Take in that the connection is gone: what was sent on it may not have arrived."""
        for message_id in self._asked:
            self._settle(message_id, _Again(0.0))

    @contextmanager
    def _opened(self, message_id: str) -> Iterator[None]:
        if message_id in self._open:
            raise ValueError("a message of that message_id is being posted")
        if len(self._open) >= MOST_OPEN:
            raise TooManyPosts(f"{MOST_OPEN} messages wait for their receipts already")
        self._open.add(message_id)
        try:
            yield
        finally:
            self._open.discard(message_id)

    async def _until_received(self, message_id: str, envelope: bytes, timeout_s: float) -> Receipt:
        while True:
            async with self._window:
                answer = await self._ask(message_id, envelope, timeout_s)
            match answer:
                case _Again(after_s):
                    await self._sleep(after_s)
                case Refused():
                    raise answer
                case Receipt():
                    return answer

    async def _ask(self, message_id: str, envelope: bytes, timeout_s: float) -> _Answer:
        link = await self._connected(timeout_s)
        answer: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._asked[message_id] = answer
        try:
            with suppress(NotConnected):  # whoever reads learns of that, and says it through `lost`
                await link.send(envelope)
            return await answer
        finally:
            del self._asked[message_id]

    def _settle(self, message_id: str, answer: _Answer) -> None:
        asked = self._asked.get(message_id)
        if asked is not None and not asked.done():
            asked.set_result(answer)


def _receipt(payload: dict[str, Any]) -> Receipt | Refused:
    status = payload.get("status")
    if status == "duplicate":
        status = payload.get("latest")
    if status == "expired":
        return Refused("expired", "it was not handed over in time")
    return Receipt(str(payload["message_id"]), str(payload.get("desktop_id")), str(status))


def _after(payload: dict[str, Any]) -> _Again | Refused:
    code = str(payload.get("code"))
    if code not in WORTH_ANOTHER_TRY:
        return Refused(code, str(payload.get("message", "")))
    wait_ms = payload.get("retry_after_ms")
    return _Again(wait_ms / 1000 if type(wait_ms) is int and wait_ms >= 0 else _RETRY_S)
