"""What desktops say in tests of replays, and what phones get of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.support.clients import WAIT_S, Message, Peer, desktop, mobile
from tests.support.hub_process import HubProcess

FROM_DESKTOPS = {"agent:response", "agent:stream", "agent:status"}


async def until(holds: Callable[[], bool]) -> None:
    """Poll in a thread, since the question keeps whoever asks it waiting."""
    async with asyncio.timeout(WAIT_S):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.02)


async def tell(agent: Peer, kind: str, *numbers: int) -> None:
    for number in numbers:
        await agent.send(kind, {"n": number})


def said(came: list[Message]) -> list[tuple[str, int]]:
    """Type and number of each message of a desktop."""
    return [(each.type, each.payload["n"]) for each in came if each.type in FROM_DESKTOPS]


def numbers(came: list[Message]) -> list[int]:
    return [number for _, number in said(came)]


async def replayed(phone: Peer, desktop_id: str) -> tuple[list[Message], Message]:
    """What the phone gets of the desktop up to `resumed`, and that."""
    came = await phone.up_to("resumed", desktop_id=desktop_id)
    return [each for each in came if each.whole.get("desktop_id") == desktop_id], came[-1]


async def last_heard(phone: Peer, number: int) -> str:
    """Hear the desktop up to that number, and return the offset of the message."""
    while True:
        message = await phone.next()
        if message.type in FROM_DESKTOPS and message.payload["n"] == number:
            return message.offset_text


def journalled_end(hub: HubProcess, user: str, desktop_id: str) -> str | None:
    """Where the desktop's last connection ended, as Redis has it."""
    end: str | None = hub.redis("HGET", f"hub:{{{user}}}:journal-state:{desktop_id}", "end")
    return end


@asynccontextmanager
async def listener(hub: HubProcess, user: str, desktop_id: str) -> AsyncIterator[tuple[Peer, Peer]]:
    """A desktop and a phone that hears it."""
    async with desktop(hub, desktop_id, user) as agent, mobile(hub, user) as phone:
        yield agent, phone
