"""What comes before the upgrade: dripped bytes, silence, too many at once, too few descriptors, foreign pages."""

import asyncio
import json
import resource
import signal
import time
from contextlib import AsyncExitStack

import pytest

from tests.support.clients import connection, desktop, mobile, new_name, welcomed
from tests.support.hub_process import HubProcess
from tests.support.hub_settings import NewHub
from tests.support.raw import PONG, RawClient, frame, raw_client

pytest_plugins = ("tests.support.hub_fixtures",)
pytestmark = pytest.mark.hostile

DEADLINE_S = 1.0
SLOW_S = 2.0
"""How late a timer may be on a busy machine."""

HEAD = b"GET /ws/mobile HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nX-Junk: "
BODY = b"POST /internal/presence/query HTTP/1.1\r\nHost: hub\r\nContent-Length: 100000\r\n\r\n"


async def drip(client: RawClient, some: bytes) -> None:
    """A byte now and then, for ever."""
    await client.send(some)
    while True:
        await client.send(b"x")
        await asyncio.sleep(0.05)


async def hung_up_in_time(client: RawClient, sending: asyncio.Task[None] | None = None) -> None:
    took = await client.hung_up()
    assert DEADLINE_S - 0.1 <= took <= DEADLINE_S + SLOW_S
    if sending is not None:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def test_one_deadline_for_the_whole_handshake(brisk_hub: HubProcess) -> None:
    async with (
        raw_client(brisk_hub.port) as silent,
        raw_client(brisk_hub.port) as half,
        raw_client(brisk_hub.port) as dripping,
        raw_client(brisk_hub.port) as dripping_a_body,
        raw_client(brisk_hub.port) as again,
    ):
        # One that has been served already gets no more time for what it asks next.
        await again.send(b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n")
        assert (await again.head()).startswith(b"HTTP/1.1 200 ")
        assert again.buffered or await again.read()
        await half.send(HEAD)
        await asyncio.gather(
            hung_up_in_time(silent),
            hung_up_in_time(half),
            hung_up_in_time(dripping, asyncio.create_task(drip(dripping, HEAD))),
            hung_up_in_time(dripping_a_body, asyncio.create_task(drip(dripping_a_body, BODY))),
            hung_up_in_time(again, asyncio.create_task(drip(again, HEAD))),
        )


async def test_who_was_upgraded_in_time_is_not_cut_off(brisk_hub: HubProcess) -> None:
    async with raw_client(brisk_hub.port) as client:
        begun = time.monotonic()
        request = (await upgrade_request(brisk_hub)).encode()
        await client.send(request[:-2])
        await asyncio.sleep(DEADLINE_S * 0.6)
        await client.send(request[-2:])
        await client.head()
        while time.monotonic() - begun < DEADLINE_S * 1.8:
            await client.send(frame(PONG))
            await asyncio.sleep(0.1)
        await client.say("heartbeat")
        await client.expect("heartbeat:ack")


async def upgrade_request(hub: HubProcess, token: str | None = None, path: str = "/ws/mobile") -> str:
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: hub",
        "Upgrade: websocket",
        "Connection: keep-alive, Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        f"Authorization: Bearer {token or hub.mint.mobile(new_name('u'))}",
    ]
    return "\r\n".join([*lines, "", ""])


async def test_frames_right_behind_the_request_are_taken(brisk_hub: HubProcess) -> None:
    async with raw_client(brisk_hub.port) as client:
        heartbeat = frame(0x1, b'{"type":"heartbeat","payload":{},"timestamp":1}')
        await client.send((await upgrade_request(brisk_hub)).encode() + heartbeat + heartbeat[:5])
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        await client.expect("heartbeat:ack")
        await client.send(heartbeat[5:])
        await client.expect("heartbeat:ack")


async def test_who_gave_up_while_the_hub_stood_still_takes_nobodys_place(hub: HubProcess) -> None:
    """Its request is read late; taken for a newer connection it would end the one that the client has meanwhile."""
    name, user = new_name("d"), new_name("u")
    async with desktop(hub, name, user) as live:
        hub.signal(signal.SIGSTOP)
        try:
            async with raw_client(hub.port) as given_up:
                await given_up.send((await upgrade_request(hub, hub.mint.desktop(name, user), "/ws/desktop")).encode())
        finally:
            hub.signal(signal.SIGCONT)
        async with raw_client(hub.port) as later:  # Accepted and answered behind the one that gave up.
            await later.send((await upgrade_request(hub)).encode())
            await later.head()
        await live.send("heartbeat")
        await live.expect("heartbeat:ack")
    assert "gave_up" in hub.log


