"""Presence records, and a small hub that has desktops online and mirrors them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from actors.ids import ConnectionId, DesktopId, Epoch, NodeId, UserId
from actors.messages import CameOnline, PresenceRecord, WentOffline
from hub.presence.mirror import PresenceMirror
from hub.presence.store import RedisPresenceStore

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
    client: Redis, *, ttl_s: float = 120, known_limit: int = 200, timeout_s: float = 0.45
) -> RedisPresenceStore:
    return RedisPresenceStore(client, ttl_s=ttl_s, stream_length=100_000, known_limit=known_limit, timeout_s=timeout_s)


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

    def __init__(self, client: Redis, ttl_s: float = 120) -> None:
        self.online: dict[str, PresenceRecord] = {}
        self.learnt_us: list[int] = []
        self.store = make_store(client, ttl_s=ttl_s)
        self.mirror = PresenceMirror(
            self.store, node_id=NODE, ttl_s=ttl_s, online_records=self.records, learn_clock=self.learnt_us.append
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
async def small_hub(client: Redis, ttl_s: float = 120) -> AsyncIterator[SmallHub]:
    hub = SmallHub(client, ttl_s)
    await hub.mirror.start()
    try:
        yield hub
    finally:
        await hub.mirror.stop(1)
