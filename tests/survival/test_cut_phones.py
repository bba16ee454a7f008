"""A phone whose link breaks 200 times while an answer is streamed has in the end what an undisturbed one has."""

import asyncio
import random
from collections.abc import Callable, Iterator

import pytest

from hub.client import Connected, HubClient, Message
from hub.client.world import World
from tests.support.clients import WAIT_S, desktop, new_name
from tests.support.hub_process import HubProcess
from tests.support.resuming_phone import ResumingPhone
from tests.support.traffic import beside

CUTS = 200
PIECES = 5_000
MOST_AHEAD = (5, 400)
"""The desktop waits for whoever is so many pieces behind, in turns: some are cut while they listen, some while they
are given what they missed. The hub keeps the newest 2,048 pieces."""
TURN = 250
LIMIT_S = 40.0


@pytest.fixture(scope="module")
def own_hub() -> Iterator[HubProcess]:
    hub = HubProcess({"HUB_RATE_LIMIT": "off"})
    try:
        yield hub.start()
    finally:
        hub.close()


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Seeded; the seed is in the test's name."""
    return random.Random(request.param)


def cut_moments(chance: random.Random, pieces: int, cuts: int) -> list[int]:
    """After how many messages to cut; two at the same place: before anything came."""
    return sorted(chance.randrange(pieces) for _ in range(cuts))


async def answer(hub: HubProcess, user_id: str, desktop_id: str, heard: Callable[[], int], leaves: set[int]) -> None:
    """Stream the pieces, as fast as they are heard, and then say the whole; leave and come back behind `leaves`."""
    said = 0
    while said < PIECES:
        async with desktop(hub, desktop_id, user_id) as agent:
            while said < PIECES:
                while said - heard() > MOST_AHEAD[said // TURN % 2]:
                    await asyncio.sleep(0.001)
                await agent.send("agent:stream", {"n": said, "text": f"piece {said}, "})
                said += 1
                if said in leaves:
                    break
            if said == PIECES:
                await agent.send("agent:response", {"text": "the whole answer"})
            await agent.sync()
            agent.break_off()


@pytest.mark.parametrize(
    ("chance", "leaves"),
    [
        pytest.param(20261, 0, id="seed 20261, the desktop stays"),
        pytest.param(20262, 6, id="seed 20262, the desktop comes back 6 times"),
    ],
    indirect=["chance"],
)
async def test_a_phone_that_is_cut_has_every_byte_once(own_hub: HubProcess, chance: random.Random, leaves: int) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    undisturbed, cut = (ResumingPhone(own_hub, user, desktop_id) for _ in range(2))
    whole = PIECES + 1
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        group.create_task(undisturbed.listen(lambda: len(undisturbed.texts) == whole))
        while not undisturbed.resumed:
            await asyncio.sleep(0.001)
        away = set(chance.sample(range(1, PIECES), leaves))
        group.create_task(answer(own_hub, user, desktop_id, lambda: len(cut.texts), away))
        for moment in cut_moments(chance, PIECES, CUTS):
            await cut.listen(lambda moment=moment: len(cut.texts) >= moment)  # type: ignore[misc]
        await cut.listen(lambda: len(cut.texts) >= whole)
    assert cut.connections == CUTS + 1
    assert cut.texts == undisturbed.texts
    assert len(cut.texts) == whole
    assert CUTS / 4 < len(cut.resumed) < CUTS, "both were cut: the replay, and what is newer"
    assert cut.always_complete
    assert undisturbed.always_complete


@pytest.mark.parametrize("chance", [pytest.param(20263, id="seed 20263")], indirect=True)
async def test_the_python_client_comes_back_by_itself_and_gives_everything_once(
    own_hub: HubProcess, chance: random.Random
) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    undisturbed, whole = ResumingPhone(own_hub, user, desktop_id), PIECES + 1
    cuts = cut_moments(chance, PIECES, CUTS)
    came: list[Message] = []
    complete: list[bool] = []
    connections = 0
    token = own_hub.mint.mobile(user, device_id=new_name("v"))
    client = HubClient(own_hub.url, "mobile", token, resume={desktop_id: "0-0"}, world=World(chance=lambda: 0.0))
    async with asyncio.timeout(LIMIT_S), client, beside(undisturbed.listen(lambda: len(undisturbed.texts) == whole)):
        await client.ready(WAIT_S)
        while not undisturbed.resumed:
            await asyncio.sleep(0.001)
        async with beside(answer(own_hub, user, desktop_id, lambda: len(came), set())):
            async for event in client.events():
                connections += isinstance(event, Connected)
                match event:
                    case Message(desktop_id=str()):
                        came.append(event)
                    case Message(type="resumed"):
                        complete.append(event.payload["complete"])
                while cuts and cuts[0] <= len(came):
                    del cuts[0]
                    client.drop()
                if len(came) == whole:
                    break
            while len(undisturbed.texts) < whole:
                await asyncio.sleep(0.001)
    assert [each.payload.get("n") for each in came] == [*range(PIECES), None]
    assert [f'"offset":"{each.offset}"' in text for each, text in zip(came, undisturbed.texts, strict=True)]
    assert connections > CUTS / 4, "what it has read ahead is cut once only"
    assert len(complete) > CUTS / 8
    assert all(complete)
