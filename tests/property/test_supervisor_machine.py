"""Whatever comes and goes: every phone sees exactly how its user's desktops change, and the mirror ends up the same."""

from collections import defaultdict
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from actors.closing import CloseReason
from actors.ids import DesktopId
from actors.messages import CameOnline, KnownDesktop
from actors.policy import Policy
from tests.support.peers import Peer, World

GRACE_S = 5.0
users = st.sampled_from(["u1", "u2"])
desktops = st.sampled_from(["d1", "d2", "d3"])
Change = tuple[str, str, str | None]


@dataclass(eq=False)
class Link:
    """A desktop's connection in the model."""

    peer: Peer
    desktop: str
    user: str


@dataclass(eq=False)
class Watcher:
    """A phone, and what it still has to see."""

    peer: Peer
    user: str


class SupervisorMachine(RuleBasedStateMachine):
    """The model keeps who is connected and whose grace runs, and from that what each phone is told."""

    links = Bundle("links")
    watchers = Bundle("watchers")

    def __init__(self) -> None:
        super().__init__()
        self.world = World(Policy(rate=None, offline_grace_s=GRACE_S, max_mobiles=100))
        self.held: dict[str, Link] = {}
        self.graced: dict[str, tuple[Link, float]] = {}
        self.phones: list[Watcher] = []
        self.expected: dict[Watcher, list[Change]] = defaultdict(list)

    def shown_to(self, user: str) -> set[str]:
        here = [*self.held.values(), *(link for link, _ in self.graced.values())]
        return {link.desktop for link in here if link.user == user}

    def tell(self, user: str, change: Change) -> None:
        for phone in self.phones:
            if phone.user == user:
                self.expected[phone].append(change)

    # -- desktops --------------------------------------------------------------------------------------------------

    @rule(target=links, desktop=desktops, user=users)
    def desktop_comes(self, desktop: str, user: str) -> Link:
        older = self.held.get(desktop)
        shown = older or self.graced.get(desktop, (None, 0.0))[0]
        former = self.world.supervisor._registry._desktops.get(DesktopId(desktop))
        former_owner = user if former is None else former.owner
        link = Link(self.world.desktop(desktop, user), desktop, user)
        self.graced.pop(desktop, None)
        self.held[desktop] = link
        if former_owner != user:  # Also one that was away there: it is no longer theirs.
            self.tell(former_owner, (desktop, "Offline", "superseded"))
        if shown is None or shown.user != user:
            self.tell(user, (desktop, "Online", None))
        assert older is None or older.peer.closed() is CloseReason.SUPERSEDED
        assert link.peer.closed() is None
        return link

    @rule(link=links, how=st.sampled_from(["hang_up", "lose_link", "goodbye"]))
    def link_ends(self, link: Link, how: str) -> None:
        """Any connection that ever was, ends: perhaps late, perhaps again."""
        if how == "goodbye":
            link.peer.say("goodbye", {"reason": "sleeping"})
        else:
            getattr(link.peer, how)()
        if self.held.get(link.desktop) is not link:
            return
        del self.held[link.desktop]
        if how == "lose_link":
            self.graced[link.desktop] = (link, self.world.clock.passed_s + GRACE_S)
        else:
            self.tell(link.user, (link.desktop, "Offline", "sleeping" if how == "goodbye" else "closed"))

    @rule(link=consumes(links))
    def link_is_forgotten(self, link: Link) -> None:
        self.link_ends(link, "hang_up")

    @rule(seconds=st.sampled_from([0.0, 1.0, 2.5, 5.0, 8.0]))
    def time_goes_by(self, seconds: float) -> None:
        for peer in [*(link.peer for link in self.held.values()), *(phone.peer for phone in self.phones)]:
            peer.connection.heard()
        self.world.advance(seconds)
        over = [(due, link) for link, due in self.graced.values() if due <= self.world.clock.passed_s]
        for _, link in sorted(over, key=lambda entry: entry[0]):
            del self.graced[link.desktop]
            self.tell(link.user, (link.desktop, "Offline", "lost"))

    # -- phones ----------------------------------------------------------------------------------------------------

    @rule(target=watchers, user=users)
    def phone_comes(self, user: str) -> Watcher:
        phone = Watcher(self.world.phone_peer(user), user)
        phone.peer.open()
        first, *snapshot = phone.peer.heard()
        assert first["type"] == "Welcome"
        assert {m["payload"]["desktop_id"] for m in snapshot if m["type"] == "DesktopOnline"} == self.shown_to(user)
        assert len({m["payload"]["desktop_id"] for m in snapshot}) == len(snapshot)
        self.phones.append(phone)
        return phone

    @rule(phone=consumes(watchers))
    def phone_goes(self, phone: Watcher) -> None:
        self.nobody_missed_anything()
        phone.peer.hang_up()
        self.phones.remove(phone)

    @rule(user=users, known=st.lists(desktops, unique=True))
    def store_answers(self, user: str, known: list[str]) -> None:
        """The store tells of desktops of the past; only those that nobody knows are news."""
        asked = [who for who, _ in self.world.mirror.asked]
        if user not in asked:
            return
        _, answer = self.world.mirror.asked.pop(asked.index(user))  # type: ignore[arg-type]
        registry = self.world.supervisor._registry
        news = [name for name in known if DesktopId(name) not in registry._desktops]
        if any(phone.user == user for phone in self.phones) or self.shown_to(user):
            for name in news:
                self.tell(user, (name, "Offline", "timeout"))
        answer([KnownDesktop(DesktopId(name), 1, None, None, "timeout") for name in known])

    # -- what always holds -----------------------------------------------------------------------------------------

    @invariant()
    def nobody_missed_anything(self) -> None:
        for phone in self.phones:
            told = [
                (m["payload"]["desktop_id"], m["type"].removeprefix("Desktop"), m["payload"].get("reason"))
                for m in phone.peer.heard()
            ]
            assert told == self.expected.pop(phone, [])

    @invariant()
    def the_mirror_ends_up_the_same(self) -> None:
        mirrored: dict[str, str] = {}
        epochs: dict[str, int] = {}
        for change in self.world.mirror.changes:
            desktop, epoch = change.record.desktop_id, change.record.epoch
            if isinstance(change, CameOnline):
                mirrored[desktop], epochs[desktop] = change.record.user_id, epoch
            elif epochs.get(desktop) == epoch:
                mirrored.pop(desktop, None)
        here = [*self.held.values(), *(link for link, _ in self.graced.values())]
        assert mirrored == {link.desktop: link.user for link in here}
        renewed = {record.desktop_id: record.user_id for record in self.world.supervisor.present_records()}
        assert renewed == mirrored

    @invariant()
    def messages_reach_the_holder_and_nobody_else(self) -> None:
        self.nobody_missed_anything()
        for link in self.held.values():
            link.peer.say("agent:stream")
        for phone in self.phones:
            mine = [link.desktop for link in self.held.values() if link.user == phone.user]
            news = phone.peer.heard()
            heard = [message["desktop_id"] for message in news if message["type"] == "agent:stream"]
            assert heard == mine
            assert len(news) == len(mine)


TestSupervisor = SupervisorMachine.TestCase
TestSupervisor.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
