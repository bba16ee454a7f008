"""The mirror against a real Valkey: batches, renewals, lost data, restarts."""

import asyncio
import signal
import time
from typing import cast

import pytest
from redis.asyncio import Redis

from actors.ids import DesktopId, UserId
from actors.messages import CameOnline, KnownDesktop, PresenceRecord
from hub.presence.mirror import CLOCK_SAMPLES
from tests.support.presence import NOW, eventually, make_record, make_store, small_hub, told
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.valkey_fixtures",)

RECORD = "hub:{u1}:desktop:d1"


async def test_a_desktop_comes_and_goes(client: Redis, valkey: ValkeyServer) -> None:
    async with small_hub(client) as hub:
        hub.connect(make_record())
        assert hub.mirror.lag_s >= 0
        await hub.settled()
        assert (await hub.store.desktop(DesktopId("d1"))).state == "online"
        hub.disconnect("d1", "timeout")
        await hub.settled()
        assert (await hub.store.known(UserId("u1")))[0].reason == "timeout"
    assert told(valkey) == [("d1", "online", ""), ("d1", "offline", "timeout")]


async def test_a_desktop_that_flaps_is_streamed_each_time(client: Redis, valkey: ValkeyServer) -> None:
    async with small_hub(client) as hub:
        await hub.settled()
        for epoch in range(1, 11):
            hub.connect(make_record(epoch=epoch))
            hub.disconnect("d1")
        await hub.settled()
        assert hub.mirror.written_changes == 20
        assert told(valkey) == [("d1", "online", ""), ("d1", "offline", "closed")] * 10
        assert valkey.say("EXISTS", RECORD) == 0


async def test_stop_writes_what_is_pending(client: Redis, valkey: ValkeyServer) -> None:
    async with small_hub(client) as hub:
        await hub.settled()
        for number in range(1000):
            hub.connect(make_record(f"d{number}"))
    assert valkey.say("ZCARD", "hub:{u1}:desktops") == 200
    assert valkey.say("XLEN", "hub:presence") == 1000


async def test_records_are_renewed_for_as_long_as_they_are_online(client: Redis, valkey: ValkeyServer) -> None:
    async with small_hub(client, ttl_s=0.4) as hub:
        hub.connect(make_record("d1"))
        hub.connect(make_record("d2"))
        await hub.settled()
        hub.disconnect("d2")
        until = time.monotonic() + 1.2
        while time.monotonic() < until:
            assert (await hub.store.desktop(DesktopId("d1"))).state == "online"
            await asyncio.sleep(0.01)
        assert hub.mirror.renewed >= 8
        assert valkey.say("EXISTS", "hub:{u1}:desktop:d2") == 0
    await eventually(lambda: valkey.say("EXISTS", RECORD) == 0)


async def test_renewals_are_spread_over_the_round(client: Redis) -> None:
    async with small_hub(client, ttl_s=4) as hub:
        for number in range(400):
            hub.connect(make_record(f"d{number}", f"u{number}"))
        await hub.settled()
        before = hub.mirror.renewed
        steps = []
        for _ in range(20):
            await asyncio.sleep(0.1)
            steps.append(hub.mirror.renewed - before)
            before = hub.mirror.renewed
        assert sum(steps) > 200
        assert max(steps) <= 120


async def test_a_record_that_somebody_deleted_comes_back(client: Redis, valkey: ValkeyServer) -> None:
    async with small_hub(client, ttl_s=2) as hub:
        hub.connect(make_record())
        await hub.settled()
        valkey.say("DEL", RECORD, "hub:owner:d1")
        await eventually(lambda: valkey.say("EXISTS", RECORD, "hub:owner:d1") == 2)


async def test_lost_data_is_noticed_and_mirrored_anew(client: Redis, valkey: ValkeyServer) -> None:
    async with small_hub(client) as hub:
        hub.connect(make_record())
        await hub.settled()
        anew = hub.mirror.mirrored_anew
        valkey.say("FLUSHALL")
        await eventually(lambda: hub.mirror.mirrored_anew == anew + 1)
        assert valkey.say("EXISTS", RECORD, "hub:owner:d1") == 2
        assert hub.mirror.outages == 0


