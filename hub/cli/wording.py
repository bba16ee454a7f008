"""What the terminal clients share in what they show: plain words, and no escape sequences from afar."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hub.client import Connected, Disconnected, Event, Message

_KEPT = "\n\t"


def printable(text: str) -> str:
    """Return `text` without control characters: what comes over the network doesn't steer the terminal."""
    return "".join(each for each in text if each in _KEPT or not _is_control(each))


def describe(event: Event) -> str | None:
    """Say in one line what happened to the connection or to a desktop; None if it isn't about that."""
    match event:
        case Connected(welcome):
            return f"connected to {printable(welcome.node_id) or 'the hub'}"
        case Disconnected(code=code, reason=reason, retry_in_s=wait_s):
            return f"disconnected ({code} {printable(reason)}); next try in {wait_s:.1f} s"
        case Message(type=kind, payload=payload) if kind in _WORDS:
            return _WORDS[kind](payload)
        case _:
            return None


def label(presence: dict[str, object]) -> str:
    """Return a desktop's name and id, as its presence tells them."""
    desktop_id = _field(presence, "desktop_id")
    name = presence.get("name")
    return f"{printable(name)} [{desktop_id}]" if isinstance(name, str) else desktop_id


def _is_control(character: str) -> bool:
    return character < " " or "\x7f" <= character < "\xa0"


def _clock(last_seen_ms: object) -> str:
    if not isinstance(last_seen_ms, int):
        return ""
    try:
        return f", last seen {datetime.fromtimestamp(last_seen_ms / 1000, UTC).astimezone():%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):  # no calendar goes there
        return ""


def _field(payload: dict[str, object], name: str) -> str:
    return printable(str(payload.get(name, "unknown")))


def outcome(receipt: dict[str, object]) -> object:
    """Return the status in a receipt's payload; of a duplicate, that of the first one."""
    status = receipt.get("status")
    return receipt.get("latest") if status == "duplicate" else status


def _receipt(receipt: dict[str, object]) -> str | None:
    """Say what a person has to know: that a message was delivered shows in its answer."""
    match outcome(receipt):
        case "stored":
            return "stored: the desktop is away, it gets it when it is back"
        case "expired":
            return "expired: the desktop didn't take it in time"
        case _:
            return None


def _resumed(end: dict[str, object]) -> str | None:
    return None if end.get("complete") is True else f"some of what {_field(end, 'desktop_id')} said is missing"


_WORDS: dict[str, Callable[[dict[str, Any]], str | None]] = {
    "desktop:online": lambda it: f"{label(it)} is online",
    "desktop:offline": lambda it: f"{label(it)} is offline ({_field(it, 'reason')}){_clock(it.get('last_seen'))}",
    "error": lambda it: f"error {_field(it, 'code')}: {_field(it, 'message')}",
    "goodbye": lambda it: f"the hub says goodbye ({_field(it, 'reason')})",
    "receipt": _receipt,
    "resumed": _resumed,
    "session:create": lambda it: f"session {_field(it, 'session_id')} is asked for",
}
