"""Several nodes on one store: whoever joins, leaves, moves, dies or is cut off, in the end no stale route stays and no
live one is lost; and what phones were given has no hole that they weren't told of.
"""

import os
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.desktop import DesktopConnection
from actors.ids import NodeId
from actors.offsets import Offset, parse_offset
from actors.policy import Policy
from tests.support.actors import PlacingCodec
from tests.support.memory_cluster import MemoryHub
from tests.support.peers import Peer, World

NAMES = ("d1", "d2")
MOST_NODES = 5
QUIET_S = 8.0
"""Longer than the grace and all waiting for answers together."""

which = st.integers(0, 9)


@dataclass(eq=False)
class Desk:
    """A desktop's connection. `said`: how many messages the hub has taken from it."""

    peer: Peer
    name: str
    said: int = 0

    @property
    def epoch(self) -> int:
        assert isinstance(self.peer.connection, DesktopConnection)
        return self.peer.connection.epoch

    @property
    def live(self) -> bool:
        return self.peer.closed() is None


@dataclass(eq=False)
class Phone:
    """A phone's connection, and what it was given and told."""

    peer: Peer
    said: "dict[str, dict[Offset, NodeId | None]]"
    seen: dict[str, Offset] = field(default_factory=dict)
    gaps: dict[str, list[tuple[Offset, Offset]]] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)
    shown: dict[str, bool] = field(default_factory=dict)

    def read(self) -> list[dict[str, Any]]:
        """Take in the news, and see that nothing comes twice or out of order, and every hole is told."""
        heard = self.peer.heard()
        for message in heard:
            kind, payload = message["type"], message["payload"]
            if kind.startswith("Desktop"):
                self.shown[payload["desktop_id"]] = kind == "DesktopOnline"
            elif kind == "Resumed" and not payload["complete"]:
                self.gaps.pop(payload["desktop_id"], None)
                self.warned.add(payload["desktop_id"])
            elif kind.startswith("agent:"):
                self._take(message["desktop_id"], parse_offset(message["offset"]) or Offset(0, 0))
        return heard

    def _take(self, desktop: str, offset: Offset) -> None:
        last = self.seen.get(desktop)
        if last is not None:
            assert offset > last or offset not in self.said[desktop], f"{desktop}: {offset} came behind {last}"
            if desktop not in self.warned:
                self.gaps.setdefault(desktop, []).append((last, offset))
        self.warned.discard(desktop)
        self.seen[desktop] = max(offset, last or offset)

    def holes(self) -> list[Offset]:
        """What was said in a gap that it wasn't told of."""
        gaps = [(desktop, *gap) for desktop, gaps in self.gaps.items() for gap in gaps]
        return [each for desktop, after, before in gaps for each in self.said[desktop] if after < each < before]