async def test_a_restart_is_mirrored_anew(frail_client: Redis, frail_server: ValkeyServer) -> None:
    async with small_hub(frail_client) as hub:
        hub.connect(make_record())
        await hub.settled()
        frail_server.kill()
        (frail_server.folder / "appendonlydir").rename(frail_server.folder / "old")
        await eventually(lambda: not hub.mirror.available)
        hub.connect(make_record("d2"))
        frail_server.start()
        await hub.settled()
        assert [each.state for each in await hub.store.desktops([DesktopId("d1"), DesktopId("d2")])] == ["online"] * 2


async def test_known_desktops(client: Redis) -> None:
    loop = asyncio.get_running_loop()
    async with small_hub(client) as hub:
        hub.connect(make_record())
        hub.disconnect("d1", "lost")
        await hub.settled()
        answers: list[asyncio.Future[list[KnownDesktop] | None]] = [loop.create_future() for _ in range(300)]
        for number, answer in enumerate(answers):
            hub.mirror.load_known(UserId("u1" if number < 2 else f"x{number}"), answer.set_result)
        known = await asyncio.gather(*answers)
        expected = KnownDesktop(DesktopId("d1"), NOW, "Desk", "linux", "lost")
        assert known == [[expected], [expected], *[[]] * 298]


async def test_an_earlier_life_is_cleared_once_in_the_background(client: Redis) -> None:
    store = make_store(client)
    old = [CameOnline(make_record(f"d{n}", f"u{n}", node="alpha/old"), announce=True) for n in range(300)]
    await store.apply(old)
    async with small_hub(client) as hub:
        await eventually(lambda: hub.mirror.earlier_lives_cleared == 300)
        assert (await store.desktop(DesktopId("d1"))).state == "offline"


async def test_the_clock_of_redis_is_learnt_at_once_and_with_every_pulse(client: Redis) -> None:
    async with small_hub(client) as hub:
        before_us = time.time_ns() // 1000
        await hub.mirror.settled(2)
        assert hub.mirror.available
        assert len(hub.learnt_us) == CLOCK_SAMPLES
        first_us = hub.learnt_us[0]
        await eventually(lambda: len(hub.learnt_us) > CLOCK_SAMPLES)
        # Both are of one machine. Redis looks at its clock ten times a second, or when it has something to do.
        assert abs(first_us - before_us) < 2_000_000
        assert first_us < hub.learnt_us[CLOCK_SAMPLES] <= time.time_ns() // 1000


async def test_it_is_settled_too_when_redis_is_away(frail_client: Redis, frail_server: ValkeyServer) -> None:
    frail_server.kill()
    async with small_hub(frail_client) as hub:
        begun = time.monotonic()
        await hub.mirror.settled(30)
        assert time.monotonic() - begun < 5
        assert not hub.mirror.available
        assert hub.learnt_us == []


async def test_nobody_waits_longer_than_asked_for_it_to_settle(frail_client: Redis, frail_server: ValkeyServer) -> None:
    frail_server.signal(signal.SIGSTOP)
    async with small_hub(frail_client) as hub:
        begun = time.monotonic()
        await hub.mirror.settled(0.05)
        assert 0.05 <= time.monotonic() - begun < 0.4, "a call takes 0.45 s to give up"
        frail_server.signal(signal.SIGCONT)
        await hub.settled()


async def test_a_bug_in_a_callback_does_not_end_the_mirror(client: Redis, caplog: pytest.LogCaptureFixture) -> None:
    async with small_hub(client, ttl_s=0.4) as hub:
        await hub.settled()
        healthy, hub.online = hub.online, cast("dict[str, PresenceRecord]", None)
        await eventually(lambda: hub.mirror.outages == 1)
        await asyncio.sleep(0.6)
        hub.online = healthy
        hub.connect(make_record())
        await hub.settled()
    assert caplog.text.count("met a bug") == 1
