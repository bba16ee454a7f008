"""Nodes for the contract suite of clusters: on the twin, and on a real Valkey."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

from actors.ids import DesktopId, DeviceId, Epoch, NodeId, UserId
from actors.nodes import Ended, HeldDesktop, Share, Shared, Word
from actors.offsets import Offset
from actors.ports import Cluster
from hub.cluster.neighbourhood import Neighbourhood
from hub.store.client import Client, connect
from tests.support.actors import HandClock, HandScheduler
from tests.support.memory_cluster import MemoryHub
from tests.support.presence import CALL_MS, eventually
from tests.support.valkey import ValkeyServer
from tests.support.valkey_cluster import ValkeyCluster

LEASE_S = 0.4
U1 = UserId("u1")


def share(version: int = 1, desktop: str = "d1", *, phones: int = 0, device: str | None = None) -> Share:
    held = HeldDesktop(DesktopId(desktop), Epoch(version), "Désk", None, 1000, 2000)
    devices = {} if device is None else {DeviceId(device): Epoch(7)}
    return Share(version, (held,), devices, phones)


def word(number: int, user: str = "u1") -> Ended:
    return Ended(UserId(user), DesktopId("d1"), Offset(5, number))


def number_of(said: Word) -> int:
    assert isinstance(said, Ended)
    return said.offset.seq


class Member:
    """A node that remembers what it is told."""

    def __init__(self, node_id: str) -> None:
        self.node_id = NodeId(node_id)
        self.cluster: Cluster
        self.news: list[object] = []
        self.words: list[Word] = []
        self.answers: list[tuple[str, Mapping[NodeId, Share] | None]] = []
        self.shares: dict[UserId, Share] = {}
        self.renewed: list[tuple[UserId, Mapping[NodeId, Share]]] = []
        self.cleaned: list[NodeId] = []

    def hear(self, sender: NodeId, said: Word) -> None:
        self.words.append(said)
        if not isinstance(said, Shared):
            self.news.append((str(sender), number_of(said)))

    def missed(self, sender: NodeId | None) -> None:
        self.news.append(("missed", sender))

    def gone(self, node_id: NodeId) -> None:
        self.news.append(("gone", node_id))

    def anew(self) -> None:
        self.news.append("anew")

    def say(self, to: "Member", *numbers: int) -> None:
        for number in numbers:
            self.cluster.send(to.node_id, word(number))

    def ask(self, label: str, held: Share | None, user_id: UserId = U1) -> None:
        """Enter; the answer goes to `answers` under the label."""
        if held is not None:
            self.shares[user_id] = held
        self.cluster.enter(user_id, held, lambda reading: self.answers.append((label, reading)))

    def heard(self, sender: "Member") -> list[int]:
        return [each[1] for each in self.news if isinstance(each, tuple) and each[0] == sender.node_id]


class Bench(Protocol):
    """Several nodes on one store."""

    async def join(self, node_id: str) -> Member: ...

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until that is so."""

    async def lose(self, sender: Member, to: Member, *numbers: int) -> None:
        """`sender` says something to `to` that is lost on the way."""

    async def leave(self, member: Member) -> None: ...

    async def kill(self, member: Member) -> None: ...

    async def lose_lease(self, member: Member) -> None:
        """The node is taken for dead, though it lives."""

    async def go_away(self) -> None:
        """The store goes away."""

    async def come_back(self) -> None: ...

    async def lose_everything(self) -> None: ...


async def enter(bench: Bench, member: Member, held: Share | None, user_id: UserId = U1) -> dict[str, Share] | None:
    """Enter and wait for the answer."""
    count = len(member.answers)
    member.ask("", held, user_id)
    await bench.until(lambda: len(member.answers) > count)
    reading = member.answers[-1][1]
    return None if reading is None else {str(node_id): each for node_id, each in reading.items()}


