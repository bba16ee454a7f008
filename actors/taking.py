"""Takes in what other nodes hold of a user: who is connected where, and who has to yield (ADR 0011)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from actors.closing import CloseReason
from actors.elsewhere import MOVED, Elsewhere, Joined, Look
from actors.fanout import FanOut
from actors.ids import Epoch, NodeId, UserId
from actors.nodes import Disowned, Gone, HeldDesktop, Outdated, Share
from actors.notices import place
from actors.offsets import Offset
from actors.registry import DesktopJoined, Registry, User
from actors.relaying import Desk, Relaying
from actors.routes import DesktopRoute, MobileRoute
from actors.surroundings import Surroundings

_UNKNOWN_REASON = "lost"
CLOCKS_DIFFER_US = 1_000
"""Nodes set their epochs by Redis' clock (`actors.clock.EpochSource`); so far they may be apart."""


class Affected(Protocol):
    """Whoever does what follows from a change elsewhere: the supervisor."""

    def came_elsewhere(self, desktop: Desk, at: Offset | None) -> None:
        """A desktop is there, or has another name: tell its phones, and that it stands `at`."""
        ...

    def went_elsewhere(self, desktop: Desk) -> None:
        """A desktop is away: tell its phones."""
        ...

    def disown(self, desktop: Desk) -> None:
        """A desktop has another owner now: tell the phones of the one it had."""
        ...

    def moved_away(self, desktop: Desk) -> None:
        """A desktop that was connected here is connected to another node."""
        ...


@dataclass(frozen=True, slots=True)
class _Before:
    """How a desktop was before another node said that it has it. `told`: and the phones here know."""

    here: bool = False
    holder: NodeId | None = None
    epoch: Epoch = Epoch(0)  # noqa: RUF009 - a plain number
    told: bool = False

    @classmethod
    def of(cls, desktop: Desk | None, *, told: bool) -> "_Before":
        return cls() if desktop is None else cls(desktop.here, desktop.holder, desktop.epoch, told)


