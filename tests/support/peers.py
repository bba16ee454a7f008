"""A node's actors on a fake world, and clients of it."""

import json
from itertools import count
from typing import Any

from actors.clock import EpochSource
from actors.closing import CloseReason
from actors.connection import Connection
from actors.desktop import DesktopConnection
from actors.ids import ConnectionId, DesktopId, DeviceId, NodeId, UserId
from actors.mail import Receipt, Sender
from actors.messages import MobileIdentity
from actors.mobile import MobileConnection
from actors.nodes import Posted, Told, Undelivered, Word
from actors.offsets import BEGINNING, parse_offset
from actors.policy import Policy
from actors.post import PostOffice
from actors.supervisor import Supervisor
from actors.surroundings import Surroundings
from actors.tallies import Tallies
from actors.turns import Turns
from tests.support.actors import (
    WALL_S,
    FakeAuth,
    FakeMirror,
    FakeTransport,
    HandClock,
    HandScheduler,
    PlainCodec,
    desktop_identity,
)
from tests.support.memory_cluster import MemoryHub
from tests.support.memory_journal import MemoryJournal
from tests.support.memory_mailroom import MemoryMailroom


def mobile_identity(user: str = "u1", *, device: str | None = None, lasts_s: float = 3600.0) -> MobileIdentity:
    return MobileIdentity(UserId(user), WALL_S + lasts_s, None if device is None else DeviceId(device))


class Peer:
    """One client: its connection's actor on a socket that only remembers."""

    def __init__(self, connection: Connection, world: "World") -> None:
        self.connection = connection
        self.world = world
        self.socket = FakeTransport(now=world.clock.monotonic)
        self._read = 0

    def open(self) -> None:
        self.connection.start(self.socket)
        self.world.scheduler.settle()

    def say(self, kind: str, payload: dict[str, Any] | None = None, **members: object) -> None:
        """Send one message, and let everybody have their turns."""
        self.say_text(json.dumps({"type": kind, "payload": payload or {}, "timestamp": 1, **members}))

    def say_text(self, text: str) -> None:
        self.connection.receive(text)
        self.world.scheduler.settle()

    def heard(self) -> list[dict[str, Any]]:
        """Messages that came since the last look, after everybody had their turns."""
        self.world.scheduler.settle()
        told = self.socket.told
        news, self._read = told[self._read :], len(told)
        return news

    def heard_types(self) -> list[str]:
        return [message["type"] for message in self.heard()]

    def closed(self) -> CloseReason | None:
        """Why the hub closed it, if it did."""
        return self.socket.closed

    def lose_link(self) -> None:
        self.connection.link_lost()
        self.world.scheduler.settle()

    def hang_up(self) -> None:
        """Close in an orderly way."""
        self.connection.peer_closed()
        self.lose_link()


