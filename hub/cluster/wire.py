"""What each word and share is on the wire: an array that begins with its tag, fields in the order below.

A field that a later release adds comes last and has a default: the older release passes over it, the newer one does
without it. Tags are never used for anything else.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import astuple

from actors.ids import ConnectionId, DesktopId, DeviceId, Epoch, UserId
from actors.mail import Letter, Receipt, Sender, Status, Stored
from actors.messages import ErrorCode, Fault
from actors.nodes import (
    Disowned,
    Ended,
    Gone,
    HeldDesktop,
    Listen,
    Outdated,
    Pieces,
    Posted,
    Share,
    Shared,
    Told,
    Undelivered,
    Word,
)
from actors.offsets import Offset


class WireHeldDesktop(Struct, array_like=True, gc=False):
    """`HeldDesktop`."""

    desktop_id: DesktopId
    epoch: Epoch
    name: str | None
    platform: str | None
    since: int
    last_seen: int


class WireShare(Struct, array_like=True):
    """`Share`."""

    version: int
    desktops: list[WireHeldDesktop]
    devices: dict[DeviceId, Epoch]
    nameless: int

    def read(self) -> Share:
        """Return what the actors know it as."""
        desktops = tuple(HeldDesktop(*astuple(each)) for each in self.desktops)
        return Share(self.version, desktops, self.devices, self.nameless)


class WireGone(Struct, array_like=True, gc=False):
    """`Gone`."""

    desktop_id: DesktopId
    epoch: Epoch
    last_seen: int
    reason: str


class WireLetter(Struct, array_like=True, gc=False):
    """`Letter`."""

    user_id: UserId
    desktop_id: DesktopId
    device_id: DeviceId | None
    kind: str
    key: str
    frame: bytes
    fingerprint: str
    valid_until: int | None


class WireStored(Struct, array_like=True):
    """`Stored`."""

    entry: Offset
    previous: Offset


class WireSender(Struct, array_like=True, gc=False):
    """`Sender`."""

    user_id: UserId
    device_id: DeviceId | None


class WireReceipt(Struct, array_like=True, gc=False):
    """`Receipt`."""

    message_id: str
    desktop_id: DesktopId
    status: Status
    latest: Status | None


class WireFault(Struct, array_like=True, gc=False):
    """`Fault`."""

    code: ErrorCode
    text: str
    message_id: str | None
    retry_after_ms: int | None


class WireShared(Struct, array_like=True, tag=1):
    """`Shared`."""

    user_id: UserId
    share: WireShare
    gone: list[WireGone]

    def read(self) -> Shared:
        """Return what the actors know it as."""
        return Shared(self.user_id, self.share.read(), tuple(Gone(*astuple(each)) for each in self.gone))


class WireListen(Struct, array_like=True, tag=2):
    """`Listen`."""

    user_id: UserId
    desktop_id: DesktopId
    ask: int
    after: Offset | None

    def read(self) -> Listen:
        """Return what the actors know it as."""
        return Listen(*astuple(self))


class WirePieces(Struct, array_like=True, tag=3):
    """`Pieces`."""

    user_id: UserId
    desktop_id: DesktopId
    epoch: Epoch
    first: int
    frames: tuple[bytes, ...]
    before: Offset | None
    ask: int
    last: bool

    def read(self) -> Pieces:
        """Return what the actors know it as."""
        return Pieces(*astuple(self))


class WireEnded(Struct, array_like=True, tag=4):
    """`Ended`."""

    user_id: UserId
    desktop_id: DesktopId
    offset: Offset

    def read(self) -> Ended:
        """Return what the actors know it as."""
        return Ended(*astuple(self))


class WirePosted(Struct, array_like=True, tag=5):
    """`Posted`."""

    letter: WireLetter
    stored: WireStored | None
    connection_id: ConnectionId | None

    def read(self) -> Posted:
        """Return what the actors know it as."""
        stored = None if self.stored is None else Stored(*astuple(self.stored))
        return Posted(Letter(*astuple(self.letter)), stored, self.connection_id)


class WireTold(Struct, array_like=True, tag=6):
    """`Told`."""

    sender: WireSender
    receipt: WireReceipt
    connection_id: ConnectionId | None

    def read(self) -> Told:
        """Return what the actors know it as."""
        return Told(Sender(*astuple(self.sender)), Receipt(*astuple(self.receipt)), self.connection_id)


class WireUndelivered(Struct, array_like=True, tag=7):
    """`Undelivered`."""

    connection_id: ConnectionId
    kind: str
    fault: WireFault

    def read(self) -> Undelivered:
        """Return what the actors know it as."""
        return Undelivered(self.connection_id, self.kind, Fault(*astuple(self.fault)))


class WireDisowned(Struct, array_like=True, tag=8):
    """`Disowned`."""

    user_id: UserId
    desktop_id: DesktopId
    epoch: Epoch

    def read(self) -> Disowned:
        """Return what the actors know it as."""
        return Disowned(*astuple(self))


class WireOutdated(Struct, array_like=True, tag=9):
    """`Outdated`."""

    user_id: UserId
    desktop_id: DesktopId
    epoch: Epoch

    def read(self) -> Outdated:
        """Return what the actors know it as."""
        return Outdated(*astuple(self))


WireWord: TypeAlias = (
    WireShared
    | WireListen
    | WirePieces
    | WireEnded
    | WirePosted
    | WireTold
    | WireUndelivered
    | WireDisowned
    | WireOutdated
)

TAGS = frozenset(range(1, 10))
"""The tags of the kinds of words above."""

# What is encoded are tuples, straight from the actors' objects: that costs a third of making the structs above first.
_Tuple: TypeAlias = tuple[Any, ...]


def _fields(wire: type[Struct]) -> Callable[[object], _Tuple]:
    return attrgetter(*wire.__struct_fields__)


_held_desktop, _gone = _fields(WireHeldDesktop), _fields(WireGone)
_letter, _stored = _fields(WireLetter), _fields(WireStored)
_sender, _receipt, _fault = _fields(WireSender), _fields(WireReceipt), _fields(WireFault)


def share_tuple(share: Share) -> _Tuple:
    """Return a share as it is encoded."""
    return share.version, [_held_desktop(each) for each in share.desktops], share.devices, share.nameless


def _shared(word: Shared) -> _Tuple:
    return 1, word.user_id, share_tuple(word.share), [_gone(each) for each in word.gone]


def _posted(word: Posted) -> _Tuple:
    stored = None if word.stored is None else _stored(word.stored)
    return 5, _letter(word.letter), stored, word.connection_id


def _told(word: Told) -> _Tuple:
    return 6, _sender(word.sender), _receipt(word.receipt), word.connection_id


def _undelivered(word: Undelivered) -> _Tuple:
    return 7, word.connection_id, word.kind, _fault(word.fault)


def _plain(wire: type[Struct]) -> Callable[[Any], _Tuple]:
    tag, fields = wire.__struct_config__.tag, _fields(wire)
    return lambda word: (tag, *fields(word))


_TUPLE_OF: Mapping[type, Callable[[Any], _Tuple]] = {
    Shared: _shared,
    Listen: _plain(WireListen),
    Pieces: _plain(WirePieces),
    Ended: _plain(WireEnded),
    Posted: _posted,
    Told: _told,
    Undelivered: _undelivered,
    Disowned: _plain(WireDisowned),
    Outdated: _plain(WireOutdated),
}


def word_tuple(word: Word) -> _Tuple:
    """Return a word as it is encoded."""
    return _TUPLE_OF[type(word)](word)
