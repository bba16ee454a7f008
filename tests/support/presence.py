"""Presence records, and a small hub that has desktops online and mirrors them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from unittest.mock import patch

from actors.ids import ConnectionId, DesktopId, Epoch, NodeId, UserId
from actors.messages import CameOnline, PresenceRecord, WentOffline
from hub.presence.mirror import PresenceMirror
from hub.presence.store import RedisPresenceStore
from hub.store.calls import Command, Reply
from hub.store.client import Client
from hub.store.servers import Servers
from tests.support.valkey import ValkeyServer

NODE = NodeId("alpha/0000aaaa")
NOW = 1_700_000_000_000
CALL_MS = 500


def make_record(
    desktop: str = "d1",
    user: str = "u1",
    epoch: int = NOW * 1000,
    *,
    node: str = NODE,
    last_seen: int = NOW,
    name: str | None = "Desk",
    platform: str | None = "linux",
) -> PresenceRecord:
    return PresenceRecord(
        desktop_id=DesktopId(desktop),
        user_id=UserId(user),
        node_id=NodeId(node),
        connection_id=ConnectionId(f"c{epoch}"),
        epoch=Epoch(epoch),
        name=name,
        platform=platform,
        since=NOW,
        last_seen=last_seen,
    )


def make_store(
    client: Client, *, ttl_s: float = 120, stream_length: int = 100_000, known_limit: int = 200, timeout_s: float = 0.45
) -> RedisPresenceStore:
    return RedisPresenceStore(client, ttl_s, stream_length, known_limit, timeout_s=timeout_s)


def told(server: ValkeyServer) -> list[tuple[str, str, str]]:
    """What the stream was told: desktop, state and reason of each entry."""
    entries = [fields for _, fields in server.say("XRANGE", "hub:presence", "-", "+")]
    return [(each[b"desktop_id"].decode(), each[b"state"].decode(), each[b"reason"].decode()) for each in entries]


@contextmanager
def cut_off(store: RedisPresenceStore, trips: int, *, answered: bool = True) -> Iterator[list[int]]:
    """Cut a store off from Redis after so many round trips; not `answered`: the next still gets there.

    Gives how many commands each round trip had.
    """
    run, counted = store._calls.run, list[int]()

    async def run_until_cut(commands: Sequence[Command], at: Servers | None = None) -> list[Reply]:
        if not commands:
            return []
        counted.append(len(commands))
        if len(counted) <= trips:
            return await run(commands, at)
        if not answered and len(counted) == trips + 1:
            await run(commands, at)
        raise ConnectionError("cut off")

    with patch.object(store._calls, "run", run_until_cut):
        yield counted


async def eventually(holds: Callable[[], bool], within_s: float = 2.0) -> float:
    """Poll until `holds()`, and return how long that took in seconds."""
    begun = time.monotonic()
    while not holds():
        waited = time.monotonic() - begun
        assert waited < within_s, f"did not come true within {within_s} s"
        await asyncio.sleep(0.005)
    return time.monotonic() - begun


class SmallHub:
    """Holds desktops online and tells its mirror, as the supervisor does."""

    def __init__(self, client: Client, ttl_s: float = 120, node: str = NODE, *, alone: bool = True) -> None:
        self.online: dict[str, PresenceRecord] = {}
        self.learnt_us: list[int] = []
        self.taken_over: list[tuple[str, int, str]] = []
        self.store = make_store(client, ttl_s=ttl_s)
        self.mirror = PresenceMirror(
            self.store,
            node_id=NodeId(node),
            ttl_s=ttl_s,
            online_records=self.records,
            learn_clock=self.learnt_us.append,
            owner_changed=lambda *change: self.taken_over.append(change),
            clears_earlier_lives=alone,
        )

    def records(self) -> Iterable[PresenceRecord]:
        return list(self.online.values())

    def connect(self, record: PresenceRecord) -> None:
        self.online[record.desktop_id] = record
        self.mirror.record(CameOnline(record, announce=True))

    def disconnect(self, desktop: str, reason: str = "closed") -> None:
        record = self.online.pop(desktop)
        self.mirror.record(WentOffline(record, reason, NOW + 1))

    async def settled(self, within_s: float = 2.0) -> float:
        """Wait until Redis is there and has everything."""
        return await eventually(lambda: self.mirror.available and self.mirror.lag_s == 0, within_s)


@asynccontextmanager
async def small_hub(
    client: Client, ttl_s: float = 120, node: str = NODE, *, alone: bool = True
) -> AsyncIterator[SmallHub]:
    hub = SmallHub(client, ttl_s, node, alone=alone)
    await hub.mirror.start()
    try:
        yield hub
    finally:
        await hub.mirror.stop(1)
