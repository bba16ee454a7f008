"""Redis down, hung, loading, read-only, busy, out of memory, forgetful: calls end in time, and all is mirrored again.

Each fault runs the same course: desktops are online, the fault comes, one desktop comes and one goes meanwhile, calls
are timed, the fault ends, and within two seconds Redis says what the hub's memory says.
"""

import asyncio
import contextlib
import logging
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import redis
from redis.asyncio import Redis

from actors.ids import DesktopId, UserId
from actors.messages import CameOnline, KnownDesktop
from hub.presence.scripts import ALL
from hub.store.calls import Calls, StoreAway
from hub.store.client import connect
from tests.support.presence import CALL_MS, eventually, make_record, make_store, small_hub
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.valkey_fixtures",)
pytestmark = pytest.mark.hostile

CALL_S = 0.5
SLACK_S = 0.15
BACK_S = 2.0
BALLAST = 3000


@dataclass
class Fault:
    """How a fault begins and ends. `reads`: Redis still answers questions meanwhile."""

    begin: Callable[[], object]
    end: Callable[[], object]
    reads: bool = False


def down(server: ValkeyServer) -> Fault:
    return Fault(server.kill, server.start)


def hung(server: ValkeyServer) -> Fault:
    return Fault(lambda: server.signal(signal.SIGSTOP), lambda: server.signal(signal.SIGCONT))


def read_only(server: ValkeyServer) -> Fault:
    return Fault(
        lambda: server.say("REPLICAOF", "127.0.0.1", 1), lambda: server.say("REPLICAOF", "NO", "ONE"), reads=True
    )


def out_of_memory(server: ValkeyServer) -> Fault:
    return Fault(
        lambda: server.say("CONFIG", "SET", "maxmemory", 1),
        lambda: server.say("CONFIG", "SET", "maxmemory", 0),
        reads=True,
    )


def busy(server: ValkeyServer) -> Fault:
    def spin() -> None:
        with contextlib.suppress(redis.ResponseError):  # "Script killed by user"
            server.say("EVAL", "while true do end", 0)

    thread = threading.Thread(target=spin)

    def begin() -> None:
        server.say("CONFIG", "SET", "busy-reply-threshold", 10)
        thread.start()
        with contextlib.suppress(redis.ResponseError):  # BUSY
            while True:
                server.say("PING")

    def end() -> None:
        server.say("SCRIPT", "KILL")
        thread.join()

    return Fault(begin, end)


def loading(server: ValkeyServer) -> Fault:
    """DEBUG RELOAD, slowed down by the switches that Valkey's own tests use."""
    server.say("EVAL", f"for i = 1, {BALLAST} do redis.call('SET', 'ballast' .. i, string.rep('x', 1000)) end", 0)
    thread = threading.Thread(target=lambda: server.say("DEBUG", "RELOAD"))

    def begin() -> None:
        server.say("CONFIG", "SET", "key-load-delay", 10_000, "loading-process-events-interval-bytes", 1024)
        thread.start()
        while not server.say("INFO", "persistence")["loading"]:
            time.sleep(0.01)

    def end() -> None:
        server.say("CONFIG", "SET", "key-load-delay", 0)
        thread.join()

    return Fault(begin, end)


@asynccontextmanager
async def loop_stays_free(most_s: float) -> AsyncIterator[None]:
    """Fail if something keeps the event loop for longer: that is what a relayed message would wait.

    In seconds of the thread's own CPU: other tests share the cores.
    """
    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        while True:
            begun = time.thread_time()
            await asyncio.sleep(0.001)
            worst = max(worst, time.thread_time() - begun)

    ticking = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
    assert worst < most_s


async def timed(call: Awaitable[object]) -> object:
    """Return the call's result, or its StoreAway, and check how long it took."""
    begun = time.perf_counter()
    try:
        return await call
    except StoreAway as error:
        return error
    finally:
        assert time.perf_counter() - begun < CALL_S + SLACK_S


FAULTS = [down, hung, read_only, out_of_memory, busy, loading]


@pytest.mark.parametrize("make", FAULTS, ids=lambda make: make.__name__)
async def test_a_fault(
    make: Callable[[ValkeyServer], Fault],
    frail_server: ValkeyServer,
    frail_client: Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "hub.presence")
    fault = make(frail_server)
    async with small_hub(frail_client) as hub, loop_stays_free(0.25):
        hub.connect(make_record("d1"))
        hub.connect(make_record("d2"))
        await hub.settled()
        await asyncio.to_thread(fault.begin)

        hub.connect(make_record("d3"))
        hub.disconnect("d2")
        write = [CameOnline(make_record("d4"), announce=True)]
        for _ in range(2):
            assert isinstance(await timed(hub.store.apply(write, ())), StoreAway)
            answer = await timed(hub.store.desktop(DesktopId("d1")))
            assert getattr(answer, "state", None) == ("online" if fault.reads else "unknown")
        await eventually(lambda: not hub.mirror.available)
        known: asyncio.Future[list[KnownDesktop] | None] = asyncio.get_running_loop().create_future()
        hub.mirror.load_known(UserId("u1"), known.set_result)
        assert await timed(known) is None

        await asyncio.to_thread(fault.end)
        await hub.settled(BACK_S)
        answers = await hub.store.desktops([DesktopId(each) for each in ("d1", "d2", "d3")])
        assert [each.state for each in answers] == ["online", "offline", "online"]
        assert hub.mirror.outages == 1
    messages = [record.getMessage() for record in caplog.records if record.name == "hub.presence"]
    assert ["away" in messages[0], "back" in messages[1], len(messages)] == [True, True, 2]