class Taking:
    """One a node.

    Args:
        around: What all actors share.
        registry: The supervisor's.
        relaying: Listens to desktops that are elsewhere.
        fanout: Lets others hear those that are here.
        affected: Is told what changed.
        users: What is known so far, of each user who has somebody here; this node's neighbours keep it.
        look_again: Has the store asked again what the others hold of a user.
    """

    def __init__(
        self,
        around: Surroundings,
        registry: Registry[DesktopRoute, MobileRoute],
        relaying: Relaying,
        fanout: FanOut,
        affected: Affected,
        users: Mapping[UserId, Elsewhere],
        look_again: Callable[[UserId], None],
    ) -> None:
        self._around = around
        self._registry = registry
        self._relaying = relaying
        self._fanout = fanout
        self._affected = affected
        self._users = users
        self._look_again = look_again

    def take(
        self,
        user_id: UserId,
        node_id: NodeId,
        share: Share,
        gone: tuple[Gone, ...],
        newcomers: Sequence[Joined],
    ) -> None:
        """A node holds this of a user now. A share that is older than what is known says nothing new."""
        self._doubt_all(user_id, gone)
        here, user = self._users.get(user_id), self._registry.users.get(user_id)
        if here is None or user is None or here.knows(node_id, share):
            return
        old = here.shares.get(node_id, Share(0))
        here.shares[node_id] = share
        self.hold_all(user_id, node_id, share, newcomers)
        if self._registry.users.get(user_id) is not user:  # What was here is all superseded.
            return
        left = {each.desktop_id: each for each in gone}
        for desktop in list(user.desktops.values()):
            reason = left.get(desktop.desktop_id)
            if desktop.holder == node_id and not share.holds(desktop.desktop_id):
                if reason is not None and reason.reason == MOVED:  # The store knows where to.
                    here.shares[node_id] = old
                    self._look_again(user_id)
                else:
                    self._leave(desktop, reason)
            if not share.phones and node_id in desktop.relays:
                self._registry.relay_to(desktop, node_id, None)
        self._yield_devices(user, share, newcomers)

    def _doubt_all(self, user_id: UserId, gone: tuple[Gone, ...]) -> None:
        """Whatever is known of the share by now, the store tells of nobody who has gone."""
        for each in gone:
            desktop = self._registry.find(user_id, each.desktop_id)
            if desktop is not None:
                self._relaying.doubt(desktop, each.epoch)

    def _yield_devices(self, user: User[DesktopRoute, MobileRoute], share: Share, newcomers: Sequence[Joined]) -> None:
        for device_id, epoch in share.devices.items():
            own = user.devices.get(device_id)
            if own is not None and own.epoch < epoch:
                self._supersede(own, epoch, newcomers)

    def hold_all(self, user_id: UserId, node_id: NodeId, share: Share, newcomers: Sequence[Joined]) -> None:
        """These desktops are connected to the node, unless newer is known of them."""
        for held in share.desktops:
            self._hold(user_id, node_id, held, newcomers)

    def _hold(self, user_id: UserId, node_id: NodeId, held: HeldDesktop, newcomers: Sequence[Joined]) -> None:
        before = self._registry.find(user_id, held.desktop_id)
        was = _Before.of(before, told=before is not None and self._relaying.told(before))
        joined = self._registry.hold_elsewhere(user_id, node_id, held)
        if joined is None:
            if before is not None and not before.connected and before.epoch > held.epoch:
                self._around.cluster.send(node_id, Outdated(user_id, held.desktop_id, before.epoch))
            return
        desktop = joined.desktop
        if was.here:
            moved = Gone(held.desktop_id, was.epoch, self._around.clock.wall_ms(), MOVED)
            self._users[user_id].gone.append(moved)
            self._affected.moved_away(desktop)
        if joined.previous is not None:
            self._affected.disown(joined.previous)
        if joined.superseded is not None:
            self._supersede(joined.superseded, held.epoch, newcomers)
        self._fanout.stop(desktop)
        user = self._registry.users.get(user_id)
        if user is not None and user.mobiles:
            self._listen(user, joined, was, newcomers)
        else:
            self._relaying.unheard(desktop)  # What it says there would be missing here, if it comes back.

    def _listen(
        self,
        user: User[DesktopRoute, MobileRoute],
        joined: DesktopJoined[DesktopRoute, MobileRoute],
        was: "_Before",
        newcomers: Sequence[Joined],
    ) -> None:
        """Phones here are to hear the desktop, and to be told that it is there, if they weren't."""
        desktop = joined.desktop
        if joined.appeared or (was.holder, was.epoch) != (desktop.holder, desktop.epoch):
            seen = self._users[desktop.owner].look is Look.SEEN
            watched = seen and any(phone not in newcomers for phone in user.mobiles)
            self._relaying.held(
                desktop, untold=joined.appeared or not was.told, watched=watched, was=was.epoch if was.here else None
            )
        if joined.renamed and not joined.appeared and self._relaying.told(desktop):
            self._affected.came_elsewhere(desktop, place(desktop))

    def _leave(self, desktop: Desk, gone: Gone | None) -> None:
        now_ms = self._around.clock.wall_ms()
        last_seen, reason = (now_ms, _UNKNOWN_REASON) if gone is None else (gone.last_seen, gone.reason)
        self._relaying.left(desktop)
        self._registry.leave_elsewhere(desktop, last_seen, reason)
        self._affected.went_elsewhere(desktop)

    def _supersede(self, route: Joined, newer: Epoch, newcomers: Sequence[Joined]) -> None:
        """Another node has a newer connection of the same desktop or device."""
        if route in newcomers or newer - route.epoch < CLOCKS_DIFFER_US:
            # It came just now, and may be the newer one if the clocks differ: it comes back, with a later epoch.
            self._around.epochs.pass_by(newer)
            route.close(CloseReason.RESYNC)
        else:
            route.close(CloseReason.SUPERSEDED)

    def come_again(self, word: Outdated) -> None:
        """The connection that is here was thought to be over: it comes back, and is newer than all there were."""
        desktop = self._registry.find(word.user_id, word.desktop_id)
        if desktop is not None and desktop.connection is not None and desktop.epoch < word.epoch:
            self._around.epochs.pass_by(word.epoch)
            desktop.connection.close(CloseReason.RESYNC)

    def disown(self, word: Disowned) -> None:
        """A desktop that is here has another owner, on another node."""
        desktop = self._registry.find(word.user_id, word.desktop_id)
        if desktop is None or not desktop.here or desktop.epoch >= word.epoch:
            return
        superseded = desktop.connection
        self._registry.disown(desktop)
        self._affected.disown(desktop)
        if superseded is not None:
            superseded.close(CloseReason.SUPERSEDED)
