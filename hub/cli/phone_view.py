"""What a phone shows: answers as they come, and a line for everything else that a person wants to know."""

import hashlib
from collections.abc import Callable
from typing import Any, TypeAlias

from hub.cli.wording import describe, printable
from hub.client import Event, Message

_Question: TypeAlias = tuple[str | None, str | None]

_MAX_OPEN_ANSWERS = 64


class _Shown:
    """How much of an answer was shown, without keeping it."""

    __slots__ = ("_digest", "length")

    def __init__(self) -> None:
        self._digest = hashlib.blake2b()
        self.length = 0

    def add(self, text: str) -> None:
        self._digest.update(text.encode(errors="replace"))
        self.length += len(text)

    def begins(self, whole: str) -> bool:
        """Tell whether what was shown is how `whole` begins."""
        begun = hashlib.blake2b(whole[: self.length].encode(errors="replace"))
        return self.length <= len(whole) and begun.digest() == self._digest.digest()


class PhoneView:
    """Turns events into text for `say` (pieces of answers) and `note` (whole lines)."""

    def __init__(
        self, say: Callable[[str], None], note: Callable[[str], None], *, named: bool = True, apart: bool = False
    ) -> None:
        """Show nothing yet.

        Args:
            say: Writes text as it is.
            note: Writes a line of its own.
            named: Whether an answer begins with its desktop's id.
            apart: Whether notes go somewhere else than answers, so that they don't end an answer's line.
        """
        self._say = say
        self._note = note
        self._named = named
        self._apart = apart
        self._open: dict[_Question, _Shown] = {}
        self._speaking: _Question | None = None
        self._midline = False

    def show(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, Message) and event.type.startswith("agent:"):
            self._show_agent(event)
        elif line := describe(event):
            self.note(line)

    def note(self, line: str) -> None:
        """Show a line of its own, between the pieces of an answer if need be."""
        if not self._apart:
            self._break()
        self._note(line)

    def _show_agent(self, message: Message) -> None:
        question = (message.desktop_id, str(message.payload.get("in_reply_to")))
        match message:
            case Message(type="agent:stream", payload={"text": str(text)}):
                self._show_piece(question, text)
            case Message(type="agent:response", payload={"text": str(text)} as payload):
                self._show_rest(question, text, cut=payload.get("truncated") is True)
            case Message(type="agent:status", payload=payload):
                self._show_status(message.desktop_id, payload)

    def _show_piece(self, question: _Question, text: str) -> None:
        while len(self._open) >= _MAX_OPEN_ANSWERS and question not in self._open:
            del self._open[next(iter(self._open))]
        self._open.setdefault(question, _Shown()).add(text)
        self._speak(question, text)

    def _show_rest(self, question: _Question, whole: str, *, cut: bool) -> None:
        """Show what the pieces left out; all of it, if some of them were lost."""
        shown = self._open.pop(question, None) or _Shown()
        if shown.begins(whole):
            self._speak(question, whole[shown.length :])
        elif not cut:
            self._break()
            self.note("some of that was lost on the way; the whole answer is:")
            self._speak(question, whole)
        self._break()

    def _show_status(self, desktop_id: str | None, payload: dict[str, Any]) -> None:
        status = payload.get("status")
        if status == "idle":
            return
        reason = f": {printable(str(payload['reason']))}" if payload.get("reason") else ""
        stderr = f"\n{printable(str(payload['stderr']))}" if payload.get("stderr") else ""
        self.note(f"{printable(desktop_id or 'the desktop')} {_verb(status)}{reason}{stderr}")

    def _speak(self, question: _Question, text: str) -> None:
        if not text:
            return
        if self._speaking != question:
            self._break()
            self._speaking = question
            if self._named:
                self._say(f"{printable(question[0] or 'desktop')}: ")
        self._say(printable(text))
        self._midline = not text.endswith("\n")

    def _break(self) -> None:
        if self._midline:
            self._say("\n")
        self._midline = False
        self._speaking = None


def _verb(status: object) -> str:
    return "is thinking" if status == "thinking" else printable(str(status))
