"""Clocks that differ, and clocks that are set: a bounded leeway for tokens, and no deadline on the wall clock."""

import asyncio
import signal
import sys
import time
from typing import Any

import pytest

from tests.support.clients import Close, Peer, connection, desktop, mobile, new_name, welcomed
from tests.support.hub_process import HubProcess
from tests.support.hub_settings import NewHub
from tests.support.raw import raw_client
from tests.support.skewed_hub import HOUR_MS

pytest_plugins = ("tests.support.hub_fixtures",)
pytestmark = pytest.mark.hostile

LEEWAY_S = 10
"""HUB_JWT_LEEWAY_S as it comes."""


async def status(hub: HubProcess, token: str) -> int:
    async with raw_client(hub.port) as client:
        return int((await client.upgrade("/ws/mobile", {"Authorization": f"Bearer {token}"})).split()[1])


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        pytest.param({"life_s": -LEEWAY_S / 2}, 101, id="ran out a moment ago"),
        pytest.param({"life_s": -LEEWAY_S - 3}, 401, id="ran out longer ago"),
        pytest.param({"age_s": -LEEWAY_S / 2}, 101, id="issued in a moment"),
        pytest.param({"age_s": -LEEWAY_S - 10}, 401, id="issued later"),
        pytest.param({"nbf_in": LEEWAY_S / 2}, 101, id="good in a moment"),
        pytest.param({"nbf_in": LEEWAY_S + 10}, 401, id="good later"),
    ],
)
async def test_the_leeway_is_bounded(hub: HubProcess, claims: dict[str, Any], expected: int) -> None:
    rest = dict(claims)
    if "nbf_in" in rest:
        rest["nbf"] = time.time() + rest.pop("nbf_in")
    assert await status(hub, hub.mint.mobile(new_name("u"), **rest)) == expected


async def test_a_token_within_the_leeway_ends_with_it(brisk_hub: HubProcess) -> None:
    """The leeway is one second here."""
    token = brisk_hub.mint.mobile(new_name("u"), life_s=-0.05)
    async with connection(brisk_hub, "/ws/mobile", token=token) as phone:
        assert (await phone.closed(5)) == Close(4201, "token_expired")


async def test_a_wall_clock_that_is_set_while_the_hub_runs(new_hub: NewHub) -> None:
    """An hour forward and two back: nobody is cut off, nobody is lost, and the newer connection still wins."""
    settings = {"HUB_HEARTBEAT_TIMEOUT_S": "2", "HUB_PRESENCE_TTL_S": "2", "HUB_OFFLINE_GRACE_S": "0.2"}
    hub: HubProcess = new_hub(settings, command=[sys.executable, "-m", "tests.support.skewed_hub"]).start()
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(hub, desktop_id, user, life_s=1800) as agent, mobile(hub, user) as phone:
        await phone.expect("desktop:online", desktop_id=desktop_id)
        for step in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR2):
            hub.signal(step)
            await undisturbed(hub, agent, phone, desktop_id)
        assert await hub_time(agent) < time.time_ns() // 1_000_000 - HOUR_MS / 2
        # For this hub it is an hour ago: a token of now was issued in the future, one of then is good.
        assert await status(hub, hub.mint.mobile(user)) == 401
        token = hub.mint.desktop(desktop_id, user, age_s=3600)
        async with connection(hub, "/ws/desktop", token=token) as newer:
            await welcomed(newer)
            assert await agent.closed() == Close(4005, "superseded")
            await undisturbed(hub, newer, phone, desktop_id)
            newer.break_off()
        await phone.expect("desktop:offline", desktop_id=desktop_id, reason="lost")
        async with asyncio.timeout(10):
            while state_of(hub, desktop_id, age_s=3600) != "offline":
                await asyncio.sleep(0.05)


async def hub_time(peer: Peer) -> int:
    await peer.send("heartbeat")
    return int((await peer.expect("heartbeat:ack")).payload["server_time"])


def state_of(hub: HubProcess, desktop_id: str, **times: float) -> Any:
    token = hub.mint.sign(aud="internal", sub="tests", **{"life_s": 7200.0, "age_s": 0.0, **times})
    return hub.get(f"/internal/presence/desktops/{desktop_id}", token=token).json()["state"]


async def undisturbed(hub: HubProcess, agent: Peer, phone: Peer, desktop_id: str) -> None:
    """For more than a renewal's time: both live, and talk, and the record stays."""
    end = time.monotonic() + 1.2
    while time.monotonic() < end:
        await agent.send("agent:status")
        await phone.expect("agent:status")
        await phone.send("user:message", {"desktop_id": desktop_id})
        await agent.expect("user:message")
        await asyncio.sleep(0.1)
    owner = hub.redis("GET", f"hub:owner:{desktop_id}")
    assert hub.redis("EXISTS", f"hub:{{{owner}}}:desktop:{desktop_id}") == 1