class MemoryBench:
    """On the twin."""

    def __init__(self) -> None:
        self.scheduler = HandScheduler(HandClock())
        self.hub = MemoryHub(self.scheduler)

    async def join(self, node_id: str) -> Member:
        member = Member(node_id)
        member.cluster = self.hub.join(
            member.node_id, hear=member.hear, missed=member.missed, gone=member.gone, anew=member.anew
        )
        return member

    async def until(self, holds: Callable[[], bool]) -> None:
        self.scheduler.settle()
        self.hub.pulse()
        self.scheduler.settle()
        assert holds()

    async def lose(self, sender: Member, to: Member, *numbers: int) -> None:
        self.scheduler.settle()
        self.hub.lose(to.node_id, len(numbers), sender=sender.node_id)
        sender.say(to, *numbers)

    async def leave(self, member: Member) -> None:
        self.hub.kill(member.node_id)

    async def kill(self, member: Member) -> None:
        self.scheduler.settle()
        self.hub.kill(member.node_id)

    async def lose_lease(self, member: Member) -> None:
        self.hub.expire(member.node_id)
        self.scheduler.settle()
        self.hub.find_expired(member.node_id)

    async def go_away(self) -> None:
        self.scheduler.settle()
        for node_id in self.hub.nodes:
            self.hub.away(node_id)

    async def come_back(self) -> None:
        for node_id in self.hub.nodes:
            self.hub.back(node_id)

    async def lose_everything(self) -> None:
        self.scheduler.settle()
        self.hub.lose_everything()


def make_neighbourhood(client: Client, member: Member, **options: Any) -> Neighbourhood:
    """A node on Redis for this member."""

    async def clean(node_id: NodeId) -> None:
        member.cleaned.append(node_id)

    given: dict[str, Any] = {
        "node_id": member.node_id,
        "hear": member.hear,
        "missed": member.missed,
        "gone": member.gone,
        "anew": member.anew,
        "renew": lambda: list(member.shares.items()),
        "renewed": lambda user_id, others: member.renewed.append((user_id, others)),
        "about": lambda: {"state": "ready"},
        "clean": clean,
        "available": lambda: True,
        "lease_s": LEASE_S,
        "timeout_s": CALL_MS / 1000,
    }
    return Neighbourhood(client, **{**given, **options})


async def kill_neighbourhood(node: Neighbourhood) -> None:
    """End its tasks where they are, as a SIGKILL would."""
    for part in (node.roster, node.leases, node.speaker, node.listener):
        task = part._task
        assert task is not None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await node.listener._subscription.close()


class ValkeyBench:
    """On a real Valkey; each node with a client of its own."""

    def __init__(self, server: ValkeyServer | ValkeyCluster) -> None:
        self.server = server
        self.nodes: dict[NodeId, Neighbourhood] = {}
        self.members: dict[NodeId, Member] = {}
        self._clients: list[Client] = []

    async def join(self, node_id: str, **options: Any) -> Member:
        member = self.members[NodeId(node_id)] = Member(node_id)
        client = connect(self.server.url, CALL_MS)
        self._clients.append(client)
        node = self.nodes[member.node_id] = make_neighbourhood(client, member, **options)
        member.cluster = node
        await node.start()
        return member

    async def until(self, holds: Callable[[], bool]) -> None:
        await eventually(holds, within_s=5)

    async def lose(self, sender: Member, to: Member, *numbers: int) -> None:
        speaker = self.nodes[sender.node_id].speaker
        await self.until(lambda: not speaker._outbox and not speaker._wake.is_set())
        sender.say(to, *numbers)
        assert [parcel.node_id for parcel in speaker._outbox.take()] == [to.node_id]

    async def leave(self, member: Member) -> None:
        await self.nodes.pop(member.node_id).stop(1)

    async def kill(self, member: Member) -> None:
        await kill_neighbourhood(self.nodes.pop(member.node_id))

    async def lose_lease(self, member: Member) -> None:
        """As one that was stopped for longer than its lease."""
        others = [other for node_id, other in self.members.items() if node_id != member.node_id]
        async with self.nodes[member.node_id].leases._beating:
            await eventually(lambda: all(("gone", member.node_id) in other.news for other in others), within_s=3)

    async def go_away(self) -> None:
        assert isinstance(self.server, ValkeyServer)
        self.server.kill()

    async def come_back(self) -> None:
        self.server.start()
        await eventually(lambda: not any(n.speaker._away or n.roster.away for n in self.nodes.values()), within_s=5)

    async def lose_everything(self) -> None:
        self.server.say("FLUSHALL")

    async def close(self) -> None:
        for node in self.nodes.values():
            await node.stop(1)
        for client in self._clients:
            await client.aclose()


@asynccontextmanager
async def valkey_bench(server: ValkeyServer | ValkeyCluster) -> AsyncIterator[ValkeyBench]:
    bench = ValkeyBench(server)
    yield bench
    await bench.close()
