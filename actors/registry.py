"""Who is connected, and whose is what: user -> phones, desktop -> connection or node, user -> desktops.

Pure state: no clock, no I/O. Every desktop's connection has an epoch; a goodbye that carries an older epoch than the
registry holds comes from a connection that was replaced, and changes nothing (ADR 0004).

`D` and `M` are what the caller connects desktops and phones with; the registry only keeps them. `M` is hashable.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, TypeVar

from actors.copy import Copy
from actors.ids import DesktopId, DeviceId, Epoch, NodeId, UserId
from actors.messages import DesktopIdentity, KnownDesktop, MobileIdentity
from actors.nodes import HeldDesktop
from actors.offsets import Offset
from actors.order import Order
from actors.relay import Relay
from actors.ring import Ring

D = TypeVar("D")
M = TypeVar("M")


class Standing(Enum):
    """Whether a desktop is there. `GRACED`: its link was lost, but nobody has been told yet."""

    CONNECTED = auto()
    GRACED = auto()
    AWAY = auto()


class Desktop(Generic[D, M]):
    """One desktop that the registry knows. Times in milliseconds since the epoch.

    Attributes:
        listeners: The phones' connections that hear it, and the nodes, as a snapshot that can be gone through while
            they come and go.
        ring: What it said last; None before it has said anything.
        holder: The node that it is connected to, if that is another one.
        copy: What came from there.
        follows: Where the connection before the one that is here ended, if that was elsewhere and is known.
        doubtful: It may have been connected elsewhere since it was last heard, without this node's knowing.
        order: What is known of the order of its connections.
        relays: The nodes whose phones hear it, while it is connected here.
    """

    __slots__ = (
        "connection",
        "copy",
        "desktop_id",
        "doubtful",
        "epoch",
        "follows",
        "holder",
        "last_seen",
        "listeners",
        "name",
        "order",
        "owner",
        "platform",
        "reason",
        "relays",
        "ring",
        "since",
        "standing",
    )

    def __init__(self, desktop_id: DesktopId, owner: UserId) -> None:
        self.desktop_id = desktop_id
        self.owner = owner
        self.connection: D | None = None
        self.holder: NodeId | None = None
        self.copy: Copy | None = None
        self.follows: Offset | None = None
        self.doubtful = False
        self.order = Order()
        self.relays: dict[NodeId, Relay] = {}
        self.listeners: tuple[M | Relay, ...] = ()
        self.ring: Ring | None = None
        self.epoch = Epoch(0)
        self.standing = Standing.AWAY
        self.name: str | None = None
        self.platform: str | None = None
        self.since = 0
        self.last_seen = 0
        self.reason = "lost"

    @property
    def connected(self) -> bool:
        """Whether it is connected, here or to another node."""
        return self.connection is not None or self.holder is not None

    @property
    def here(self) -> bool:
        """Whether it is to be seen as online because of this node."""
        return self.standing is not Standing.AWAY and self.holder is None

    @property
    def heard_up_to(self) -> Offset | None:
        """Up to where phones here heard it, as far as that is kept with it."""
        if self.ring is not None:
            return self.ring.head
        return None if self.copy is None else self.copy.at


class User(Generic[D, M]):
    """One user who has anybody connected.

    Attributes:
        mobiles: The phones' connections, each with its device.
        listeners: The same connections, as a snapshot that can be gone through while they come and go.
        behind: Phones that don't hear a desktop yet, because they are still given what they missed of it.
        known_loaded: Whether the desktops of the past were asked for and came.
    """

    __slots__ = ("behind", "desktops", "devices", "known_loaded", "listeners", "mobiles")

    def __init__(self) -> None:
        self.listeners: tuple[M, ...] = ()
        self.mobiles: dict[M, DeviceId | None] = {}
        self.devices: dict[DeviceId, M] = {}
        self.desktops: dict[DesktopId, Desktop[D, M]] = {}
        self.behind: dict[DesktopId, set[M]] = {}
        self.known_loaded = False

    def listen(self) -> None:
        """Let every desktop be heard by the phones that are there and not behind."""
        self.listeners = tuple(self.mobiles)
        for desktop in self.desktops.values():
            self.listen_to(desktop)

    def listen_to(self, desktop: Desktop[D, M]) -> None:
        """Let one desktop be heard by the phones that are there and not behind."""
        behind = self.behind.get(desktop.desktop_id)
        everybody = self.listeners
        heard = everybody if not behind else tuple(phone for phone in everybody if phone not in behind)
        desktop.listeners = (*heard, *desktop.relays.values()) if desktop.relays else heard

    def fall_behind(self, phone: M, desktop_id: DesktopId) -> bool:
        """The phone misses something of a desktop. False: it is behind already."""
        behind = self.behind.setdefault(desktop_id, set())
        if phone in behind:
            return False
        behind.add(phone)
        return True

    def catch_up(self, phone: M, desktop_id: DesktopId) -> None:
        """The phone has what it missed of a desktop."""
        behind = self.behind.get(desktop_id)
        if behind is not None:
            behind.discard(phone)
            if not behind:
                del self.behind[desktop_id]


@dataclass(frozen=True, slots=True)
class DesktopJoined(Generic[D, M]):
    """What a desktop's connection changed.

    Attributes:
        desktop: Its entry now.
        superseded: The older connection of the same desktop, if there was one.
        previous: Its entry under the user who owned it before, if the owner changed while it was to be seen there.
        appeared: Whether it was away before.
        renamed: Whether its name or platform is another one now.
    """

    desktop: Desktop[D, M]
    superseded: D | None
    previous: Desktop[D, M] | None
    appeared: bool
    renamed: bool


@dataclass(frozen=True, slots=True)
class MobileJoined(Generic[M]):
    """What a phone's connection changed: `superseded` is the older connection of the same device."""

    superseded: M | None


