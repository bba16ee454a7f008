"""SIGTERM and kill -9 under live traffic: what a hub that leaves owes to those who are connected."""

import asyncio
import contextlib
import os
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.clients import WAIT_S, Close, Message, Peer, desktop, mobile, new_name
from tests.support.hub_process import HubProcess
from tests.support.hub_settings import NewHub
from tests.support.raw import raw_client, raw_desktop, raw_mobile

pytest_plugins = ("tests.support.hub_fixtures",)

PAIRS = 6
RESTARTING = Close(1012, "restarting")


class Side(NamedTuple):
    """One end of a pair under traffic: the numbers that it sent, and all that it got."""

    peer: Peer
    sends: str
    addressed: dict[str, str]


class Outcome(NamedTuple):
    """How one end's connection went. `sent`: how many it sent before it was told goodbye."""

    sent: int
    came: list[Message]
    closed: Close


async def talk(side: Side) -> Outcome:
    """Send numbers and listen, until the hub says goodbye; then listen on until it closes."""
    told = asyncio.Event()

    async def speak() -> int:
        number = 0
        while not told.is_set():
            await side.peer.send(side.sends, {"n": number, **side.addressed})
            number += 1
            await asyncio.sleep(0.002)
        return number

    async def listen() -> tuple[list[Message], Close]:
        came: list[Message] = []
        while not came or came[-1].type != "goodbye":
            came.append(await side.peer.next())
        told.set()
        rest, closed = await side.peer.last_words()
        return came + rest, closed

    sent, (came, closed) = await asyncio.gather(speak(), listen())
    return Outcome(sent, came, closed)


def numbers(came: list[Message], kind: str) -> list[int]:
    return [message.payload["n"] for message in came if message.type == kind]


def goodbyes(came: list[Message]) -> list[Message]:
    return [message for message in came if message.type == "goodbye"]


async def test_no_message_between_a_connected_pair_is_lost_before_the_goodbye(new_hub: NewHub) -> None:
    hub: HubProcess = new_hub({"HUB_RATE_LIMIT": "off", "HUB_DRAIN_SPREAD_S": "4"}).start()
    async with AsyncExitStack() as stack:
        sides = []
        for _ in range(PAIRS):
            user, desktop_id = new_name("u"), new_name("d")
            agent = await stack.enter_async_context(desktop(hub, desktop_id, user))
            phone = await stack.enter_async_context(mobile(hub, user))
            sides += [Side(agent, "agent:stream", {}), Side(phone, "user:message", {"desktop_id": desktop_id})]
        talks = [asyncio.create_task(talk(side)) for side in sides]
        await asyncio.sleep(0.5)
        begun = time.monotonic()
        hub.signal(signal.SIGTERM)
        outcomes = await asyncio.gather(*talks)
        assert await asyncio.to_thread(hub.wait) == 0
        assert time.monotonic() - begun < 10
    for agent_end, phone_end in zip(outcomes[::2], outcomes[1::2], strict=True):
        assert agent_end.sent > 20
        assert numbers(phone_end.came, "agent:stream") == list(range(agent_end.sent))
        assert numbers(agent_end.came, "user:message") == list(range(phone_end.sent))
    waits = [each.payload["retry_after_ms"] for outcome in outcomes for each in goodbyes(outcome.came)]
    assert {outcome.closed for outcome in outcomes} == {RESTARTING}
    assert len(waits) == len(outcomes)
    assert len(set(waits)) > len(waits) / 2, "each has its own share"
    assert 0 <= min(waits) < max(waits) <= 4000


async def test_what_a_desktop_says_before_it_sees_the_close_still_arrives(new_hub: NewHub) -> None:
    """It doesn't heed the goodbye; its owner's phone is closed after it."""
    hub: HubProcess = new_hub({"HUB_RATE_LIMIT": "off"}).start()
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(hub, desktop_id, user) as agent, mobile(hub, user) as phone:
        listening = asyncio.create_task(phone.last_words())
        closed = asyncio.create_task(agent.last_words())
        hub.signal(signal.SIGTERM)
        sent = 0
        with contextlib.suppress(ConnectionClosed):
            while True:
                await agent.send("agent:stream", {"n": sent})
                sent += 1
                await asyncio.sleep(0)
        came, phone_closed = await listening
        assert numbers(came, "agent:stream") == list(range(sent))
        assert (await closed)[1] == phone_closed == RESTARTING
        assert await asyncio.to_thread(hub.wait) == 0


async def refused_with(hub: HubProcess, path: str) -> tuple[int, dict[str, str]]:
    """The status and the headers of an answer on a connection of its own."""
    async with raw_client(hub.port) as client:
        status, *lines = (await client.upgrade(path)).decode().lower().split("\r\n")
        return int(status.split()[1]), dict(line.split(": ", 1) for line in lines)


