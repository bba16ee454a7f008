"""A node of several is killed, stopped or cut off: what is seen of it on another one (docs/protocol.md, "Nodes")."""

import asyncio
import time

import pytest

from tests.support.clients import Close, desktop, handed_over, mobile, new_name, say
from tests.support.hub_settings import NewHub
from tests.support.replays import numbers, tell, until
from tests.support.tcp_proxy import TcpProxy
from tests.support.two_hubs import TwoHubs, node_of, shown

pytest_plugins = ("tests.support.hub_fixtures", "tests.support.two_hubs_fixtures")

BY_THE_LATEST_S = 15
"""At the default lease of 10 s, and on a busy machine."""


@pytest.mark.hostile
async def test_a_killed_node(two_hubs: TwoHubs, new_hub: NewHub) -> None:
    """Its desktops are away for phones elsewhere, but for one that comes to another node at once."""
    user, lost, moving = new_name("u"), new_name("d"), new_name("d")
    doomed = two_hubs.third(new_hub)
    dead = node_of(doomed)
    async with (
        mobile(two_hubs.there, user) as phone,
        desktop(doomed, lost, user) as agent,
        desktop(doomed, moving, user) as mover,
    ):
        for desktop_id in (lost, moving):
            await phone.expect("desktop:online", desktop_id=desktop_id)
        for each in (agent, mover):
            await tell(each, "agent:response", 1)
            await phone.expect("agent:response")
        await until(lambda: dead in _nodes(two_hubs))
        # Redis hears of a desktop some 20 ms after phones do; what a killed node hadn't written, services never learn.
        await until(lambda: two_hubs.entries(lost, moving) == [(user, "online", "")] * 2)
        doomed.kill()
        begun = time.monotonic()
        async with desktop(two_hubs.here, moving, user) as moved:
            came = await phone.up_to("desktop:offline", BY_THE_LATEST_S, desktop_id=lost)
            assert time.monotonic() - begun < BY_THE_LATEST_S
            await tell(moved, "agent:response", 2)
            came += await phone.up_to("agent:response", n=2)
            assert shown(came, lost) == [("desktop:offline", "node_lost")]
            assert shown(came, moving) == []
            await say(phone, moving, "a")
            assert (await moved.expect("user:message")).message_id == "a"
            await say(phone, lost, "b")
            assert await phone.receipt("b") == "stored"
            await until(lambda: dead not in _nodes(two_hubs))
            await until(lambda: two_hubs.entries(lost) == [(user, "online", ""), (user, "offline", "node_lost")])
            assert two_hubs.entries(moving) == [(user, "online", "")]
        async with desktop(two_hubs.here, lost, user) as back:
            assert (await back.expect("user:message")).message_id == "b"


def _nodes(two_hubs: TwoHubs) -> set[str]:
    nodes = two_hubs.there.get("/internal/nodes", token=two_hubs.there.mint.service()).json()["nodes"]
    return {node["node_id"] for node in nodes}


async def test_a_node_that_stops_and_its_desktops_that_come_to_another_one(two_hubs: TwoHubs, new_hub: NewHub) -> None:
    """Whose link was lost before has its grace; whoever is told to go is away until it is back, if at all."""
    user, told, lost, missing = new_name("u"), new_name("d"), new_name("d"), new_name("d")
    leaving = two_hubs.third(new_hub, HUB_OFFLINE_GRACE_S="3")
    async with (
        mobile(two_hubs.there, user) as phone,
        desktop(leaving, told, user) as agent,
        desktop(leaving, lost, user) as loser,
        desktop(leaving, missing, user) as absent,
    ):
        for desktop_id in (told, lost, missing):
            await phone.expect("desktop:online", desktop_id=desktop_id)
        for each in (loser, absent):
            each.break_off()
        stopping = asyncio.create_task(asyncio.to_thread(leaving.stop))
        said, closed = await agent.last_words()
        assert ([message.type for message in said], closed) == (["goodbye"], Close(1012, "restarting"))
        async with desktop(two_hubs.here, told, user) as back, desktop(two_hubs.here, lost, user) as found:
            assert await stopping == 0
            came = await phone.up_to("desktop:offline", BY_THE_LATEST_S, desktop_id=missing)
            for each, desktop_id in ((back, told), (found, lost)):
                await tell(each, "agent:response", 1)
                came += await phone.up_to("agent:response")
                await say(phone, desktop_id, "a")
                assert (await each.expect("user:message")).message_id == "a"
            assert shown(came, lost) == []
            assert shown(came, told) in ([], [("desktop:offline", "closed"), ("desktop:online", None)])
            assert shown(came, missing) == [("desktop:offline", "node_lost")]
            assert two_hubs.entries(lost) == [(user, "online", "")]
    assert "Traceback" not in leaving.log, leaving.log


@pytest.mark.hostile
async def test_a_node_cut_off_from_redis_and_back(two_hubs: TwoHubs, new_hub: NewHub) -> None:
    user, staying, moving = new_name("u"), new_name("d"), new_name("d")
    async with TcpProxy(two_hubs.server.port) as link:
        far = await asyncio.to_thread(two_hubs.third, new_hub, HUB_REDIS_URL=f"redis://127.0.0.1:{link.port}/0")
        async with (
            mobile(two_hubs.there, user) as phone,
            mobile(far, user) as local,
            desktop(far, staying, user) as agent,
            desktop(far, moving, user) as mover,
        ):
            for each in (phone, local):
                for desktop_id in (staying, moving):
                    await each.expect("desktop:online", desktop_id=desktop_id)
            await tell(agent, "agent:response", 1)
            await phone.expect("agent:response", n=1)

            # For a moment: nobody is shown away, nothing is missing.
            await link.cut()
            await tell(agent, "agent:response", *range(2, 12))
            came = await phone.up_to("agent:response", n=11)
            assert numbers(came) == list(range(2, 12))
            assert shown(came, staying) == shown(came, moving) == []

            # For longer than the lease.
            link.refuses = True
            await link.cut()
            await tell(agent, "agent:response", 12)
            await local.expect("agent:response", n=12)
            async with desktop(two_hubs.here, moving, user) as moved:
                came = await phone.up_to("desktop:offline", BY_THE_LATEST_S, desktop_id=staying)
                assert shown(came, staying) == [("desktop:offline", "node_lost")]
                assert shown(came, moving) == []

                link.refuses = False
                assert await mover.closed() == Close(4005, "superseded")
                came = await phone.up_to("desktop:online", desktop_id=staying)
                await tell(agent, "agent:response", 13)
                came += await phone.up_to("agent:response", n=13)
                assert shown(came, moving) == []
                assert numbers(came) == [12, 13]
                await tell(moved, "agent:status", 14)
                assert shown(await local.up_to("agent:status", n=14), staying) == []
                for sender in (phone, local):
                    for target, target_id in ((agent, staying), (moved, moving)):
                        assert await handed_over(target, sender, target_id) == []
    assert "Traceback" not in far.log, far.log
