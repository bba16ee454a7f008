"""Which nodes there are, as each of them tells services (docs/protocol.md, "Nodes")."""

import asyncio
import time

import pytest

from tests.support.clients import desktop, mobile, new_name
from tests.support.hub_process import HubProcess
from tests.support.hub_settings import NewHub
from tests.support.two_hubs import TwoHubs, node_of

pytest_plugins = ("tests.support.hub_fixtures", "tests.support.two_hubs_fixtures")

BY_THE_LATEST_S = 15
"""As promised for a lease of 10 s, which is shorter here."""


def told_by(hub: HubProcess) -> dict[str, tuple[str, int]]:
    """The state of each node and how many desktops it holds, as this one tells."""
    nodes = hub.get("/internal/nodes", token=hub.mint.service()).json()["nodes"]
    return {node["node_id"]: (node["state"], node["connections"]["desktop"]) for node in nodes}


async def tells(hub: HubProcess, desktops: dict[str, int]) -> None:
    """Wait until the hub tells that these nodes are ready and hold so many desktops."""
    expected = {node_id: ("ready", count) for node_id, count in desktops.items()}
    deadline = time.monotonic() + BY_THE_LATEST_S
    while (told := told_by(hub)) != expected:
        assert time.monotonic() < deadline, told
        await asyncio.sleep(0.05)


@pytest.mark.hostile
async def test_each_node_tells_of_all_that_live(two_hubs: TwoHubs, new_hub: NewHub) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    here, there = node_of(two_hubs.here), node_of(two_hubs.there)
    third = two_hubs.third(new_hub)
    async with mobile(two_hubs.there, user) as phone, desktop(third, desktop_id, user):
        await phone.expect("desktop:online", desktop_id=desktop_id)
        for hub in (two_hubs.here, two_hubs.there, third):
            await tells(hub, {here: 0, there: 0, node_of(third): 1})
        third.kill()
        begun = time.monotonic()
        await phone.expect("desktop:offline", desktop_id=desktop_id, reason="node_lost")
        assert time.monotonic() - begun < BY_THE_LATEST_S
        for hub in (two_hubs.here, two_hubs.there):
            await tells(hub, {here: 0, there: 0})