async def test_forgotten_scripts_are_loaded_again_at_once(frail_server: ValkeyServer, frail_client: Redis) -> None:
    async with small_hub(frail_client) as hub:
        hub.connect(make_record("d1"))
        await hub.settled()
        frail_server.say("SCRIPT", "FLUSH")
        hub.connect(make_record("d2"))
        hub.disconnect("d1")
        await hub.settled()
        assert hub.mirror.outages == 0
        assert [each.state for each in await hub.store.desktops([DesktopId("d1"), DesktopId("d2")])] == [
            "offline",
            "online",
        ]
        assert frail_server.say("XLEN", "hub:presence") == 3


async def test_ten_thousand_are_mirrored_anew_for_less_than_two_seconds_of_cpu(
    frail_server: ValkeyServer, frail_client: Redis
) -> None:
    """All data is lost, too. The mirror's CPU and Valkey's together: what else a machine does isn't in it."""
    async with small_hub(frail_client) as hub:
        for number in range(10_000):
            hub.connect(make_record(f"d{number}", f"u{number // 2}"))
        await hub.settled(within_s=20)
        frail_server.kill()
        (frail_server.folder / "appendonlydir").rename(frail_server.folder / "lost")
        await eventually(lambda: not hub.mirror.available)
        began = time.process_time()
        async with loop_stays_free(0.25):
            await asyncio.to_thread(frail_server.start)
            await hub.settled(within_s=20)
        used = frail_server.say("INFO", "cpu")
        spent = time.process_time() - began, used["used_cpu_user"] + used["used_cpu_sys"]
        assert frail_server.say("EXISTS", *(f"hub:owner:d{number}" for number in range(10_000))) == 10_000
        assert (await hub.store.desktop(DesktopId("d9999"))).state == "online"
        assert sum(spent) < BACK_S, spent


async def test_a_hung_server_cannot_bring_an_ended_connection_back(
    frail_server: ValkeyServer, frail_client: Redis
) -> None:
    """What lay in a hung server's sockets is carried out when it wakes up, long after the callers gave up."""
    async with small_hub(frail_client) as hub:
        await hub.settled()
        frail_server.signal(signal.SIGSTOP)
        for number in range(100):
            hub.connect(make_record(f"d{number}"))
        await eventually(lambda: not hub.mirror.available)
        for number in range(100):
            hub.disconnect(f"d{number}")
        frail_server.signal(signal.SIGCONT)
        await hub.settled(BACK_S)
        await asyncio.sleep(0.1)
        answers = await hub.store.desktops([DesktopId(f"d{number}") for number in range(100)])
        assert {each.state for each in answers} == {"offline"}


async def test_a_wrong_password_is_an_outage_and_in_no_log(
    frail_server: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    frail_server.say("CONFIG", "SET", "requirepass", "right")
    caplog.set_level(logging.DEBUG)
    client = connect(frail_server.url.replace("unix://", "unix://:canary-secret@"), CALL_MS)
    async with small_hub(client) as hub:
        hub.connect(make_record())
        await eventually(lambda: hub.mirror.outages == 1)
        assert (await hub.store.desktop(DesktopId("d1"))).state == "unknown"
    await client.aclose()
    assert "canary-secret" not in caplog.text


async def test_stopping_does_not_wait_for_a_hung_server(frail_server: ValkeyServer, frail_client: Redis) -> None:
    async with small_hub(frail_client) as hub:
        hub.connect(make_record())
        await hub.settled()
        frail_server.signal(signal.SIGSTOP)
        hub.disconnect("d1")
        begun = time.perf_counter()
        await hub.mirror.stop(0.3)
        assert time.perf_counter() - begun < 0.3 + SLACK_S
    frail_server.signal(signal.SIGCONT)


async def test_an_outage_without_end_is_bounded_in_memory(frail_server: ValkeyServer, frail_client: Redis) -> None:
    async with small_hub(frail_client) as hub:
        await hub.settled()
        frail_server.kill()
        for number in range(12_000):
            hub.connect(make_record(f"d{number}"))
            hub.disconnect(f"d{number}")
        assert hub.mirror.dropped_entries == 2_000


async def test_a_dozen_callers_of_a_hung_server_all_end_in_time(
    frail_server: ValkeyServer, frail_client: Redis
) -> None:
    store = make_store(frail_client)
    await store.desktop(DesktopId("d1"))
    frail_server.signal(signal.SIGSTOP)
    answers = await asyncio.gather(*(timed(store.desktop(DesktopId("d1"))) for _ in range(40)))
    assert {getattr(each, "state", None) for each in answers} == {"unknown"}
    frail_server.signal(signal.SIGCONT)
    assert (await store.desktop(DesktopId("d1"))).state == "offline"


async def test_late_answers_are_not_taken_for_those_of_the_next_call(
    frail_server: ValkeyServer, frail_client: Redis
) -> None:
    calls = Calls(frail_client, 5, ALL)
    await calls.run([("PING",)])
    for turns in range(3, 9):
        frail_server.signal(signal.SIGSTOP)
        given_up = asyncio.create_task(calls.run([("ECHO", "others")] * 300))
        for _ in range(turns):
            await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        mine = asyncio.create_task(calls.run([("ECHO", "mine")]))
        await asyncio.sleep(0.01)
        frail_server.signal(signal.SIGCONT)
        assert await mine == [b"mine"]
