"""What desktops say, from node to node: listening to desktops that are elsewhere (ADR 0011).

The node that has the phones asks; so what a lost word spoils, the next asking mends.
"""

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TypeAlias

from actors.copy import Copy
from actors.hearing import ANSWER_S, Handovers, Hearing, call_all, without_those_ahead
from actors.ids import DesktopId, Epoch, NodeId, UserId
from actors.nodes import Ended, Listen, Pieces
from actors.notices import place
from actors.offsets import Offset
from actors.order import Followed
from actors.registry import Desktop, Registry
from actors.routes import DesktopRoute, MobileRoute
from actors.surroundings import Surroundings

Desk: TypeAlias = Desktop[DesktopRoute, MobileRoute]


class Relaying:
    """One a node.

    Args:
        around: What all actors share.
        registry: The supervisor's.
        announce: Tells the phones that a desktop is there, and where it stands.
    """

    def __init__(
        self,
        around: Surroundings,
        registry: Registry[DesktopRoute, MobileRoute],
        announce: Callable[[Desk, Offset | None], None],
    ) -> None:
        self._around = around
        self._registry = registry
        self._announce = announce
        self._asks = count(1)
        self._hearings: dict[UserId, dict[DesktopId, Hearing]] = {}
        self._handovers = Handovers(around.scheduler)

    # -- where desktops are ----------------------------------------------------------------------------------------

    def held(self, desktop: Desk, *, untold: bool, watched: bool, was: Epoch | None = None) -> None:
        """The desktop is connected to another node, and phones here are to hear it.

        `was`: the epoch of the connection that it had here until now.
        """
        hearing = self._hearing(desktop)
        if hearing is None:
            hearing = Hearing(untold=untold, watched=watched, was=was)
            self._hearings.setdefault(desktop.owner, {})[desktop.desktop_id] = hearing
        hearing.untold |= untold
        copy = desktop.copy
        if copy is not None and copy.node_id != desktop.holder and copy.heard and not copy.finished:
            if not hearing.waits_for_end:
                hearing.waits_for_end = True
                self._set_timer(desktop, hearing)
        elif copy is None or copy.node_id != desktop.holder or not copy.heard:
            self._begin(desktop, hearing)
        else:
            copy.epoch = desktop.epoch
            self._ask(desktop, hearing, copy.at)
        self._handovers.end(desktop.desktop_id)

    def left(self, desktop: Desk) -> None:
        """The desktop is connected nowhere any more; phones that don't know yet that it was are told so first."""
        if not self.told(desktop):
            self._announce(desktop, place(desktop))
        waiting = self._drop(desktop)
        if desktop.copy is not None:
            desktop.copy.heard = False
        call_all(waiting)

    def taken_over(self, desktop: Desk) -> bool:
        """The desktop is connected here now. Phones that heard it elsewhere go on when it is known how that ended.

        Return whether they haven't been told yet that it is there.
        """
        hearing = self._hearing(desktop)
        untold = hearing is not None and hearing.untold
        heard = self._heard_last(desktop)
        copy, desktop.copy, desktop.follows = desktop.copy, None, None
        waiting = [*self._handovers.take(desktop.desktop_id), *self._drop(desktop)]
        doubtful, desktop.doubtful = desktop.doubtful, False
        ended = not doubtful and (copy is None or copy.finished)
        if ended and heard is not None:
            self._followed(desktop, heard, desktop.epoch)
        if copy is None and doubtful and desktop.ring is not None:
            self.give_up_ring(desktop)
        if copy is not None and not ended:
            desktop.ring = None
            if copy.at is not None:
                self._handovers.begin(desktop.desktop_id, copy.at, waiting)
                self._missed(desktop, copy.at)
                return untold
        call_all(waiting)
        return untold

    def doubt(self, desktop: Desk, epoch: Epoch) -> None:
        """There was a connection of this epoch: if nobody knew of it, what it said is missing, and phones are told."""
        handover = self._handovers.get(desktop.desktop_id)
        if handover is not None and handover.at.epoch < epoch < desktop.epoch:  # What is waited for isn't all.
            self._handovers.end(desktop.desktop_id)
        newer = desktop.order.there_was(epoch)
        if newer is not None:
            self._lost_before(desktop, newer)

    def _lost_before(self, desktop: Desk, newer: int) -> None:
        """What was said before the connection of this epoch isn't all here, and can't be had: phones are told."""
        if desktop.ring is not None and desktop.ring.epoch >= newer:
            desktop.ring.cut(Epoch(newer))
        else:
            desktop.ring = None
            if desktop.copy is not None:
                desktop.copy.ring = None
        at = place(desktop) or Offset(newer, 0)
        for phone in self._registry.phones_of(desktop.owner):
            phone.missed(desktop.desktop_id, at)

    def give_up_ring(self, desktop: Desk) -> None:
        """Something was said elsewhere that isn't here: phones go on by the journal."""
        ring, desktop.ring, desktop.follows = desktop.ring, None, None
        if ring is not None:
            self._missed(desktop, ring.head)

    def unheard(self, desktop: Desk) -> None:
        """No phone here listens any more to a desktop that is elsewhere."""
        waiting = self._drop(desktop)
        desktop.copy = desktop.ring = None
        call_all(waiting)

    def disowned(self, desktop: Desk) -> None:
        """The desktop is another user's now; if it becomes this user's again, phones go on where they stand."""
        at = desktop.heard_up_to
        if at is not None:
            for phone in self._registry.phones_of(desktop.owner):
                phone.stands(desktop.desktop_id, at)
        call_all(self._drop(desktop))

    def forget(self, user_id: UserId) -> None:
        """Nobody of the user is here any more."""
        for hearing in self._hearings.pop(user_id, {}).values():
            hearing.stop()

    def told(self, desktop: Desk) -> bool:
        """Whether phones have been told how a desktop is; if not, they are in a moment."""
        if desktop.holder is None:
            return True
        hearing = self._hearing(desktop)
        return hearing is not None and not hearing.untold

    def when_heard(self, desktop: Desk, after: Offset, then: Callable[[], object]) -> None:
        """Call `then` when everything that can be had of what the desktop said behind `after` is here, or at once."""
        handover, hearing = self._handovers.get(desktop.desktop_id), self._hearing(desktop)
        if handover is not None:
            handover.waiting.append(partial(self.when_heard, desktop, after, then))
        elif desktop.holder is None or hearing is None:
            then()
        elif hearing.waits_for_end:
            hearing.waiting.append((hearing.asked, partial(self.when_heard, desktop, after, then)))
        elif desktop.copy is not None and desktop.copy.covers(after):
            then()
        else:
            hearing.waiting.append((self._ask(desktop, hearing, after), then))

    def caught_up(self, desktop: Desk, phone: MobileRoute, at: Offset, followed: Followed | None) -> None:
        """A phone that was behind hears the desktop from now on; it has everything up to `at`."""
        for before, behind in () if followed is None else (*followed, (at.epoch, desktop.epoch)):
            desktop.order.seems_to_follow(before, behind)
        copy = desktop.copy
        if copy is not None and (copy.at is None or at > copy.at):  # It had some from the journal.
            copy.ahead[phone] = at

    def missed(self, desktop: Desk, node_id: NodeId | None) -> None:
        """Words of a node (None: of any) were lost: ask for what may have been in them."""
        hearing, copy = self._hearing(desktop), desktop.copy
        if node_id is None or desktop.connection is None:
            desktop.doubtful = True
            if copy is not None:
                copy.ended = False  # It may have said more, there or elsewhere.
        if hearing is not None and copy is not None and node_id in (None, copy.node_id) and not hearing.waits_for_end:
            self._ask(desktop, hearing, copy.at)

    def gone(self, desktop: Desk, node_id: NodeId) -> None:
        """A node says nothing any more: its last words are not waited for."""
        hearing = self._hearing(desktop)
        awaited = desktop.copy if hearing is not None and hearing.waits_for_end else None
        if hearing is not None and awaited is not None and awaited.node_id == node_id:
            self._begin(desktop, hearing)

    # -- what other nodes say --------------------------------------------------------------------------------------

    def hear_pieces(self, node_id: NodeId, pieces: Pieces) -> None:
        """Take what a desktop said there to the phones here."""
        desktop = self._registry.find(pieces.user_id, pieces.desktop_id)
        hearing = None if desktop is None else self._hearing(desktop)
        if desktop is None or hearing is None or desktop.copy is None or desktop.copy.node_id != node_id:
            return
        copy, at = desktop.copy, desktop.copy.at
        self._look_for_older(desktop, at, pieces)
        taken = copy.take(pieces)
        desktop.ring = copy.ring
        if at is None and copy.at is not None:
            self._mend_those_left(desktop, copy, copy.at)
        if taken.missed_from is not None:
            self._missed(desktop, taken.missed_from)
        now, listeners = self._around.clock.monotonic(), desktop.listeners
        if copy.ahead and taken.frames:
            listeners = without_those_ahead(copy, listeners, taken, now)
        for frame in taken.frames:
            for phone in listeners:
                phone.offer(frame, now)
        self._around.tallies.from_nodes += len(taken.frames) * len(listeners)
        if taken.missed_from is None and at is not None and copy.at is not None and copy.at.epoch != at.epoch:
            self._followed(desktop, at.epoch, copy.at.epoch)
        if taken.ask and not hearing.waits_for_end:
            self._ask(desktop, hearing, copy.at)
        if taken.heard:
            self._heard(desktop, hearing, pieces.ask)

    def _look_for_older(self, desktop: Desk, at: Offset | None, pieces: Pieces) -> None:
        """A connection that spoke there before the one that was heard last: phones here may have gone on without it."""
        if at is not None and pieces.epoch < at.epoch and (pieces.frames or pieces.first > 1):
            self.doubt(desktop, pieces.epoch)

    def hear_end(self, node_id: NodeId, ended: Ended) -> None:
        """A desktop's connection there has said its last."""
        desktop, handover = self._registry.find(ended.user_id, ended.desktop_id), self._handovers.get(ended.desktop_id)
        if desktop is None:
            return
        if handover is not None:
            if handover.at == ended.offset:
                self._follow(desktop, handover.at)
            self._handovers.end(ended.desktop_id)
            return
        hearing, copy = self._hearing(desktop), desktop.copy
        if copy is None or copy.node_id != node_id:
            return
        copy.end(ended.offset)
        if hearing is not None and hearing.waits_for_end:
            self._begin(desktop, hearing)

    # -- within --------------------------------------------------------------------------------------------------

    def _heard_last(self, desktop: Desk) -> int | None:
        """Return the epoch of what phones here heard last of a desktop, or the oldest that it may be."""
        at = desktop.heard_up_to
        if at is not None:
            return at.epoch
        places = [phone.has_all_up_to(desktop.desktop_id) for phone in self._registry.phones_of(desktop.owner)]
        return min((each.epoch for each in places if each is not None), default=None)

    def _begin(self, desktop: Desk, hearing: Hearing) -> None:
        """Ask the node that the desktop is connected to, from where the phones here stand."""
        if desktop.holder is None:
            return
        hearing.waits_for_end = False
        waiting = hearing.answered(hearing.asked)
        ahead = {} if desktop.copy is None else desktop.copy.ahead
        first = desktop.ring is None and hearing.was is None and (desktop.copy is None or desktop.copy.at is None)
        desktop.copy = copy = self._continued(desktop, desktop.holder, hearing)
        copy.ahead = ahead
        desktop.ring = copy.ring
        self._ask(desktop, hearing, copy.at)
        if hearing.watched:
            self._tell(desktop, hearing, Offset(desktop.epoch, 0))
        self._let_in(desktop, copy, first=first)
        call_all(waiting)

    def _let_in(self, desktop: Desk, copy: Copy, *, first: bool) -> None:
        """See to phones that stand elsewhere than the others.

        `first`: this node never heard the desktop before; so one that came with less misses what is in between.
        """
        at = copy.at
        for phone in self._registry.phones_of(desktop.owner):
            reached = phone.reached(desktop.desktop_id)
            if reached is None:
                continue
            if at is None or (first and reached < at):
                phone.fell_behind(desktop.desktop_id, reached)
            elif reached > at:
                copy.ahead[phone] = reached

    def _continued(self, desktop: Desk, node_id: NodeId, hearing: Hearing) -> Copy:
        """Return a copy that goes on where the phones stand."""
        before, policy = desktop.copy, self._around.policy
        doubtful, desktop.doubtful = desktop.doubtful, False
        bounds = policy.ring_frames, policy.ring_bytes
        if before is not None and before.at is not None:
            ended = before.finished and not doubtful
            return Copy(node_id, desktop.epoch, bounds=bounds, ring=before.ring, at=before.at, ended=ended)
        if before is None and desktop.ring is not None:  # It was connected here, and all that it said came.
            ring, ended = desktop.ring, not doubtful
            return Copy(node_id, desktop.epoch, bounds=bounds, ring=ring, at=ring.head, ended=ended)
        if before is None and hearing.was is not None:  # It said nothing.
            return Copy(node_id, desktop.epoch, bounds=bounds, at=Offset(hearing.was, 0), ended=not doubtful)
        at = Offset(desktop.epoch, 0) if hearing.watched else None
        return Copy(node_id, desktop.epoch, bounds=bounds, at=at)

    def _ask(self, desktop: Desk, hearing: Hearing, after: Offset | None) -> int:
        if desktop.holder is None:
            return hearing.asked
        hearing.asked = next(self._asks)
        word = Listen(desktop.owner, desktop.desktop_id, hearing.asked, after)
        self._around.cluster.send(desktop.holder, word)
        if hearing.timer is None:
            self._set_timer(desktop, hearing)
        return hearing.asked

    def _heard(self, desktop: Desk, hearing: Hearing, ask: int) -> None:
        if ask >= hearing.asked and not hearing.waits_for_end:
            hearing.stop()
            desktop.doubtful = False
        self._tell(desktop, hearing, place(desktop))
        call_all(hearing.answered(ask))

    def _tell(self, desktop: Desk, hearing: Hearing, at: Offset | None) -> None:
        """Tell the phones that the desktop is there, unless they know."""
        if hearing.untold:
            hearing.untold = False
            self._announce(desktop, at)

    def _set_timer(self, desktop: Desk, hearing: Hearing) -> None:
        hearing.stop()
        hearing.timer = self._around.scheduler.call_later(ANSWER_S, self._unanswered, desktop, hearing)

    def _unanswered(self, desktop: Desk, hearing: Hearing) -> None:
        """Nothing came in time: go on with what there is, and ask again."""
        hearing.timer = None
        if hearing.waits_for_end:
            self._begin(desktop, hearing)
            return
        self._tell(desktop, hearing, place(desktop))
        waiting = hearing.answered(hearing.asked)
        if desktop.copy is not None:
            self._ask(desktop, hearing, desktop.copy.at)
        call_all(waiting)

    @staticmethod
    def _mend_those_left(desktop: Desk, copy: Copy, at: Offset) -> None:
        """Phones that went by the journal while nobody answered miss what was said before the answer."""
        ahead, copy.ahead = copy.ahead, {phone: reached for phone, reached in copy.ahead.items() if reached > at}
        for phone, reached in ahead.items():
            if reached < at:
                phone.fell_behind(desktop.desktop_id, reached)

    def _missed(self, desktop: Desk, at: Offset) -> None:
        """The phones that listen have everything up to here only."""
        for phone in self._registry.phones_of(desktop.owner):
            phone.fell_behind(desktop.desktop_id, at)

    def _followed(self, desktop: Desk, before: int, behind: int) -> bool:
        """Phones here heard nothing in between; False: but there was something."""
        belied = desktop.order.followed(before, behind)
        if belied:
            self._lost_before(desktop, behind)
        return not belied

    def _follow(self, desktop: Desk, end: Offset) -> None:
        if not self._followed(desktop, end.epoch, desktop.epoch):
            return
        if desktop.ring is None:
            desktop.follows = end
        else:
            desktop.ring.follow(end)

    def _hearing(self, desktop: Desk) -> Hearing | None:
        return self._hearings.get(desktop.owner, {}).get(desktop.desktop_id)

    def _drop(self, desktop: Desk) -> list[Callable[[], object]]:
        """Stop listening to a desktop, and return who waits for an answer."""
        hearings = self._hearings.get(desktop.owner, {})
        hearing = hearings.pop(desktop.desktop_id, None)
        if not hearings:
            self._hearings.pop(desktop.owner, None)
        if hearing is None:
            return []
        hearing.stop()
        return hearing.answered(hearing.asked)