async def test_while_it_drains_nobody_is_let_in(new_hub: NewHub) -> None:
    """A peer that doesn't answer the close keeps the hub waiting, for as long as we look."""
    hub: HubProcess = new_hub({"HUB_CLOSE_DEADLINE_S": "2"}).start()
    async with raw_mobile(hub, new_name("u")) as stubborn, raw_client(hub.port) as early:
        hub.signal(signal.SIGTERM)
        goodbye = await stubborn.expect("goodbye")
        assert goodbye["payload"]["reason"] == "restarting"  # type: ignore[index]
        for path in ("/readyz", "/ws/desktop", "/ws/mobile"):
            status, headers = await refused_with(hub, path)
            assert status == 503, path
            assert int(headers["retry-after"]) >= 1
        assert hub.get("/readyz").json()["status"] == "draining"
        problem = hub.get("/healthz")
        assert (problem.status_code, problem.json()["status"]) == (200, "alive")
        assert (await early.upgrade("/ws/mobile")).startswith(b"HTTP/1.1 503 ")
        assert await stubborn.close_frame() == RESTARTING
        assert await asyncio.to_thread(hub.wait) == 0
    assert "Traceback" not in hub.log, hub.log


async def stop_time(hub: HubProcess, *signals: signal.Signals) -> float:
    begun = time.monotonic()
    for number in signals:
        hub.signal(number)
        await asyncio.sleep(0.05)
    assert await asyncio.to_thread(hub.wait) == 0
    return time.monotonic() - begun


@pytest.mark.hostile
async def test_a_half_open_handshake_and_a_stalled_reader_hold_up_nobody(new_hub: NewHub) -> None:
    hub: HubProcess = new_hub({"HUB_DRAIN_DEADLINE_S": "3"}).start()
    user, desktop_id = new_name("u"), new_name("d")
    async with (
        raw_client(hub.port) as half_open,
        raw_mobile(hub, user, receive_buffer=4096) as stalled,
        raw_client(hub.port),
        desktop(hub, desktop_id, user) as agent,
        mobile(hub, new_name("u")) as phone,
    ):
        await half_open.send(b"GET /ws/mobile HTTP/1.1\r\nHost: hub\r\nUpgr")
        for _ in range(3):
            await agent.send("agent:response", {"text": "x" * 900_000})
        await agent.sync()
        closes = [asyncio.create_task(peer.closed()) for peer in (agent, phone)]
        assert await stop_time(hub, signal.SIGTERM) < 3 + 1
        assert await asyncio.gather(*closes) == [RESTARTING] * 2
        await stalled.hung_up()
    assert "Traceback" not in hub.log, hub.log


@pytest.mark.parametrize("after", ["the first", "the goodbye", "the close"])
async def test_a_second_sigterm_hurries(new_hub: NewHub, after: str) -> None:
    """Peers that don't answer the close would hold it up for a minute."""
    hub: HubProcess = new_hub({"HUB_CLOSE_DEADLINE_S": "60", "HUB_DRAIN_DEADLINE_S": "60"}).start()
    async with raw_mobile(hub, new_name("u")) as phone, raw_desktop(hub, new_name("d"), new_name("u")) as agent:
        begun = time.monotonic()
        hub.signal(signal.SIGTERM)
        if after == "the goodbye":
            await phone.expect("goodbye")
        if after == "the close":
            assert await agent.close_frame() == RESTARTING
        hub.signal(signal.SIGINT)
        assert await phone.close_frame() == RESTARTING
        assert await asyncio.to_thread(hub.wait) == 0
        assert time.monotonic() - begun < 8


@pytest.mark.hostile
async def test_kill_9_leaves_no_orphan_and_the_next_life_takes_the_data_up(new_hub: NewHub) -> None:
    hub: HubProcess = new_hub({"HUB_PRESENCE_TTL_S": "120"}).start()
    user, desktop_id = new_name("u"), new_name("d")
    server = int(hub.redis("INFO", "server")["process_id"])
    async with desktop(hub, desktop_id, user, name="Desk") as agent, mobile(hub, user) as phone:
        await phone.expect("desktop:online", desktop_id=desktop_id)
        async with asyncio.timeout(WAIT_S):
            while not hub.redis("EXISTS", f"hub:{{{user}}}:desktop:{desktop_id}"):
                await asyncio.sleep(0.02)
        await asyncio.sleep(1.2)  # The append-only file is flushed every second.
        hub.kill()
        with pytest.raises(ConnectionClosed):
            await agent.next()
    async with asyncio.timeout(WAIT_S):
        while process_runs(server):
            await asyncio.sleep(0.02)
    hub.start()
    async with mobile(hub, user) as phone:
        await phone.expect("desktop:offline", desktop_id=desktop_id, name="Desk", reason="node_lost")
        async with desktop(hub, desktop_id, user):
            await phone.expect("desktop:online", desktop_id=desktop_id)


def process_runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