class NodesMachine(RuleBasedStateMachine):
    """The model knows which connections are alive, and which nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: list[World] = []
        self.started = 0
        self.cut_off: set[NodeId] = set()
        self.dead: set[NodeId] = set()
        self.expired: set[NodeId] = set()
        self.said: dict[str, dict[Offset, NodeId | None]] = {name: {} for name in NAMES}
        """What the newest connection of a desktop said; and the node that alone knows of it, being cut off."""
        self.desks: list[Desk] = []
        self.all_desks: list[Desk] = []
        self.phones: list[Phone] = []

    @initialize()
    def two_nodes(self) -> None:
        self.node_starts()
        self.node_starts()

    @property
    def hub(self) -> MemoryHub:
        return self.nodes[0].hub

    def alive(self) -> list[World]:
        return [node for node in self.nodes if node.node_id not in self.dead]

    def on(self, peer: Peer) -> bool:
        """Whether the peer's node lives."""
        return peer.world.node_id not in self.dead

    def live_desks(self) -> list[Desk]:
        return [desk for desk in self.desks if desk.live and self.on(desk.peer)]

    def live_phones(self) -> list[Phone]:
        return [phone for phone in self.phones if phone.peer.closed() is None and self.on(phone.peer)]

    # -- nodes ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.started < MOST_NODES)
    @rule()
    def node_starts(self) -> None:
        self.started += 1
        policy = Policy(rate=None, ring_frames=64)
        beside = self.nodes[0] if self.nodes else None
        self.nodes.append(World(policy, PlacingCodec(), node=f"node/{self.started}", beside=beside))

    @precondition(lambda self: len(self.alive()) > 1)
    @rule(index=which)
    def node_dies(self, index: int) -> None:
        node = self.alive()[index % len(self.alive())]
        self.dead.add(node.node_id)
        for said in self.said.values():  # Of what only it knew nobody can tell.
            for offset in [offset for offset, knows in said.items() if knows == node.node_id]:
                del said[offset]
        self.cut_off.discard(node.node_id)
        self.hub.kill(node.node_id, unnoticed=True)
        for desk in [desk for desk in self.live_desks() if desk.epoch < self.newest_epoch(desk.name)]:
            desk.peer.lose_link()  # Its client had let go of it when it connected anew.
            self.desks.remove(desk)

    @rule(index=which)
    def lease_runs_out(self, index: int) -> None:
        """Of a node that is dead or cut off."""
        gone = sorted((self.dead | self.cut_off) - self.expired)
        if gone:
            node_id = gone[index % len(gone)]
            self.expired.add(node_id)
            self.hub.expire(node_id)
            self.settle()

    @rule(index=which)
    def node_is_cut_off(self, index: int) -> None:
        node = self.alive()[index % len(self.alive())]
        self.cut_off.add(node.node_id)
        node.cut_off()

    @precondition(lambda self: self.cut_off)
    @rule(index=which)
    def node_is_back(self, index: int) -> None:
        self.come_back(sorted(self.cut_off)[index % len(self.cut_off)])

    def come_back(self, node_id: NodeId) -> None:
        self.cut_off.discard(node_id)
        self.expired.discard(node_id)
        for said in self.said.values():
            said.update({offset: None for offset, knows in said.items() if knows == node_id})
        next(node for node in self.nodes if node.node_id == node_id).back()
        self.settle()

    @rule(index=which, count=st.integers(1, 5))
    def words_are_lost(self, index: int, count: int) -> None:
        self.hub.lose(self.alive()[index % len(self.alive())].node_id, count)

    @rule(index=which)
    def words_are_held_up(self, index: int) -> None:
        self.hub.hold_words(self.alive()[index % len(self.alive())].node_id)

    @rule()
    def words_go_on(self) -> None:
        for node in self.alive():
            self.hub.release_words(node.node_id)
        self.settle()

    # -- desktops and phones -----------------------------------------------------------------------------------------

    @rule(index=which, name=st.sampled_from(NAMES))
    def desktop_comes(self, index: int, name: str) -> None:
        node = self.alive()[index % len(self.alive())]
        desk = Desk(node.desktop(name), name)
        self.desks.append(desk)
        self.all_desks.append(desk)

    @precondition(lambda self: self.live_desks())
    @rule(index=which, how=st.sampled_from(["hang_up", "lose_link"]))
    def desktop_goes(self, index: int, how: str) -> None:
        live = self.live_desks()
        desk = live[index % len(live)]
        getattr(desk.peer, how)()
        self.desks.remove(desk)

    @precondition(lambda self: self.live_desks())
    @rule(index=which, count=st.integers(1, 3), kind=st.sampled_from(["agent:stream", "agent:response"]))
    def desktop_speaks(self, index: int, count: int, kind: str) -> None:
        live = self.live_desks()
        desk = live[index % len(live)]
        for _ in range(count):
            self.say(desk, kind)

    def say(self, desk: Desk, kind: str, payload: dict[str, str] | None = None) -> None:
        """What an older connection says, whose end hasn't come to it yet, needn't reach anybody."""
        node_id = desk.peer.world.node_id
        desk.said += 1
        if desk.epoch == self.newest_epoch(desk.name):
            place = Offset(desk.epoch, desk.said)
            self.said[desk.name][place] = node_id if node_id in self.cut_off else None
        desk.peer.say(kind, payload)

    def newest_epoch(self, name: str) -> int:
        return max(desk.epoch for desk in self.all_desks if desk.name == name)

    @rule(index=which)
    def phone_comes(self, index: int) -> None:
        node = self.alive()[index % len(self.alive())]
        peer = node.phone_peer()
        peer.open()
        self.phones.append(Phone(peer, self.said))

    @precondition(lambda self: self.live_phones())
    @rule(index=which, to=which)
    def phone_moves(self, index: int, to: int) -> None:
        """It loses its link and comes back elsewhere, where it stood."""
        live = self.live_phones()
        phone = live[index % len(live)]
        phone.read()
        phone.peer.lose_link()
        self.phones.remove(phone)
        node = self.alive()[to % len(self.alive())]
        again = node.phone_peer(resume={name: str(at) for name, at in phone.seen.items()})
        again.open()
        self.phones.append(
            Phone(again, self.said, dict(phone.seen), {name: [*gaps] for name, gaps in phone.gaps.items()})
        )

    @rule(seconds=st.sampled_from([0.5, 1.1, 6.0]))
    def time_goes_by(self, seconds: float) -> None:
        for peer in [desk.peer for desk in self.desks] + [phone.peer for phone in self.phones]:
            peer.connection.heard()
        self.nodes[0].advance(seconds)

    # -- what holds ------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        self.nodes[0].scheduler.settle()

    @invariant()
    def nothing_comes_twice(self) -> None:
        if self.nodes:
            self.settle()
            for phone in self.live_phones():
                phone.read()

    def teardown(self) -> None:
        if self.nodes:
            self.all_is_well_again()

    def all_is_well_again(self) -> None:
        """Faults end, time goes by: then every route is right."""
        for node in self.alive():
            self.hub.nodes[node.node_id].to_lose.clear()
        self.words_go_on()
        for node_id in sorted(self.cut_off):
            self.come_back(node_id)
        for node_id in sorted(self.dead - self.expired):
            self.hub.expire(node_id)
        self.hub.pulse()
        for _ in range(3):
            self.time_goes_by(QUIET_S / 3)
        self.everybody_is_heard()
        self.everybody_is_reached()

    def everybody_is_heard(self) -> None:
        live = self.live_desks()
        names = [desk.name for desk in live]
        assert len(set(names)) == len(names), "two connections of one desktop"
        for phone in self.live_phones():
            phone.read()
            shown = {name for name, there in phone.shown.items() if there}
            assert shown == set(names), f"{shown} shown of {names}"
        for desk in live:
            self.say(desk, "agent:stream", {"probe": desk.name})
            for phone in self.live_phones():
                probes = [m["payload"].get("probe") for m in phone.read() if m["type"] == "agent:stream"]
                assert probes == [desk.name], f"{probes} of {desk.name}"
        for phone in self.live_phones():
            assert not phone.holes(), f"a hole that wasn't told: {phone.holes()}"

    def everybody_is_reached(self) -> None:
        for number, phone in enumerate(self.live_phones()):
            for desk in self.live_desks():
                desk.peer.heard()
                name = f"probe-{number}-{desk.name}"
                phone.peer.say("user:message", {"desktop_id": desk.name}, message_id=name)
                assert [m["message_id"] for m in desk.peer.heard() if m["type"] == "user:message"] == [name]
                statuses = [m["payload"]["status"] for m in phone.peer.heard() if m["type"] == "Receipt"]
                assert statuses == ["stored", "delivered"], f"{statuses} of {name}"


EXAMPLES = int(os.environ.get("EXAMPLES", "0"))
"""For exploring: so many, and others each time; the suite has the same 100 every time."""

NodesMachine.TestCase.settings = settings(
    max_examples=EXAMPLES or 100, derandomize=not EXAMPLES, stateful_step_count=45 if EXAMPLES else 30
)
TestNodes = NodesMachine.TestCase
