"""One answer on its way to the phones: pieces gathered into few messages, and the whole kept for the end."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]

PAUSE_S = 0.02
"""Between two pieces: 50 messages a second at most, where the hub takes 200 by default."""

_MAX_PIECE_CHARS = 32 * 1024
_MAX_BYTES_A_CHAR = 6
_ENVELOPE_BYTES = 1024


class Answer:
    """Streams what is said as `agent:stream` payloads `{text, in_reply_to, seq}`; `seq` counts from 0.

    A first piece leaves at once. `say` waits while a whole message's worth is unsent, so a program that writes faster
    than the hub takes is slowed down, not buffered.
    """

    def __init__(self, in_reply_to: str | None, max_bytes: int, send: Send, pause_s: float = PAUSE_S) -> None:
        """Stream through `send`; no message will be greater than `max_bytes`, and pieces leave `pause_s` apart."""
        self._in_reply_to = in_reply_to
        self._max_bytes = max_bytes
        self._max_chars = max(1, min(_MAX_PIECE_CHARS, (max_bytes - _ENVELOPE_BYTES) // _MAX_BYTES_A_CHAR))
        self._send = send
        self._pause_s = pause_s
        self._seq = 0
        self._unsent = ""
        self._whole: list[str] = []
        self._whole_chars = 0
        self._over = False
        self._some = asyncio.Event()
        self._room = asyncio.Event()

    async def say(self, piece: str) -> None:
        """Add the next piece."""
        if not piece:
            return
        while len(self._unsent) >= self._max_chars:
            self._room.clear()
            await self._room.wait()
        self._unsent += piece
        self._keep(piece)
        self._some.set()

    def end(self) -> None:
        """Say that nothing comes any more: `stream` returns when all is sent."""
        self._over = True
        self._some.set()

    async def stream(self) -> None:
        """Send the pieces until `end`. Raises what `send` raises."""
        while await self._more():
            piece, self._unsent = self._unsent[: self._max_chars], self._unsent[self._max_chars :]
            self._room.set()
            await self._send({"text": piece, "in_reply_to": self._in_reply_to, "seq": self._seq})
            self._seq += 1
            await asyncio.sleep(self._pause_s)

    def response(self, exit_code: int | None) -> dict[str, Any]:
        """Return the payload of `agent:response`: all that was said, cut (`truncated`) to what the hub takes."""
        said = "".join(self._whole)
        text = cut(said, self._max_bytes - _ENVELOPE_BYTES)
        payload: dict[str, Any] = {"text": text, "in_reply_to": self._in_reply_to, "exit_code": exit_code}
        if len(text) < self._whole_chars:
            payload["truncated"] = True
        return payload

    async def _more(self) -> bool:
        while not self._unsent:
            if self._over:
                return False
            self._some.clear()
            await self._some.wait()
        return True

    def _keep(self, piece: str) -> None:
        """Keep the whole answer, but no more of it than can ever be sent: a character is a byte at least."""
        if self._whole_chars < self._max_bytes:
            self._whole.append(piece)
        self._whole_chars += len(piece)


def cut(text: str, max_bytes: int) -> str:
    """Return as much of the start of `text` as takes `max_bytes` in a JSON string of UTF-8."""
    if _size(text) <= max_bytes:
        return text
    fits, too_many = 0, min(len(text), max(max_bytes, 0) + 1)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if _size(text[:middle]) <= max_bytes:
            fits = middle
        else:
            too_many = middle
    return text[:fits]


def _size(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode())
