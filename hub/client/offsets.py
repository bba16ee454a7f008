"""Up to where a mobile has what each desktop said, and what it asks for when it comes back. No I/O.

Source: docs/adr/0009-offsets-are-stream-ids.md.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from hub.client.events import Connected, Event
from hub.client.message import Message

MOST_DESKTOPS = 50
"""So many are remembered, those heard of last; the hub takes no more in one `resume`."""

_OFFSET = re.compile(r"([0-9]{1,20})-([0-9]{1,20})")
_DESKTOP_ID = re.compile(r"[A-Za-z0-9._:@-]{1,128}")
_PRESENCE = ("desktop:online", "desktop:offline")


class Place(NamedTuple):
    """An offset, compared as the pair that it is."""

    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"


class Offsets:
    """Where each desktop's stream stands for one reader: `admits` what is new in it, `resume` asks for the rest."""

    def __init__(self, start: Mapping[str, str] | None = None) -> None:
        """Begin where `start` says: desktop id to offset, the one heard of last at the end.

        Raises:
            ValueError: Something in it is no desktop id or no offset.
        """
        self._places: dict[str, Place | None] = {}  # None: a desktop is known, and not where it stands
        self._missed: set[str] = set()
        for desktop_id, offset in (start or {}).items():
            place = _place(offset)
            if place is None or not _is_id(desktop_id):
                raise ValueError(f"{desktop_id!r}: {offset!r} isn't a desktop and its offset, such as 'laptop': '17-4'")
            self._remember(desktop_id, place)

    def known(self) -> dict[str, str]:
        """Return the offsets, in the form that `start` has."""
        return {desktop_id: str(place) for desktop_id, place in self._places.items() if place is not None}

    def resume(self) -> str:
        """Return what to ask the hub for: `DESKTOP:OFFSET,...`; empty for nothing."""
        return ",".join(f"{desktop_id}:{offset}" for desktop_id, offset in self.known().items())

    def connected(self) -> None:
        """Take in that a new connection begins: what desktops without an offset said before, was missed."""
        self._missed = {desktop_id for desktop_id, place in self._places.items() if place is None}

    def overtakes(self, message: Message) -> bool:
        """Tell whether `message` shows that something was missed that could not be asked for.

        So it is if a desktop that was known before this connection, but not where it stood, has said something in the
        meantime. From then on `resume` asks for all that it said on its present connection.
        """
        desktop_id, place = _presence(message)
        if desktop_id not in self._missed or place is None:
            return False
        self._missed.discard(desktop_id)
        if message.type != "desktop:online" or place.seq == 0:
            return False
        self._remember(desktop_id, Place(place.epoch, 0))
        return True

    def admits(self, message: Message) -> bool:
        """Take in `message`; False if the reader had it before."""
        match message:
            case Message(type=kind) if kind in _PRESENCE:
                self._meet(*_presence(message))
            case Message(type="resumed", payload={"desktop_id": str(desktop_id), "offset": str(offset)}):
                self._advance(desktop_id, _place(offset))
            case Message(desktop_id=str(desktop_id), offset=str(offset)):
                return self._advance(desktop_id, _place(offset))
        return True

    def follow(self, event: Event) -> None:
        """Take in what a reader is given, one event after the other."""
        match event:
            case Connected():
                self.connected()
            case Message():
                self.overtakes(event)
                self.admits(event)

    def _meet(self, desktop_id: str, place: Place | None) -> None:
        """Of a known one only what is read counts: what it has said up to its place may still be on the way."""
        self._remember(desktop_id, self._places.get(desktop_id) or place)

    def _advance(self, desktop_id: str, place: Place | None) -> bool:
        before = self._places.get(desktop_id)
        if place is None:
            return True  # not the form that we know: nothing to compare
        if before is not None and place <= before:
            return False
        self._remember(desktop_id, place)
        return True

    def _remember(self, desktop_id: str, place: Place | None) -> None:
        if desktop_id not in self._places and not _is_id(desktop_id):
            return
        self._places.pop(desktop_id, None)  # so that it moves to the end
        self._places[desktop_id] = place
        if len(self._places) > MOST_DESKTOPS:
            del self._places[next(iter(self._places))]


def _presence(message: Message) -> tuple[str, Place | None]:
    """Read of which desktop a message tells and where it stands; an empty id if it isn't such a message."""
    desktop_id = message.payload.get("desktop_id") if message.type in _PRESENCE else None
    return (desktop_id, _place(message.offset or "")) if isinstance(desktop_id, str) else ("", None)


def _is_id(text: str) -> bool:
    return _DESKTOP_ID.fullmatch(text) is not None


def _place(text: str) -> Place | None:
    found = _OFFSET.fullmatch(text)
    return None if found is None else Place(int(found[1]), int(found[2]))