class Registry(Generic[D, M]):
    """All users and desktops of one node.

    Args:
        max_desktops: Desktops that one user may have connected at once.
        max_mobiles: Phones that one user may have connected at once.
        max_known: Desktops, away ones included, that are kept in memory for one user.
    """

    def __init__(self, *, max_desktops: int, max_mobiles: int, max_known: int) -> None:
        self._max_desktops = max_desktops
        self._max_mobiles = max_mobiles
        self._max_known = max_known
        self.users: dict[UserId, User[D, M]] = {}
        """All users who have anybody connected; to be read only."""
        self._desktops: dict[DesktopId, Desktop[D, M]] = {}

    def find(self, user_id: UserId, desktop_id: DesktopId) -> Desktop[D, M] | None:
        """The desktop if it is this user's; another user's is as good as unknown."""
        user = self.users.get(user_id)
        return None if user is None else user.desktops.get(desktop_id)

    def phones_of(self, user_id: UserId) -> tuple[M, ...]:
        """The user's phones that are connected here."""
        user = self.users.get(user_id)
        return () if user is None else user.listeners

    def desktops_of(self, user_id: UserId) -> tuple[Desktop[D, M], ...]:
        """The user's desktops that are known here: none if nobody of the user is connected here."""
        user = self.users.get(user_id)
        return () if user is None else tuple(user.desktops.values())

    def present(self) -> Iterator[Desktop[D, M]]:
        """All desktops that are to be seen as online."""
        return (d for d in self._desktops.values() if d.here)

    # -- desktops ------------------------------------------------------------------------------------------------

    def admit_desktop(
        self, who: DesktopIdentity, connection: D, epoch: Epoch, now_ms: int
    ) -> DesktopJoined[D, M] | None:
        """Make `connection` the desktop's own. None: the user has as many connected as allowed, or it came too late."""
        entry = self._desktops.get(who.desktop_id)
        if entry is not None and entry.epoch >= epoch:
            return None
        own = entry if entry is not None and entry.owner == who.user_id else None
        if (own is None or not own.connected) and self._connected_desktops(who.user_id) >= self._max_desktops:
            return None
        superseded = None if entry is None else entry.connection
        previous = self._disown(entry) if entry is not None and own is None else None
        desktop = own or self._enter(who.desktop_id, who.user_id)
        appeared = desktop.standing is Standing.AWAY
        renamed = (desktop.name, desktop.platform) != (who.name, who.platform)
        if appeared:
            desktop.since = now_ms
        desktop.connection, desktop.epoch, desktop.standing = connection, epoch, Standing.CONNECTED
        desktop.holder = None
        desktop.name, desktop.platform, desktop.last_seen = who.name, who.platform, now_ms
        return DesktopJoined(desktop, superseded, previous, appeared, renamed)

    def part_desktop(self, desktop_id: DesktopId, epoch: Epoch, now_ms: int) -> Desktop[D, M] | None:
        """Take the connection of `epoch` out of the routes; the desktop is graced. None: a newer one is there."""
        desktop = self._desktops.get(desktop_id)
        if desktop is None or desktop.epoch != epoch or desktop.connection is None:
            return None
        desktop.connection, desktop.standing, desktop.last_seen = None, Standing.GRACED, now_ms
        return desktop

    def settle_desktop(self, desktop_id: DesktopId, epoch: Epoch, reason: str) -> Desktop[D, M] | None:
        """End the grace of `epoch`: the desktop is away. None: it came back, or is away already."""
        desktop = self._desktops.get(desktop_id)
        if desktop is None or desktop.epoch != epoch or desktop.standing is not Standing.GRACED:
            return None
        desktop.standing, desktop.reason = Standing.AWAY, reason
        self._trim(desktop.owner)
        self._drop_if_idle(desktop.owner)
        return desktop

    def hold_elsewhere(self, user_id: UserId, node_id: NodeId, held: HeldDesktop) -> DesktopJoined[D, M] | None:
        """The desktop is connected to another node. None: newer is known of it, or nobody of the user is here.

        A connection that it had here is out of the routes.
        """
        entry = self._desktops.get(held.desktop_id)
        if user_id not in self.users:
            return None
        if entry is not None and (
            entry.epoch > held.epoch or (entry.epoch == held.epoch and entry.holder not in (node_id, None))
        ):
            return None
        own = entry if entry is not None and entry.owner == user_id else None
        superseded = None if entry is None else entry.connection
        previous = self._disown(entry) if entry is not None and own is None else None
        desktop = own or self._enter(held.desktop_id, user_id)
        appeared = desktop.standing is Standing.AWAY
        renamed = (desktop.name, desktop.platform) != (held.name, held.platform)
        desktop.connection, desktop.holder, desktop.standing = None, node_id, Standing.CONNECTED
        desktop.follows = None
        desktop.epoch, desktop.since = held.epoch, held.since
        desktop.name, desktop.platform = held.name, held.platform
        desktop.last_seen = max(desktop.last_seen, held.last_seen)
        self._drop_if_idle(user_id)
        return DesktopJoined(desktop, superseded, previous, appeared, renamed)

    def disown(self, desktop: Desktop[D, M]) -> None:
        """The desktop is another user's now."""
        self._disown(desktop)

    def leave_elsewhere(self, desktop: Desktop[D, M], last_seen: int, reason: str) -> None:
        """The desktop is connected nowhere any more."""
        desktop.holder, desktop.standing, desktop.reason = None, Standing.AWAY, reason
        desktop.last_seen = max(desktop.last_seen, last_seen)
        self._trim(desktop.owner)
        self._drop_if_idle(desktop.owner)

    def remember(self, user_id: UserId, known: Iterable[KnownDesktop]) -> list[Desktop[D, M]]:
        """Take in desktops of the past, and return those that weren't known. No-op for a user who is gone."""
        user = self.users.get(user_id)
        if user is None:
            return []
        user.known_loaded = True
        added = []
        for past in known:
            if past.desktop_id in self._desktops or len(user.desktops) >= self._max_known:
                continue
            desktop = self._enter(past.desktop_id, user_id)
            desktop.name, desktop.platform = past.name, past.platform
            desktop.last_seen, desktop.reason = past.last_seen, past.reason
            added.append(desktop)
        return added

    # -- phones --------------------------------------------------------------------------------------------------

    def admit_mobile(
        self, who: MobileIdentity, connection: M, behind: Iterable[DesktopId] = ()
    ) -> MobileJoined[M] | None:
        """Add a phone. None: the user has as many connected as allowed.

        `behind`: desktops that it is not to hear before `catch_up`.
        """
        user = self.users.setdefault(who.user_id, User())
        older = None if who.device_id is None else user.devices.get(who.device_id)
        if older is None and len(user.mobiles) >= self._max_mobiles:
            return None
        if older is not None:
            self._leave(user, older)
        user.mobiles[connection] = who.device_id
        for desktop_id in behind:
            user.behind.setdefault(desktop_id, set()).add(connection)
        user.listen()
        if who.device_id is not None:
            user.devices[who.device_id] = connection
        return MobileJoined(older)

    def part_mobile(self, user_id: UserId, connection: M) -> bool:
        """Remove a phone's connection. False: it was not there any more."""
        user = self.users.get(user_id)
        if user is None or connection not in user.mobiles:
            return False
        device_id = user.mobiles[connection]
        self._leave(user, connection)
        user.listen()
        if device_id is not None:
            del user.devices[device_id]
        self._drop_if_idle(user_id)
        return True

    def fall_behind(self, desktop: Desktop[D, M], connection: M) -> bool:
        """Have a phone hear a desktop no more before `catch_up`. False: so it is already, or the phone isn't there."""
        user = self.users.get(desktop.owner)
        if user is None or connection not in user.mobiles or not user.fall_behind(connection, desktop.desktop_id):
            return False
        user.listen_to(desktop)
        return True

    def relay_to(self, desktop: Desktop[D, M], node_id: NodeId, relay: Relay | None) -> None:
        """Let a node hear a desktop, through `relay`; None: not any more."""
        if relay is None:
            desktop.relays.pop(node_id, None)
        else:
            desktop.relays[node_id] = relay
        user = self.users.get(desktop.owner)
        if user is not None:
            user.listen_to(desktop)

    def catch_up(self, user_id: UserId, connection: M, desktop_id: DesktopId) -> None:
        """Let a phone hear a desktop of which it has what it missed."""
        user = self.users.get(user_id)
        if user is None:
            return
        user.catch_up(connection, desktop_id)
        desktop = user.desktops.get(desktop_id)
        if desktop is not None:
            user.listen_to(desktop)

    # -- within --------------------------------------------------------------------------------------------------

    def _connected_desktops(self, user_id: UserId) -> int:
        user = self.users.get(user_id)
        return 0 if user is None else sum(d.connected for d in user.desktops.values())

    def _enter(self, desktop_id: DesktopId, owner: UserId) -> Desktop[D, M]:
        desktop: Desktop[D, M] = Desktop(desktop_id, owner)
        self._desktops[desktop_id] = desktop
        user = self.users.setdefault(owner, User())
        user.desktops[desktop_id] = desktop
        user.listen_to(desktop)
        return desktop

    @staticmethod
    def _leave(user: User[D, M], connection: M) -> None:
        del user.mobiles[connection]
        for desktop_id in [each for each, behind in user.behind.items() if connection in behind]:
            user.catch_up(connection, desktop_id)

    def _disown(self, desktop: Desktop[D, M]) -> Desktop[D, M]:
        """Take the desktop away from the user who owned it."""
        del self._desktops[desktop.desktop_id]
        del self.users[desktop.owner].desktops[desktop.desktop_id]
        desktop.connection = desktop.holder = None
        self._drop_if_idle(desktop.owner)
        return desktop

    def _trim(self, user_id: UserId) -> None:
        """Forget the desktop that has been away for longest, when there are too many."""
        desktops = self.users[user_id].desktops
        if len(desktops) > self._max_known:
            oldest = min((d for d in desktops.values() if d.standing is Standing.AWAY), key=lambda d: d.last_seen)
            del desktops[oldest.desktop_id], self._desktops[oldest.desktop_id]

    def _drop_if_idle(self, user_id: UserId) -> None:
        """Forget a user of whom nobody is connected; the store remembers the desktops."""
        user = self.users[user_id]
        if user.mobiles or any(d.here for d in user.desktops.values()):
            return
        del self.users[user_id]
        for desktop_id in user.desktops:
            del self._desktops[desktop_id]