async def test_compression_is_not_negotiated(hub: HubProcess) -> None:
    async with raw_client(hub.port) as client:
        extensions = "permessage-deflate; client_max_window_bits, x-webkit-deflate-frame"
        token = hub.mint.mobile(new_name("u"))
        head = await client.upgrade(
            "/ws/mobile", {"Authorization": f"Bearer {token}", "Sec-WebSocket-Extensions": extensions}
        )
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"extensions" not in head.lower()
        # A frame that says that it is compressed is a fault then.
        await client.send(frame(0x1, b"\xaaV\xca", reserved=4))
        assert (await client.close_frame()).code == 1002


async def test_two_thousand_connects_at_once_are_all_answered(hub: HubProcess) -> None:
    """All of them are in the backlog before the first is answered: the hub is halted meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    async with AsyncExitStack() as stack:
        hub.signal(signal.SIGSTOP)
        try:
            clients = await asyncio.gather(*(stack.enter_async_context(raw_client(hub.port)) for _ in range(2000)))
            await asyncio.gather(*(client.send(b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n") for client in clients))
        finally:
            hub.signal(signal.SIGCONT)
        heads = await asyncio.gather(*(client.head() for client in clients))
        assert {head.partition(b"\r\n")[0] for head in heads} == {b"HTTP/1.1 200 OK"}


async def test_descriptors_run_out(new_hub: NewHub) -> None:
    """503 before that, a hang-up beyond, nobody who is in notices, no spinning, and room again when some leave."""
    hub: HubProcess = new_hub(open_files=64).start()
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(hub, desktop_id, user) as agent, mobile(hub, user) as phone:
        async with AsyncExitStack() as stack:
            answers = [await ask_to_come_in(hub, stack) for _ in range(40)]
            room = answers.count(101)
            assert 10 <= room <= 64
            assert answers == [101] * room + [503] * (40 - room)
            # Many more who say nothing at all: more than there are descriptors.
            await asyncio.gather(*(stack.enter_async_context(raw_client(hub.port)) for _ in range(200)))
            await agent.send("agent:status")
            await phone.expect("agent:status")
            used = hub.cpu_s
            await asyncio.sleep(1)
            assert hub.cpu_s - used < 0.5
        async with asyncio.timeout(15), AsyncExitStack() as leaving:
            while await ask_to_come_in(hub, leaving) != 101:
                await asyncio.sleep(0.05)
        await phone.send("user:message", {"desktop_id": desktop_id})
        await agent.expect("user:message")
    assert "Traceback" not in hub.log, hub.log
    assert "Too many open files" not in hub.log


async def ask_to_come_in(hub: HubProcess, stack: AsyncExitStack) -> int:
    """Stay if that is allowed; return the status of the answer, 0 for none."""
    client = await stack.enter_async_context(raw_client(hub.port))
    await client.send((await upgrade_request(hub)).encode())
    head = await client.head_if_any()
    return int(head.split()[1]) if head else 0


@pytest.mark.parametrize("size", [20_000, 1_000_000])
async def test_a_head_without_end_is_refused(hub: HubProcess, size: int) -> None:
    async with raw_client(hub.port) as client:
        await client.send_for(5, HEAD + b"x" * size)
        answer = await client.rest()
        assert answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 413 ", b"HTTP/1.1 400 ")) or not answer


async def test_a_thousand_who_hang_up_half_way_leave_nothing_behind(new_hub: NewHub) -> None:
    hub: HubProcess = new_hub({"HUB_LOG_LEVEL": "info"}).start()
    for _ in range(10):
        async with AsyncExitStack() as stack:
            clients = await asyncio.gather(*(stack.enter_async_context(raw_client(hub.port)) for _ in range(100)))
            await asyncio.gather(*(client.send(HEAD) for client in clients))
    async with connection(hub, "/ws/mobile", token=hub.mint.mobile(new_name("u"))) as phone:
        await welcomed(phone)
    assert hub.stop() == 0
    since_it_is_up = hub.log.partition("Tether Hub is up")[2].splitlines()[1:]
    events = [line.get("event") for line in map(json.loads, since_it_is_up)]
    assert events[:2] == ["connected", "closed"]
    assert len(events) == 4, "draining, ended"
