"""The other nodes: what they hold of the users who have somebody here, and what they are told (ADR 0011)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from itertools import count
from typing import Protocol

from actors.closing import CloseReason
from actors.ids import DesktopId, DeviceId, Epoch, NodeId, UserId
from actors.mail import Sender
from actors.nodes import Disowned, Ended, Gone, HeldDesktop, Listen, Outdated, Pieces, Share, Shared
from actors.notices import place
from actors.offsets import Offset
from actors.ports import Timer
from actors.registry import Registry, User
from actors.relaying import Desk, Relaying
from actors.routes import DesktopRoute, MobileRoute
from actors.surroundings import Surroundings

MEND_S = 1.0

NODE_LOST = "node_lost"
_UNKNOWN_REASON = "lost"


class Told(Protocol):
    """What the supervisor does when something changed elsewhere."""

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


class _Look(Enum):
    """Whether it is known what other nodes hold of a user. `BLIND`: the store was away."""

    ASKED = auto()
    SEEN = auto()
    BLIND = auto()


@dataclass(slots=True)
class _Elsewhere:
    """What other nodes hold of a user who has somebody here.

    Attributes:
        look: Whether the others were asked.
        shares: What each holds; those that hold nothing any more stay, for their version.
        newcomers: Connections that came since what this node holds was entered.
        gone: Desktops that went since then.
        waiting: Whoever waits for the first answer.
    """

    look: _Look = _Look.ASKED
    shares: dict[NodeId, Share] = field(default_factory=dict)
    newcomers: list[DesktopRoute | MobileRoute] = field(default_factory=list)
    gone: list[Gone] = field(default_factory=list)
    waiting: list[Callable[[], object]] = field(default_factory=list)


class Neighbours:
    """One a node. It never waits: what it asks is answered later.

    Args:
        around: What all actors share.
        registry: The supervisor's.
        supervisor: Is told what changed.
    """

    def __init__(self, around: Surroundings, registry: Registry[DesktopRoute, MobileRoute], supervisor: Told) -> None:
        self._around = around
        self._registry = registry
        self._supervisor = supervisor
        self.relaying = Relaying(around, registry, supervisor.came_elsewhere)
        self._users: dict[UserId, _Elsewhere] = {}
        self._changed: dict[UserId, None] = {}
        self._versions = count(1)
        self._missed: dict[NodeId | None, None] = {}
        self._mending: Timer | None = None

    # -- what changes here -----------------------------------------------------------------------------------------

    def came(self, route: DesktopRoute | MobileRoute) -> None:
        """A connection has joined."""
        user_id = route.identity.user_id
        self._elsewhere(user_id).newcomers.append(route)
        self._enter_soon(user_id)

    def went(self, user_id: UserId, gone: Gone | None = None) -> None:
        """A connection has parted; `gone`: and a desktop with it."""
        here = self._users.get(user_id)
        if here is None:
            return
        if gone is not None:
            here.gone.append(gone)
        if user_id not in self._registry.users:  # With the user, the registry has forgotten what is elsewhere.
            self.relaying.forget(user_id)
            here.shares.clear()
            here.look = _Look.ASKED
        self._enter_soon(user_id)

    def when_seen(self, user_id: UserId, then: Callable[[], object]) -> None:
        """Call `then` when it is known what other nodes hold of the user, or can't be known; perhaps at once."""
        here = self._users.get(user_id)
        if here is None or here.look is not _Look.ASKED:
            then()
        else:
            here.waiting.append(then)

    def when_heard(self, user_id: UserId, desktop_id: DesktopId, after: Offset, then: Callable[[], object]) -> None:
        """Call `then` when everything that can be had of what a desktop said behind `after` is here."""
        self.when_seen(user_id, partial(self._when_heard, user_id, desktop_id, after, then))

    def seen(self, user_id: UserId) -> bool:
        """Whether it is known what other nodes hold of the user."""
        here = self._users.get(user_id)
        return here is not None and here.look is _Look.SEEN

    def renewed(self, user_id: UserId, others: Mapping[NodeId, Share]) -> None:
        """This node's share was renewed, and others hold this."""
        for node_id, share in others.items():
            self._take(user_id, node_id, share, (), ())

    def nodes_with(self, sender: Sender) -> list[NodeId]:
        """The nodes that hold the phone of this device; without a device, phones whose tokens name none."""
        here = self._users.get(sender.user_id)
        shares = {} if here is None else here.shares
        if sender.device_id is None:
            return [node_id for node_id, share in shares.items() if share.nameless]
        return [node_id for node_id, share in shares.items() if sender.device_id in share.devices]

    def shares(self) -> Iterator[tuple[UserId, Share]]:
        """Return what this node holds of everybody, for renewing it."""
        for user_id in list(self._registry.users):
            yield user_id, self._share_of(user_id)

    # -- what comes from there ---------------------------------------------------------------------------------------

    def hear(self, node_id: NodeId, word: Shared | Listen | Pieces | Ended | Disowned | Outdated) -> None:
        """Take what another node says."""
        match word:
            case Pieces():
                self.relaying.hear_pieces(node_id, word)
            case Listen():
                self.relaying.listen(node_id, word)
            case Shared(user_id, share, gone):
                self._take(user_id, node_id, share, gone, ())
            case Ended():
                self.relaying.hear_end(node_id, word)
            case Disowned():
                self._disown(word)
            case Outdated():
                self._come_again(word)

    def missed(self, node_id: NodeId | None) -> None:
        """Words of a node (None: of any) were lost: what they may have said is asked for, once a second at most."""
        self._missed[node_id] = None
        if self._mending is None:
            self._mend()

    def _mend(self) -> None:
        self._mending = None
        missed, self._missed = self._missed, {}
        if not missed:
            return
        self._mending = self._around.scheduler.call_later(MEND_S, self._mend)
        # The word that was lost may have been the first that tells of a user there.
        for user_id in {**self._registry.users, **self._users}:
            self._enter_soon(user_id)
        for node_id in missed:
            self._mend_from(node_id)

    def _mend_from(self, node_id: NodeId | None) -> None:
        for user_id, here in self._users.items():
            if not here.shares:
                continue
            user = self._registry.users.get(user_id)
            for desktop in () if user is None else list(user.desktops.values()):
                self.relaying.missed(desktop, node_id)
                if desktop.connection is not None:
                    desktop.connection.look_for_mail()

    def gone(self, node_id: NodeId) -> None:
        """A node is no more, or can't be reached."""
        for user_id, here in list(self._users.items()):
            share = here.shares.get(node_id)
            if share is None:
                continue
            user = self._registry.users.get(user_id)
            for desktop in () if user is None else list(user.desktops.values()):
                self.relaying.gone(desktop, node_id)
            now_ms = self._around.clock.wall_ms()
            lost = tuple(Gone(each.desktop_id, each.epoch, now_ms, NODE_LOST) for each in share.desktops)
            self._take(user_id, node_id, Share(share.version + 1), lost, ())
            here.shares.pop(node_id, None)

    def anew(self) -> None:
        """The store has lost what this node entered, or couldn't be asked: enter everything again."""
        for user_id in {**self._registry.users, **self._users}:
            self._enter_soon(user_id)

    def owner_changed(self, desktop_id: DesktopId, epoch: Epoch, previous: UserId) -> None:
        """A desktop that came here had another owner: tell the node that may still hold it for that one."""
        self._around.cluster.enter(previous, None, partial(self._tell_holders, previous, desktop_id, epoch))

    # -- entering ------------------------------------------------------------------------------------------------

    def _elsewhere(self, user_id: UserId) -> _Elsewhere:
        here = self._users.get(user_id)
        if here is None:
            here = self._users[user_id] = _Elsewhere()
        return here

    def _enter_soon(self, user_id: UserId) -> None:
        if not self._changed:
            self._around.turns.wake(self._enter_changed)
        self._changed[user_id] = None

    def _enter_changed(self) -> None:
        changed, self._changed = self._changed, {}
        for user_id in changed:
            here = self._elsewhere(user_id)
            newcomers, here.newcomers = here.newcomers, []
            gone, here.gone = tuple(here.gone), []
            share = self._share_of(user_id)
            known = {node_id: each.version for node_id, each in here.shares.items()}
            entered = partial(self._entered, user_id, share, known, newcomers, gone)
            self._around.cluster.enter(user_id, share, entered)

    def _share_of(self, user_id: UserId) -> Share:
        """What this node holds of a user, as of now."""
        user = self._registry.users.get(user_id)
        version = next(self._versions)
        if user is None:
            return Share(version)
        held = tuple(_held(desktop) for desktop in user.desktops.values() if desktop.here)
        devices: dict[DeviceId, Epoch] = {device_id: phone.epoch for device_id, phone in user.devices.items()}
        return Share(version, held, devices, len(user.mobiles) - len(devices))

    def _entered(
        self,
        user_id: UserId,
        share: Share,
        known: Mapping[NodeId, int],
        newcomers: Sequence[DesktopRoute | MobileRoute],
        gone: tuple[Gone, ...],
        others: Mapping[NodeId, Share] | None,
    ) -> None:
        """The store has what this node holds, and has told what the others hold."""
        here = self._users.get(user_id)
        if here is None:
            return
        if others is not None:
            for node_id in others:
                self._around.cluster.send(node_id, Shared(user_id, share, gone))
            self._take_all(user_id, here, others, known, newcomers)
            self._keep_limits(user_id, here, newcomers)
        here.look = _Look.BLIND if others is None else _Look.SEEN
        self._listen_to_all(user_id)
        for route in newcomers:
            route.entered()
        waiting, here.waiting = here.waiting, []
        for then in waiting:
            then()
        if others is not None and user_id not in self._registry.users and user_id not in self._changed:
            del self._users[user_id]

    def _take_all(
        self,
        user_id: UserId,
        here: _Elsewhere,
        others: Mapping[NodeId, Share],
        known: Mapping[NodeId, int],
        newcomers: Sequence[DesktopRoute | MobileRoute],
    ) -> None:
        for node_id, theirs in others.items():
            self._take(user_id, node_id, theirs, (), newcomers)
        for node_id, old in list(here.shares.items()):
            # What came by the channel while the store was asked is newer than its answer.
            if node_id not in others and not old.empty and known.get(node_id) == old.version:
                self._take(user_id, node_id, Share(old.version + 1), (), newcomers)
                here.shares[node_id] = Share(old.version)  # The node's next one may have the number that was made up.

    # -- taking in -----------------------------------------------------------------------------------------------

    def _take(
        self,
        user_id: UserId,
        node_id: NodeId,
        share: Share,
        gone: tuple[Gone, ...],
        newcomers: Sequence[DesktopRoute | MobileRoute],
    ) -> None:
        """A node holds this of a user now. A share that is older than what is known says nothing new."""
        here, user = self._users.get(user_id), self._registry.users.get(user_id)
        if here is None or user is None:
            return
        old = here.shares.get(node_id)
        if old is not None and old.version >= share.version:
            return
        here.shares[node_id] = share
        for held in share.desktops:
            self._hold(user_id, node_id, held, newcomers)
        if self._registry.users.get(user_id) is not user:  # What was here is all superseded.
            return
        left = {each.desktop_id: each for each in gone}
        still = {held.desktop_id for held in share.desktops}
        for desktop in list(user.desktops.values()):
            if desktop.holder == node_id and desktop.desktop_id not in still:
                self._leave(desktop, left.get(desktop.desktop_id))
            if not share.phones and node_id in desktop.relays:
                self._registry.relay_to(desktop, node_id, None)
        for device_id, epoch in share.devices.items():
            own = user.devices.get(device_id)
            if own is not None and own.epoch < epoch:
                self._supersede(own, epoch, newcomers)

    def _hold(
        self, user_id: UserId, node_id: NodeId, held: HeldDesktop, newcomers: Sequence[DesktopRoute | MobileRoute]
    ) -> None:
        before = self._registry.find(user_id, held.desktop_id)
        was_here, known = (False, None) if before is None else (before.here, (before.holder, before.epoch))
        told = before is not None and self.relaying.told(before)
        joined = self._registry.hold_elsewhere(user_id, node_id, held)
        if joined is None:
            if before is not None and not before.connected and before.epoch > held.epoch:
                self._around.cluster.send(node_id, Outdated(user_id, held.desktop_id, before.epoch))
            return
        desktop = joined.desktop
        if was_here:
            self._supervisor.moved_away(desktop)
        if joined.previous is not None:
            self._supervisor.disown(joined.previous)
        if joined.superseded is not None:
            self._supersede(joined.superseded, held.epoch, newcomers)
        self.relaying.stop_relays(desktop)
        user = self._registry.users.get(user_id)
        if user is None or not user.mobiles:
            return
        if joined.appeared or known != (node_id, held.epoch):
            seen = self._users[user_id].look is _Look.SEEN
            watched = seen and any(phone not in newcomers for phone in user.mobiles)
            self.relaying.held(desktop, untold=joined.appeared or not told, watched=watched)
        if joined.renamed and not joined.appeared and self.relaying.told(desktop):
            self._supervisor.came_elsewhere(desktop, place(desktop))

    def _leave(self, desktop: Desk, gone: Gone | None) -> None:
        now_ms = self._around.clock.wall_ms()
        last_seen, reason = (now_ms, _UNKNOWN_REASON) if gone is None else (gone.last_seen, gone.reason)
        self.relaying.left(desktop)
        self._registry.leave_elsewhere(desktop, last_seen, reason)
        self._supervisor.went_elsewhere(desktop)

    def _supersede(
        self, route: DesktopRoute | MobileRoute, newer: Epoch, newcomers: Sequence[DesktopRoute | MobileRoute]
    ) -> None:
        """Another node has a newer connection of the same desktop or device."""
        if route in newcomers:
            # It came just now, so it is the newer one, and the nodes' clocks differ: it comes back with a later epoch.
            self._around.epochs.pass_by(newer)
            route.close(CloseReason.RESYNC)
        else:
            route.close(CloseReason.SUPERSEDED)

    def _keep_limits(self, user_id: UserId, here: _Elsewhere, newcomers: Sequence[DesktopRoute | MobileRoute]) -> None:
        """Of those who came just now, end the newest if the user has too many on all nodes together (4007)."""
        user, policy = self._registry.users.get(user_id), self._around.policy
        if user is None:
            return
        for route in reversed(newcomers):
            count_, most = (
                (_desktops(user), policy.max_desktops)
                if route.kind == "desktop"
                else (_phones(user, here), policy.max_mobiles)
            )
            if count_ > most:
                route.close(CloseReason.CONNECTION_LIMIT)

    def _listen_to_all(self, user_id: UserId) -> None:
        """Listen to what is elsewhere if phones are here, and to nothing if not."""
        user = self._registry.users.get(user_id)
        for desktop in () if user is None else list(user.desktops.values()):
            if desktop.holder is None:
                continue
            if user is not None and not user.mobiles:
                self.relaying.unheard(desktop)
            elif desktop.copy is None:
                self.relaying.held(desktop, untold=True, watched=False)

    def _when_heard(self, user_id: UserId, desktop_id: DesktopId, after: Offset, then: Callable[[], object]) -> None:
        desktop = self._registry.find(user_id, desktop_id)
        if desktop is None:
            then()
        else:
            self.relaying.when_heard(desktop, after, then)

    # -- owners ----------------------------------------------------------------------------------------------------

    def _tell_holders(
        self, user_id: UserId, desktop_id: DesktopId, epoch: Epoch, others: Mapping[NodeId, Share] | None
    ) -> None:
        for node_id, share in (others or {}).items():
            if any(held.desktop_id == desktop_id and held.epoch < epoch for held in share.desktops):
                self._around.cluster.send(node_id, Disowned(user_id, desktop_id, epoch))

    def _come_again(self, word: Outdated) -> None:
        """The connection that is here was thought to be over: it comes back, and is newer than all there were."""
        desktop = self._registry.find(word.user_id, word.desktop_id)
        if desktop is not None and desktop.connection is not None and desktop.epoch < word.epoch:
            self._around.epochs.pass_by(word.epoch)
            desktop.connection.close(CloseReason.RESYNC)

    def _disown(self, word: Disowned) -> None:
        desktop = self._registry.find(word.user_id, word.desktop_id)
        if desktop is None or not desktop.here or desktop.epoch >= word.epoch:
            return
        superseded = desktop.connection
        self._registry.disown(desktop)
        self._supervisor.disown(desktop)
        if superseded is not None:
            superseded.close(CloseReason.SUPERSEDED)


def _held(desktop: Desk) -> HeldDesktop:
    return HeldDesktop(
        desktop.desktop_id, desktop.epoch, desktop.name, desktop.platform, desktop.since, desktop.last_seen
    )


def _desktops(user: User[DesktopRoute, MobileRoute]) -> int:
    return sum(desktop.connected for desktop in user.desktops.values())


def _phones(user: User[DesktopRoute, MobileRoute], here: _Elsewhere) -> int:
    """How many phones a user has on all nodes; a device that moves counts once."""
    devices = set(user.devices).union(*(share.devices for share in here.shares.values()))
    nameless = sum(share.nameless for share in here.shares.values())
    return len(devices) + nameless + len(user.mobiles) - len(user.devices)
