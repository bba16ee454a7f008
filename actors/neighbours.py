"""The other nodes: what they hold of the users who have somebody here, and what they are told (ADR 0011)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count

from actors.closing import CloseReason
from actors.elsewhere import NODE_LOST, Elsewhere, Joined, Look
from actors.fanout import FanOut
from actors.hearing import call_all
from actors.ids import DesktopId, DeviceId, Epoch, NodeId, UserId
from actors.mail import Sender
from actors.nodes import Disowned, Ended, Gone, HeldDesktop, Listen, Outdated, Pieces, Share, Shared
from actors.offsets import Offset
from actors.ports import Timer
from actors.registry import Registry
from actors.relaying import Desk, Relaying
from actors.routes import DesktopRoute, MobileRoute
from actors.surroundings import Surroundings
from actors.taking import Affected, Taking

MEND_S = 1.0

MOST_GONE = 64
"""So many desktops of a user that went while the store was away are remembered, to tell the others."""


class Neighbours:
    """One a node. It never waits: what it asks is answered later.

    Args:
        around: What all actors share.
        registry: The supervisor's.
        supervisor: Is told what changed.
    """

    def __init__(
        self, around: Surroundings, registry: Registry[DesktopRoute, MobileRoute], supervisor: Affected
    ) -> None:
        self._around = around
        self._registry = registry
        self.relaying = Relaying(around, registry, supervisor.came_elsewhere)
        self._users: dict[UserId, Elsewhere] = {}
        self.fanout = FanOut(around, registry, self.relaying.doubt)
        self._taking = Taking(around, registry, self.relaying, self.fanout, supervisor, self._users, self._enter_soon)
        self._changed: dict[UserId, None] = {}
        self._versions = count(1)
        self._missed: dict[NodeId | None, None] = {}
        self._mending: Timer | None = None

    # -- what changes here -----------------------------------------------------------------------------------------

    def came(self, route: Joined) -> None:
        """A connection has joined."""
        user_id = route.identity.user_id
        here = self._elsewhere(user_id)
        here.newcomers.append(route)
        here.entering[route] = None
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
            here.look = Look.ASKED
        self._enter_soon(user_id)

    def when_seen(self, user_id: UserId, then: Callable[[], object]) -> None:
        """Call `then` when it is known what other nodes hold of the user, or can't be known; perhaps at once."""
        here = self._users.get(user_id)
        if here is None or here.look is not Look.ASKED:
            then()
        else:
            here.waiting.append(then)

    def when_heard(self, user_id: UserId, desktop_id: DesktopId, after: Offset, then: Callable[[], object]) -> None:
        """Call `then` when everything that can be had of what a desktop said behind `after` is here."""
        self.when_seen(user_id, partial(self._when_heard, user_id, desktop_id, after, then))

    def seen(self, user_id: UserId) -> bool:
        """Whether it is known what other nodes hold of the user."""
        here = self._users.get(user_id)
        return here is not None and here.look is Look.SEEN

    def renewed(self, user_id: UserId, others: Mapping[NodeId, Share]) -> None:
        """This node's share was renewed, and others hold this."""
        for node_id, share in others.items():
            self._taking.take(user_id, node_id, share, (), ())

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
                self.fanout.listen(node_id, word)
            case Shared(user_id, share, gone):
                self._taking.take(user_id, node_id, share, gone, ())
            case Ended():
                self.relaying.hear_end(node_id, word)
            case Disowned():
                self._taking.disown(word)
            case Outdated():
                self._taking.come_again(word)

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
            if not here.shares and node_id is not None:
                continue
            for desktop in self._registry.desktops_of(user_id):
                self.relaying.missed(desktop, node_id)
                if desktop.connection is not None:
                    desktop.connection.look_for_mail()

    def gone(self, node_id: NodeId) -> None:
        """A node is no more, or can't be reached."""
        for user_id, here in list(self._users.items()):
            share = here.shares.get(node_id)
            if share is None:
                continue
            for desktop in self._registry.desktops_of(user_id):
                self.relaying.gone(desktop, node_id)
            now_ms = self._around.clock.wall_ms()
            lost = tuple(Gone(each.desktop_id, each.epoch, now_ms, NODE_LOST) for each in share.desktops)
            self._taking.take(user_id, node_id, Share(share.version + 1), lost, ())
            here.shares.pop(node_id, None)

    def anew(self) -> None:
        """The store has lost what this node entered, or couldn't be asked; or others took this node for dead.

        Everything is entered again; and listened to, since others send nothing to a dead node.
        """
        self.missed(None)

    def owner_changed(self, desktop_id: DesktopId, epoch: Epoch, previous: UserId) -> None:
        """A desktop that came here had another owner: tell the node that may still hold it for that one."""
        self._around.cluster.enter(previous, None, partial(self._tell_holders, previous, desktop_id, epoch))

    # -- entering ------------------------------------------------------------------------------------------------

    def _elsewhere(self, user_id: UserId) -> Elsewhere:
        here = self._users.get(user_id)
        if here is None:
            here = self._users[user_id] = Elsewhere()
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
        newcomers: Sequence[Joined],
        gone: tuple[Gone, ...],
        others: Mapping[NodeId, Share] | None,
    ) -> None:
        """The store has what this node holds, and has told what the others hold."""
        here = self._users.get(user_id)
        if here is None:
            return
        for route in newcomers:
            here.entering.pop(route, None)
        if others is None:
            here.gone[:0] = gone[-MOST_GONE:]
        else:
            for node_id in others:
                self._around.cluster.send(node_id, Shared(user_id, share, gone))
            self._take_all(user_id, here, others, known, newcomers)
            self._keep_limits(user_id, here, newcomers)
            self._believe_those_here(user_id)
        here.look = Look.BLIND if others is None else Look.SEEN
        self._listen_to_all(user_id)
        for route in newcomers:
            route.entered()
        waiting, here.waiting = here.waiting, []
        call_all(waiting)
        if others is not None and user_id not in self._registry.users and user_id not in self._changed:
            del self._users[user_id]

    def _take_all(
        self,
        user_id: UserId,
        here: Elsewhere,
        others: Mapping[NodeId, Share],
        known: Mapping[NodeId, int],
        newcomers: Sequence[Joined],
    ) -> None:
        for node_id, theirs in others.items():  # Who came somewhere before who went elsewhere: nobody was away.
            if not here.knows(node_id, theirs):
                self._taking.hold_all(user_id, node_id, theirs, newcomers)
        for node_id, theirs in others.items():
            self._taking.take(user_id, node_id, theirs, (), newcomers)
        for node_id, old in list(here.shares.items()):
            # What came by the channel while the store was asked is newer than its answer.
            if node_id not in others and not old.empty and known.get(node_id) == old.version:
                self._taking.take(user_id, node_id, Share(old.version + 1), (), newcomers)
                here.shares[node_id] = Share(old.version)  # The node's next one may have the number that was made up.

    def _believe_those_here(self, user_id: UserId) -> None:
        """No node has a newer connection of the desktops that are connected here."""
        for desktop in self._registry.desktops_of(user_id):
            desktop.doubtful &= desktop.connection is None

    def _keep_limits(self, user_id: UserId, here: Elsewhere, newcomers: Sequence[Joined]) -> None:
        """Of those who came just now, end the newest if the user has too many on all nodes together (4007)."""
        user, policy = self._registry.users.get(user_id), self._around.policy
        if user is None:
            return
        for route in reversed(newcomers):
            count_, most = (
                (sum(desktop.connected for desktop in user.desktops.values()), policy.max_desktops)
                if route.kind == "desktop"
                else (here.phones_with(user), policy.max_mobiles)
            )
            later = sum(each.kind == route.kind and each is not route for each in here.entering)
            if count_ - later > most:
                route.close(CloseReason.CONNECTION_LIMIT)

    def _listen_to_all(self, user_id: UserId) -> None:
        """Listen to what is elsewhere if phones are here, and to nothing if not."""
        phones = self._registry.phones_of(user_id)
        for desktop in self._registry.desktops_of(user_id):
            if desktop.holder is None:
                continue
            if not phones:
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


def _held(desktop: Desk) -> HeldDesktop:
    return HeldDesktop(
        desktop.desktop_id, desktop.epoch, desktop.name, desktop.platform, desktop.since, desktop.last_seen
    )