class World:
    """One node's actors. Nobody's past is known to the store unless a test says so."""

    def __init__(
        self,
        policy: Policy | None = None,
        codec: PlainCodec | None = None,
        *,
        node: str = "node/1",
        beside: "World | None" = None,
    ) -> None:
        """Make a node; `beside`: it shares clock, store and channels with that one."""
        self.clock: HandClock = HandClock() if beside is None else beside.clock
        self.scheduler: HandScheduler = HandScheduler(self.clock) if beside is None else beside.scheduler
        self.hub: MemoryHub = MemoryHub(self.scheduler) if beside is None else beside.hub
        self.node_id = NodeId(node)
        cluster = self.hub.join(self.node_id, hear=self._hear, missed=self._missed, gone=self._gone, anew=self._anew)
        self.turns = Turns(self.scheduler)
        self.mirror = FakeMirror()
        self.journal: MemoryJournal = MemoryJournal(
            self.scheduler, self.clock, beside=None if beside is None else beside.journal
        )
        self.auth = FakeAuth()
        self.tallies = Tallies()
        self.epochs: EpochSource = EpochSource(self.clock) if beside is None else beside.epochs
        if beside is None:
            self.epochs.learn(0)  # So the first ones are 1, 2, 3.
        self.around = Surroundings(
            node_id=self.node_id,
            clock=self.clock,
            epochs=self.epochs,
            scheduler=self.scheduler,
            turns=self.turns,
            codec=codec or PlainCodec(),
            mirror=self.mirror,
            journal=self.journal,
            cluster=cluster,
            policy=policy or Policy(),
            tallies=self.tallies,
        )
        self.supervisor = Supervisor(self.around)
        self.mailroom: MemoryMailroom = MemoryMailroom(
            self.clock,
            self.scheduler,
            tell=self._tell,
            returned=self._read_mailboxes,
            beside=None if beside is None else beside.mailroom,
        )
        self.post = PostOffice(self.around, self.supervisor, self.mailroom)
        self._ids: count[int] = count(1) if beside is None else beside._ids

    def _hear(self, node_id: NodeId, word: Word) -> None:
        if isinstance(word, Posted | Told | Undelivered):
            self.post.hear(node_id, word)
        else:
            self.supervisor.neighbours.hear(node_id, word)

    def _missed(self, node_id: NodeId | None) -> None:
        self.supervisor.neighbours.missed(node_id)

    def _gone(self, node_id: NodeId) -> None:
        self.supervisor.neighbours.gone(node_id)

    def _anew(self) -> None:
        self.supervisor.neighbours.anew()

    def _tell(self, sender: Sender, receipt: Receipt) -> None:
        self.post.tell(sender, receipt)

    def _read_mailboxes(self) -> None:
        self.post.store_is_back()

    def advance(self, seconds: float) -> None:
        self.scheduler.advance(seconds)

    def desktop(
        self,
        desktop: str = "d1",
        user: str = "u1",
        *,
        lasts_s: float = 3600.0,
        name: str | None = "Desk",
        acks: bool = False,
    ) -> Peer:
        """Connect a desktop whose welcome and mail were read."""
        return self.open(self.desktop_peer(desktop, user, lasts_s=lasts_s, name=name, acks=acks))

    def cut_off(self) -> None:
        """The node can't reach the store: nothing is entered, told, or written down."""
        self.hub.away(self.node_id)
        self.journal.away = True

    def back(self) -> None:
        """The node reaches the store again."""
        self.hub.back(self.node_id)
        self.journal.away = False

    def desktop_peer(
        self,
        desktop: str = "d1",
        user: str = "u1",
        *,
        lasts_s: float = 3600.0,
        name: str | None = "Desk",
        acks: bool = False,
    ) -> Peer:
        identity = desktop_identity(desktop, user, lasts_s=self.clock.passed_s + lasts_s, name=name)
        shared = self.around, self.supervisor, self.post, self.auth
        return Peer(DesktopConnection(self._connection_id(), identity, self.epochs.next(), *shared, acks=acks), self)

    def phone(
        self,
        user: str = "u1",
        *,
        device: str | None = None,
        lasts_s: float = 3600.0,
        resume: dict[str, str] | None = None,
    ) -> Peer:
        """Connect a phone whose welcome, snapshot and replays were read."""
        return self.open(self.phone_peer(user, device=device, lasts_s=lasts_s, resume=resume))

    def phone_peer(
        self,
        user: str = "u1",
        *,
        device: str | None = None,
        lasts_s: float = 3600.0,
        resume: dict[str, str] | None = None,
    ) -> Peer:
        identity = mobile_identity(user, device=device, lasts_s=self.clock.passed_s + lasts_s)
        places = {DesktopId(desktop): parse_offset(text) or BEGINNING for desktop, text in (resume or {}).items()}
        shared = self.around, self.supervisor, self.post, self.auth
        return Peer(MobileConnection(self._connection_id(), identity, *shared, resume=places), self)

    def open(self, peer: Peer) -> Peer:
        peer.open()
        peer.heard()
        return peer

    def _connection_id(self) -> ConnectionId:
        return ConnectionId(f"c{next(self._ids)}")
