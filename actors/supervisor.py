"""The supervisor: owns the registries, and routes between inboxes. One a node (ADR 0003).

It never waits: every method runs to its end in the caller's turn, so what it answers is true when the caller reads it,
and no lock is needed. Only the offline grace and the store's answers come back later, fenced by epochs.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial

from actors.closing import CloseReason
from actors.ids import ConnectionId, DesktopId, UserId
from actors.mail import Sender
from actors.messages import CameOnline, KnownDesktop, Notice, PresenceRecord, WentOffline
from actors.neighbours import Neighbours
from actors.nodes import Gone
from actors.notices import offline, online, place, standing
from actors.offsets import Offset
from actors.order import Followed
from actors.registry import Registry
from actors.relaying import Desk
from actors.routes import DesktopRoute, MobileRoute, Route
from actors.surroundings import Surroundings

MOST_AWAITING = 64
"""Messages of one user's phones that may wait for the store to say which desktops there are."""


class Supervisor:
    """Joins, parts and routes the connections of one node."""

    def __init__(self, around: Surroundings) -> None:
        policy = around.policy
        self._around = around
        self._registry: Registry[DesktopRoute, MobileRoute] = Registry(
            max_desktops=policy.max_desktops, max_mobiles=policy.max_mobiles, max_known=policy.max_known
        )
        self._users = self._registry.users
        self.neighbours = Neighbours(around, self._registry, self)
        self._records: dict[DesktopId, PresenceRecord] = {}
        self._open: dict[Route, None] = {}
        self._missing = False
        self._awaiting: dict[UserId, list[Callable[[], object]]] = {}
        self.turned_at = around.clock.monotonic()
        """When `turn` was last called (monotonic seconds): what says that the supervisor's loop turns."""

    def turn(self) -> None:
        """Show that the loop turns; the node calls it several times a second."""
        self.turned_at = self._around.clock.monotonic()

    def opened(self, route: Route) -> None:
        """A socket is open; it may not have joined yet, or not be allowed to."""
        self._open[route] = None

    def gone(self, route: Route) -> None:
        """The socket is closed for good."""
        self._open.pop(route, None)

    @property
    def open_count(self) -> int:
        """How many connections have an open socket."""
        return len(self._open)

    def open_routes(self, kind: str | None = None) -> list[Route]:
        """All connections with an open socket, or those of one kind, in the order in which they came."""
        return [route for route in self._open if kind is None or route.kind == kind]

    def present_records(self) -> Iterator[PresenceRecord]:
        """Every desktop that is to be seen as online, as of now; for renewing the mirror."""
        now_ms = self._around.clock.wall_ms()
        for desktop_id in list(self._records):
            record = self._records.get(desktop_id)
            if record is not None:
                yield replace(record, last_seen=now_ms)

    # -- routes --------------------------------------------------------------------------------------------------

    def desktop_of(self, user_id: UserId, desktop_id: DesktopId) -> Desk | None:
        """The desktop, if it is this user's; another user's is as good as unknown."""
        return self._registry.find(user_id, desktop_id)

    def silent_behind(self, user_id: UserId, desktop_id: DesktopId, at: Offset) -> bool:
        """Whether this user's desktop, which has no ring, is known to have said nothing behind `at`."""
        desktop = self._registry.find(user_id, desktop_id)
        return desktop is not None and at in (place(desktop), desktop.follows)

    def knows_desktops_of(self, user_id: UserId) -> bool:
        """Whether a desktop that `desktop_of` doesn't find is none of this user's."""
        user = self._users.get(user_id)
        return user is not None and user.known_loaded and self.neighbours.seen(user_id)

    @staticmethod
    def relay(desktop: Desk, frame: bytes, now: float) -> int:
        """Offer a frame to all phones and nodes that hear a desktop, and return how many there are."""
        listeners = desktop.listeners
        for listener in listeners:
            listener.offer(frame, now)
        return len(listeners)

    def phones_of(self, sender: Sender) -> Sequence[MobileRoute]:
        """The connection of a device; without a device, the user's phones whose tokens name none."""
        user = self._users.get(sender.user_id)
        if user is None:
            return ()
        if sender.device_id is None:
            return [phone for phone, device_id in user.mobiles.items() if device_id is None]
        phone = user.devices.get(sender.device_id)
        return () if phone is None else (phone,)

    def phone_named(self, connection_id: ConnectionId) -> MobileRoute | None:
        """The phone's connection of this id, if it is here. It looks at all that are open."""
        found = (phone for user in self._users.values() for phone in user.mobiles)
        return next((phone for phone in found if phone.connection_id == connection_id), None)

    def connections(self, user_id: UserId | None = None) -> list[DesktopRoute | MobileRoute]:
        """All connections that have joined and aren't ending, or those of one user."""
        user = None if user_id is None else self._users.get(user_id)
        users = self._users.values() if user_id is None else () if user is None else (user,)
        found: list[DesktopRoute | MobileRoute] = []
        for each in users:
            found += each.mobiles
            found += [desktop.connection for desktop in each.desktops.values() if desktop.connection is not None]
        return found

    def connection_of(self, desktop_id: DesktopId) -> DesktopRoute | None:
        """The connection of a desktop, whoever owns it, if it is there."""
        record = self._records.get(desktop_id)
        desktop = None if record is None else self._registry.find(record.user_id, desktop_id)
        return None if desktop is None else desktop.connection

    def connected_desktops(self) -> list[DesktopRoute]:
        """The connections of all desktops that are there."""
        return [each.connection for each in self._registry.present() if each.connection is not None]

    # -- desktops ------------------------------------------------------------------------------------------------

    def join_desktop(self, route: DesktopRoute) -> bool:
        """Make `route` its desktop's connection and tell those concerned. False: the user has too many (4007)."""
        now_ms = self._around.clock.wall_ms()
        joined = self._registry.admit_desktop(route.identity, route, route.epoch, now_ms)
        if joined is None:
            return False
        if joined.previous is not None:
            self._tell_previous_owner(joined.previous, now_ms)
        desktop = joined.desktop
        untold = self.neighbours.relaying.taken_over(desktop)
        record = self._record_of(desktop, route)
        self._records[desktop.desktop_id] = record
        self._around.mirror.record(CameOnline(record, announce=joined.appeared))
        if joined.appeared or joined.renamed or untold:
            self._notify(desktop.owner, online(desktop), place(desktop))
        if joined.superseded is not None:
            joined.superseded.close(CloseReason.SUPERSEDED)
        self.neighbours.came(route)
        self._try_again(desktop.owner)
        return True

    def part_desktop(self, route: DesktopRoute, presence_reason: str, *, graced: bool) -> None:
        """The connection is over. `graced`: the desktop may be back in a moment, so nobody is told yet."""
        around = self._around
        desktop_id, epoch = route.identity.desktop_id, route.epoch
        if self._registry.part_desktop(desktop_id, epoch, around.clock.wall_ms()) is None:
            return
        if graced and around.policy.offline_grace_s > 0:
            around.scheduler.call_later(around.policy.offline_grace_s, self._settle, desktop_id, route, presence_reason)
        else:
            self._settle(desktop_id, route, presence_reason)

    def _settle(self, desktop_id: DesktopId, route: DesktopRoute, reason: str) -> None:
        desktop = self._registry.settle_desktop(desktop_id, route.epoch, reason)
        if desktop is None:
            return
        record = self._records.pop(desktop_id, None)
        if record is not None:
            self._around.mirror.record(WentOffline(record, reason, at=desktop.last_seen))
        self._went(desktop)

    def _tell_previous_owner(self, desktop: Desk, now_ms: int) -> None:
        desktop.reason = CloseReason.SUPERSEDED.value.presence
        desktop.last_seen = now_ms
        record = self._records.pop(desktop.desktop_id, None)
        if record is not None:
            self._around.mirror.record(WentOffline(record, desktop.reason, at=now_ms, forget=True))
        self._went(desktop)
        self.neighbours.relaying.disowned(desktop)

    def _went(self, desktop: Desk) -> None:
        """Tell the phones, here and on other nodes."""
        self._notify(desktop.owner, offline(desktop), place(desktop))
        self.neighbours.went(desktop.owner, Gone(desktop.desktop_id, desktop.epoch, desktop.last_seen, desktop.reason))

    def _record_of(self, desktop: Desk, route: DesktopRoute) -> PresenceRecord:
        return PresenceRecord(
            desktop_id=desktop.desktop_id,
            user_id=desktop.owner,
            node_id=self._around.node_id,
            connection_id=route.connection_id,
            epoch=desktop.epoch,
            name=desktop.name,
            platform=desktop.platform,
            since=desktop.since,
            last_seen=desktop.last_seen,
        )

    # -- phones --------------------------------------------------------------------------------------------------

    def join_mobile(self, route: MobileRoute, behind: Collection[DesktopId] = ()) -> bool:
        """Add a phone and show it every known desktop. False: the user has too many (4007).

        `behind`: desktops that it doesn't hear before `caught_up`.
        """
        joined = self._registry.admit_mobile(route.identity, route, behind)
        if joined is None:
            return False
        if joined.superseded is not None:
            joined.superseded.close(CloseReason.SUPERSEDED)
        user_id = route.identity.user_id
        user = self._users.get(user_id)
        if user is not None:
            now, now_ms = self._around.clock.monotonic(), self._around.clock.wall_ms()
            for desktop in list(user.desktops.values()):
                if self.neighbours.relaying.told(desktop):
                    route.offer(self._around.codec.notice(standing(desktop, now_ms), place(desktop)), now)
            self.neighbours.came(route)
            if not user.known_loaded:
                self.load_known(user_id)
        return True

    def caught_up(self, route: MobileRoute, desktop_id: DesktopId, at: Offset, followed: Followed | None) -> None:
        """Let a phone hear a desktop from now on, of which it has everything up to `at`.

        `followed`: what the journal told it on the way there of the order of connections; None if something is missing.
        """
        desktop = self._registry.find(route.identity.user_id, desktop_id)
        if desktop is not None:
            self.neighbours.relaying.caught_up(desktop, route, at, followed)
        self._registry.catch_up(route.identity.user_id, route, desktop_id)

    def part_mobile(self, route: MobileRoute) -> None:
        """The phone's connection is over."""
        if self._registry.part_mobile(route.identity.user_id, route):
            self.neighbours.went(route.identity.user_id)

    def fall_behind(self, route: MobileRoute, desktop_id: DesktopId) -> bool:
        """Have a phone hear a desktop no more before `caught_up`. False: so it is already, or the phone isn't there."""
        desktop = self._registry.find(route.identity.user_id, desktop_id)
        return desktop is not None and self._registry.fall_behind(desktop, route)

    def load_known(self, user_id: UserId) -> None:
        """Ask the store for the user's desktops of the past, unless it is being asked already."""
        if user_id not in self._awaiting:
            self._awaiting[user_id] = []
            self._around.mirror.load_known(user_id, lambda known: self._remember_soon(user_id, known))

    def await_known(self, user_id: UserId, then: Callable[[], object]) -> bool:
        """Call `then` when a desktop of this user comes, or the store has answered; it may ask to wait again.

        False: the store isn't being asked, or too many wait.
        """
        waiting = self._awaiting.get(user_id)
        if waiting is None or len(waiting) >= MOST_AWAITING:
            return False
        waiting.append(then)
        return True

    def _try_again(self, user_id: UserId) -> None:
        """A desktop came: what waited for it goes before what is sent to it now."""
        waiting = self._awaiting.get(user_id)
        if waiting:
            self._awaiting[user_id] = []
            for then in waiting:
                then()

    def load_what_is_missing(self) -> None:
        """Ask again for the past of every user who couldn't be shown it; called when the store is there."""
        if not self._missing:
            return
        self._missing = False
        for user_id in [user_id for user_id, user in self._users.items() if user.mobiles and not user.known_loaded]:
            self.load_known(user_id)

    def _remember_soon(self, user_id: UserId, known: list[KnownDesktop] | None) -> None:
        """What is connected to other nodes comes first: it isn't of the past."""
        self.neighbours.when_seen(user_id, partial(self._remember, user_id, known))

    def _remember(self, user_id: UserId, known: list[KnownDesktop] | None) -> None:
        waiting = self._awaiting.pop(user_id, [])
        if known is None:
            self._missing = True
        else:
            for desktop in self._registry.remember(user_id, known):
                self._notify(user_id, offline(desktop), None)
        for then in waiting:
            then()

    # -- what changed on other nodes -------------------------------------------------------------------------------

    def came_elsewhere(self, desktop: Desk, at: Offset | None) -> None:
        """A desktop is there, or has another name: tell its phones, and that it stands `at`."""
        self._notify(desktop.owner, online(desktop), at)

    def went_elsewhere(self, desktop: Desk) -> None:
        """A desktop is away: tell its phones."""
        self._notify(desktop.owner, offline(desktop), place(desktop))

    def disown(self, desktop: Desk) -> None:
        """A desktop has another owner now: tell the phones of the one it had."""
        self._tell_previous_owner(desktop, self._around.clock.wall_ms())

    def moved_away(self, desktop: Desk) -> None:
        """A desktop that was connected here is connected to another node, which mirrors it."""
        self._records.pop(desktop.desktop_id, None)
        self.neighbours.went(desktop.owner)

    # -- notices -------------------------------------------------------------------------------------------------

    def _notify(self, user_id: UserId, notice: Notice, place: Offset | None) -> None:
        phones = self._registry.phones_of(user_id)
        if not phones:
            return
        frame, now = self._around.codec.notice(notice, place), self._around.clock.monotonic()
        for phone in phones:
            phone.offer(frame, now)
