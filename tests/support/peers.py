"""A node's actors on a fake world, and clients of it."""

import json
from itertools import count
from typing import Any

from actors.closing import CloseReason
from actors.connection import Connection
from actors.desktop import DesktopConnection
from actors.ids import ConnectionId, DeviceId, Epoch, NodeId, UserId
from actors.messages import MobileIdentity
from actors.mobile import MobileConnection
from actors.policy import Policy
from actors.supervisor import Supervisor, Surroundings
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

    def __init__(self, policy: Policy | None = None, codec: PlainCodec | None = None) -> None:
        self.clock = HandClock()
        self.scheduler = HandScheduler(self.clock)
        self.turns = Turns(self.scheduler)
        self.mirror = FakeMirror()
        self.auth = FakeAuth()
        self.tallies = Tallies()
        self.around = Surroundings(
            NodeId("node/1"),
            self.clock,
            self.scheduler,
            self.turns,
            codec or PlainCodec(),
            self.mirror,
            policy or Policy(),
            self.tallies,
        )
        self.supervisor = Supervisor(self.around)
        self._ids = count(1)
        self._epochs = count(1)

    def advance(self, seconds: float) -> None:
        self.scheduler.advance(seconds)

    def desktop(
        self, desktop: str = "d1", user: str = "u1", *, lasts_s: float = 3600.0, name: str | None = "Desk"
    ) -> Peer:
        """Connect a desktop whose welcome was read."""
        return self.open(self.desktop_peer(desktop, user, lasts_s=lasts_s, name=name))

    def desktop_peer(
        self, desktop: str = "d1", user: str = "u1", *, lasts_s: float = 3600.0, name: str | None = "Desk"
    ) -> Peer:
        identity = desktop_identity(desktop, user, lasts_s=self.clock.passed_s + lasts_s, name=name)
        epoch = Epoch(next(self._epochs))
        return Peer(
            DesktopConnection(self._connection_id(), identity, epoch, self.around, self.supervisor, self.auth), self
        )

    def phone(self, user: str = "u1", *, device: str | None = None, lasts_s: float = 3600.0) -> Peer:
        """Connect a phone whose welcome and snapshot were read."""
        return self.open(self.phone_peer(user, device=device, lasts_s=lasts_s))

    def phone_peer(self, user: str = "u1", *, device: str | None = None, lasts_s: float = 3600.0) -> Peer:
        identity = mobile_identity(user, device=device, lasts_s=self.clock.passed_s + lasts_s)
        return Peer(MobileConnection(self._connection_id(), identity, self.around, self.supervisor, self.auth), self)

    def open(self, peer: Peer) -> Peer:
        peer.open()
        peer.heard()
        return peer

    def _connection_id(self) -> ConnectionId:
        return ConnectionId(f"c{next(self._ids)}")
