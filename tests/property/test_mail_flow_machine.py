"""Phones send while links, readers and the store come and go: no message is lost, every sender is told the truth."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.ids import DesktopId, UserId
from actors.messages import KnownDesktop
from actors.policy import Policy
from tests.support.peers import Peer, World

USER = UserId("u1")
ACKS = {"d1": False, "d2": True}
DEVICES = ["x", "y", None]
SENT = {"user:message", "session:create"}
FOREVER_S = 10_000_000.0

devices = st.sampled_from(DEVICES)
places = st.integers(0, 24)
T = TypeVar("T")


def pick(some: Sequence[T], which: int) -> T:
    return some[which % len(some)]


@dataclass(eq=False)
class Message:
    """What the model knows of one message.

    Attributes:
        number: The how-manieth that was sent; its text is known by that.
        senders: From which devices it was sent.
        loose: Sendings that may have gone past the mailbox, because the store was away.
        handed: How often it was written to a desktop's socket.
        acknowledged_at: How often it had been handed over when its desktop said `ack`.
        held: Whether it may lie in the inbox of a desktop that does not read.
        told: What was said of it to its senders.
    """

    number: int
    desktop: str
    kind: str
    named: bool
    valid_until: int | None
    senders: set[str | None] = field(default_factory=set)
    loose: int = 0
    handed: int = 0
    acknowledged_at: int | None = None
    held: bool = False
    told: set[str] = field(default_factory=set)

    @property
    def awaits_ack(self) -> bool:
        return ACKS[self.desktop] and self.named

    @property
    def at_most(self) -> float:
        """How often it may be handed over."""
        if not self.awaits_ack:
            return 1 + self.loose
        return float("inf") if self.acknowledged_at is None else self.acknowledged_at + self.loose

    @property
    def name(self) -> str | None:
        return f"m{self.number}" if self.named else None


@dataclass(eq=False)
class Link:
    """One connection of a phone (`name` is its device) or of a desktop, and what of its messages was looked at."""

    peer: Peer
    name: str | None
    seen: int = 0
    awaiting: Counter[Message] = field(default_factory=Counter)
    got: list[Message] = field(default_factory=list)
    unacknowledged: dict[Message, None] = field(default_factory=dict)

    def news(self) -> list[dict[str, Any]]:
        told = self.peer.socket.told
        news, self.seen = told[self.seen :], len(told)
        return news

    @property
    def open(self) -> bool:
        return self.peer.connection.closing is None

    @property
    def reads(self) -> bool:
        return self.open and self.peer.socket.writable


class MailFlowMachine(RuleBasedStateMachine):
    """Half of the rules leave everybody's turns to later, so that what follows falls in between.

    All of it is about one desktop: `d1` takes its mail without acks, `d2` with. Somebody of the user is always there,
    so that it is known.
    """

    @initialize(name=st.sampled_from(sorted(ACKS)))
    def begin(self, name: str) -> None:
        self.name = name
        self.world = World(Policy(rate=None, max_mobiles=1000))
        self.messages: list[Message] = []
        self.in_flight: list[Message] = []
        self.phones: list[Link] = []
        self.desktops: dict[str, Link] = {}
        self.newest: dict[str, int] = defaultdict(lambda: -1)
        self.phone("watcher")
        self.desktop_comes()
        self.world.mirror.answer([KnownDesktop(DesktopId(name), 1, None, None, "closed") for name in ACKS])

    def settle(self) -> None:
        self.world.scheduler.settle()
        self.in_flight.clear()

    @property
    def quiet(self) -> bool:
        """Whether nothing is under way."""
        return not self.world.scheduler._soon

    def late(self, valid_until: int | None) -> bool:
        return valid_until is not None and valid_until < self.world.clock.wall_ms()

    # -- phones ------------------------------------------------------------------------------------------------------

    def phone(self, device: str | None) -> Link:
        link = Link(self.world.phone_peer(device=device, lasts_s=FOREVER_S), device)
        link.peer.connection.start(link.peer.socket)
        self.look()
        self.phones = [each for each in self.phones if each.open] + [link]
        return link

    @rule(device=devices)
    def phone_comes(self, device: str | None) -> None:
        self.phone(device)

    @precondition(lambda self: len(self.phones) > 1)
    @rule(which=places, how=st.sampled_from(["hang_up", "lose_link"]))
    def phone_goes(self, which: int, how: str) -> None:
        self.settle()
        self.look()
        link = pick(self.phones[1:], which)
        getattr(link.peer, how)()
        self.phones.remove(link)

    @rule(
        which=places,
        kind=st.sampled_from(sorted(SENT)),
        named=st.integers(0, 4).map(bool),
        lasts_s=st.sampled_from([None, None, None, -1, 0, 1, 4]),
        times=st.integers(1, 3),
        turn=st.booleans(),
    )
    def send(self, which: int, kind: str, named: bool, lasts_s: int | None, times: int, turn: bool) -> None:
        valid_until = None if lasts_s is None else self.world.clock.wall_ms() + lasts_s * 1000
        for _ in range(times):
            message = Message(len(self.messages), self.name, kind, named, valid_until)
            self.messages.append(message)
            self.say(pick(self.phones, which), message)
        if turn:
            self.settle()

    @precondition(lambda self: any(message.named for message in self.messages))
    @rule(which=places)
    def send_again(self, which: int) -> None:
        newest = [message for message in self.messages if message.named][-5:]
        self.say(pick(self.phones, which), pick(newest, which // len(self.phones)))

    def say(self, phone: Link, message: Message) -> None:
        members: dict[str, object] = {"message_id": message.name, "valid_until": message.valid_until}
        given = {name: member for name, member in members.items() if member is not None}
        payload = {"desktop_id": message.desktop, "session_id": "s", "text": message.number}
        text = {"type": message.kind, "payload": payload, "timestamp": 1, **given}
        message.senders.add(phone.name)
        message.loose += self.world.mailroom.away
        if message.named:
            phone.awaiting[message] += 1
        self.in_flight.append(message)
        phone.peer.connection.receive(json.dumps(text))

    @precondition(lambda self: not self.world.mailroom.away and any("stored" in m.told for m in self.messages))
    @rule(which=places)
    def use_a_name_twice(self, which: int) -> None:
        self.settle()
        self.look()
        phone = self.phones[0]
        message = pick([message for message in self.messages if "stored" in message.told], which)
        payload = {"desktop_id": message.desktop, "text": "something else"}
        phone.peer.say(message.kind, payload, message_id=message.name)
        assert [news["payload"]["code"] for news in phone.news()] == ["bad_payload"]

    # -- desktops ----------------------------------------------------------------------------------------------------

    @rule()
    def desktop_comes(self) -> None:
        name = self.name
        older = self.desktops.get(name)
        link = Link(self.world.desktop_peer(name, acks=ACKS[name], lasts_s=FOREVER_S), name)
        link.peer.connection.start(link.peer.socket)
        self.desktops[name] = link
        if older is not None:
            assert not older.open
            self.look_at_desktop(older)
            older.peer.connection.link_lost()

    @precondition(lambda self: self.desktops)
    @rule(how=st.sampled_from(["link_lost", "peer_closed"]))
    def desktop_goes(self, how: str) -> None:
        link = self.desktops.pop(self.name)
        self.look_at_desktop(link)
        getattr(link.peer.connection, how)()

    @precondition(lambda self: any(link.open for link in self.desktops.values()))
    @rule()
    def desktop_stops_reading_or_reads_again(self) -> None:
        link = self.desktops[self.name]
        if not link.reads:
            self.read_again(link)
            return
        if link.peer.connection.waiting[0]:
            for message in self.messages:
                message.held |= not message.handed
        link.peer.socket.writable = False
        link.peer.socket.unsent_bytes = 100
        link.peer.connection.write_stalled()

    def read_again(self, link: Link) -> None:
        link.peer.socket.writable = True
        link.peer.connection.writable_again()

    @precondition(lambda self: any(link.unacknowledged for link in self.desktops.values()))
    @rule(which=places)
    def desktop_acknowledges(self, which: int) -> None:
        link = self.desktops[self.name]
        self.look()
        message = pick(list(link.unacknowledged), which)
        del link.unacknowledged[message]
        if link.open:
            link.peer.say("ack", {"message_id": message.name})
            self.in_flight.clear()
            self.look()
            message.acknowledged_at = message.handed

    # -- the store, and time -----------------------------------------------------------------------------------------

    @rule()
    def store_goes_or_comes_back(self) -> None:
        away = not self.world.mailroom.away
        if away:
            for message in self.in_flight:
                message.loose += 1
        self.world.mailroom.away = away

    @rule()
    def everybody_has_a_turn(self) -> None:
        self.settle()

    @rule()
    def some_have_a_turn(self) -> None:
        due, self.world.scheduler._soon = self.world.scheduler._soon, []
        for callback in due:
            callback()

    @rule(seconds=st.sampled_from([0.5, 2.0, 5.0]))
    def time_goes_by(self, seconds: float) -> None:
        for link in [*self.phones, *self.desktops.values()]:
            link.peer.connection.heard()
        self.settle()
        self.look()
        self.world.advance(seconds)

    @rule()
    def sweep(self) -> None:
        if not self.world.mailroom.away:
            self.world.mailroom.sweep()

    # -- what is seen ------------------------------------------------------------------------------------------------

    @invariant()
    def look(self) -> None:
        """Every message that goes out is right."""
        for link in self.desktops.values():
            self.look_at_desktop(link)
        for link in self.phones:
            self.look_at_phone(link)

    def look_at_desktop(self, link: Link) -> None:
        for news in link.news():
            if news["type"] in SENT:
                self.look_at_letter(link, self.messages[news["payload"]["text"]], news)

    def look_at_letter(self, link: Link, message: Message, news: dict[str, Any]) -> None:
        assert (message.desktop, message.kind, message.name) == (link.name, news["type"], news.get("message_id"))
        assert news["device_id"] in message.senders
        message.handed += 1
        assert message.handed <= message.at_most
        assert message.loose or message.held or not self.late(message.valid_until)
        if message.awaits_ack:
            link.unacknowledged[message] = None
        if not message.loose:
            newest = max((each.number for each in link.got if not each.loose), default=-1)
            if not message.awaits_ack:
                newest = max(newest, self.newest[message.desktop])
                self.newest[message.desktop] = message.number
            assert message.number > newest
        link.got.append(message)

    def look_at_phone(self, link: Link) -> None:
        for news in link.news():
            if news["type"] == "Receipt":
                payload = news["payload"]
                self.look_at_answer(link, payload["message_id"], payload["status"], payload["latest"])
            elif news["type"] == "Fault" and news["payload"]["message_id"] is not None:
                self.look_at_answer(link, news["payload"]["message_id"], news["payload"]["code"], None)

    def look_at_answer(self, link: Link, name: str, said: str, latest: str | None) -> None:
        message = self.messages[int(name[1:])]
        assert link.name in message.senders
        assert said in {"stored", "delivered", "acknowledged", "expired", "duplicate", "unavailable", "queue_full"}
        message.told |= {said} if latest is None else {said, latest}
        if {said, latest} & {"delivered", "acknowledged"}:
            assert message.handed
        if said == "unavailable":
            assert message.loose
        if said == "expired":
            assert self.late(message.valid_until)
        if link.awaiting[message]:
            link.awaiting[message] -= 1

    @invariant()
    def nothing_is_forgotten(self) -> None:
        """When nothing is under way, who reads has everything, and whoever sent something was answered."""
        self.look()
        if self.quiet:
            for link in self.phones:
                for message in +link.awaiting:
                    desktop = self.desktops.get(message.desktop)
                    assert message.loose, "what is on its way to the store is answered by it"
                    assert desktop is not None
                    assert desktop.open
                    assert not desktop.reads
            if not self.world.mailroom.away:
                for name, link in self.desktops.items():
                    self.has_its_mail(name, link)

    def has_its_mail(self, name: str, link: Link) -> None:
        got = {message.name for message in link.got if message.awaits_ack}
        for letter in self.world.mailroom.mailbox(USER, DesktopId(name)).letters.values():
            assert not link.reads or letter.message_id in got or self.late(letter.valid_until)

    def teardown(self) -> None:
        """In the end the store is there, everybody comes and reads: what became of each message?"""
        self.world.mailroom.away = False
        self.desktop_comes()
        self.settle()
        self.world.mailroom.sweep()
        self.settle()
        for device in DEVICES:
            self.phone(device)
        self.settle()
        self.nothing_is_forgotten()
        for message in self.messages:
            self.look_at_the_end(message)

    def look_at_the_end(self, message: Message) -> None:
        if "stored" in message.told or not message.loose:
            assert message.handed or self.late(message.valid_until)
        if not message.named or None in message.senders or len(message.senders) > 1:
            return
        if message.handed:
            assert "delivered" in message.told
        elif "stored" in message.told:
            assert "expired" in message.told


TestMailFlow = MailFlowMachine.TestCase
TestMailFlow.settings = settings(max_examples=40, stateful_step_count=50, deadline=None)
