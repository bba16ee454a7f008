"""Phones that stop reading, beside 100 others at full stream rate: memory is bounded, and nobody else feels it.

For how long the others' messages take meanwhile, run `python -m tests.survival.stalled_reader`.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from tests.support.clients import WAIT_S, desktop, new_name
from tests.support.crowd import Sleeper, Speaker, crowd
from tests.support.hub_process import HubProcess
from tests.support.raw import raw_mobile
from tests.support.resuming_phone import ResumingPhone
from tests.survival.stalled_reader import MIB, Memory

OTHERS = 100
RATE = 200.0
QUIET_S = 0.5
NAP_S, SLEEP_S = 1.5, 5.0
INBOX_BYTES = MIB
LARGE = "x" * 30_000
SMALL = "x" * 200
MOST_GROWTH = 2 * 2 * INBOX_BYTES + MIB + 4 * MIB
"""Two sleepers, of each an inbox and a batch as large on its way; the ring; what Python and the journal take. Without
bounds it would be all that was streamed meanwhile, 30 MB."""


@pytest.fixture(scope="module")
def own_hub() -> Iterator[HubProcess]:
    settings = {
        "HUB_RATE_LIMIT": "off",
        "HUB_MAX_MOBILES_PER_USER": str(OTHERS),
        "HUB_MAX_MESSAGE_BYTES": str(INBOX_BYTES // 2),
        "HUB_INBOX_BYTES": str(INBOX_BYTES),
        "HUB_WRITE_STALL_S": "3",
    }
    hub = HubProcess(settings)
    try:
        yield hub.start()
    finally:
        hub.close()


async def test_phones_stop_reading_and_only_they_lose_pieces(own_hub: HubProcess) -> None:
    """One naps and is told what it lost, one sleeps and is closed; neither loses a whole answer."""
    user, desktop_id, other_user = new_name("u"), new_name("d"), new_name("u")
    async with AsyncExitStack() as stack:
        agent = await stack.enter_async_context(desktop(own_hub, desktop_id, user))
        other_agent = await stack.enter_async_context(desktop(own_hub, new_name("d"), other_user))
        napping, sleeping = [
            Sleeper(await stack.enter_async_context(raw_mobile(own_hub, user, receive_buffer=131_072)))
            for _ in range(2)
        ]
        others = await crowd(own_hub, other_user, OTHERS)
        speaker, other_speaker = Speaker(agent, RATE, LARGE), Speaker(other_agent, RATE, SMALL)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        reading = [group.create_task(each.read()) for each in (napping, sleeping)]
        speaking = [group.create_task(each.speak()) for each in (speaker, other_speaker)]
        await asyncio.sleep(QUIET_S)

        memory = Memory(own_hub)
        watching = group.create_task(memory.watch())
        napping.sleep()
        sleeping.sleep()
        await asyncio.sleep(NAP_S)
        napping.wake()
        await asyncio.sleep(SLEEP_S - NAP_S)
        sleeping.wake()
        speaker.stop()
        other_speaker.stop()
        await asyncio.gather(*speaking)
        async with asyncio.timeout(WAIT_S):
            await reading[1]
            while len(napping.answers) < speaker.answers or any(o.heard < other_speaker.pieces for o in others):
                await asyncio.sleep(0.01)
        watching.cancel()
        reading[0].cancel()

        assert [each.wrong for each in others] == [[]] * OTHERS
        assert memory.growth < MOST_GROWTH
        assert napping.gaps >= 1
        assert napping.answers == [*range(speaker.answers)]
        assert own_hub.metric("hub_closes_total", kind="mobile", code="4102", reason="slow_consumer") == 1
        assert len(sleeping.answers) < speaker.answers
        for phone in (napping, sleeping):
            again = ResumingPhone(own_hub, user, desktop_id)
            again.at = phone.at
            await again.listen_up_to_resumed()
            messages = [json.loads(text) for text in again.texts]
            answers = [each["payload"]["answer"] for each in messages if each["type"] == "agent:response"]
            assert sorted({*phone.answers, *answers}) == [*range(speaker.answers)]
            assert answers == sorted(set(answers))
        for other in others:
            other.transport.close()
