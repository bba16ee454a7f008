"""A client against a scripted hub, for all tests of what a client does on its connections."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from hub.client import Connected, Disconnected, HubClient, Message, Role
from tests.support.fake_world import FakeWorld
from tests.support.scripted_hub import Peer, Script, ScriptedHub

SECRET = "a.very.secret-token"


@asynccontextmanager
async def joined(*scripts: Script, role: Role, **settings: Any) -> AsyncIterator[tuple[ScriptedHub, HubClient]]:
    async with (
        ScriptedHub(*scripts).running() as hub,
        HubClient(hub.url, role, SECRET, world=FakeWorld().world(), **settings) as client,
    ):
        yield hub, client


async def stay(peer: Peer) -> None:
    await peer.welcome()
    await peer.stay()


async def messages(client: HubClient, count: int) -> list[Message]:
    """Read so many messages."""
    read: list[Message] = []
    async for message in client:
        read.append(message)
        if len(read) == count:
            break
    return read


async def changes(client: HubClient, connections: int) -> list[Connected | Disconnected]:
    """Read until the client was connected so many times more; return what happened to the connection."""
    seen: list[Connected | Disconnected] = []
    async for event in client.events():
        if not isinstance(event, Message):
            seen.append(event)
        if sum(isinstance(each, Connected) for each in seen) == connections:
            break
    return seen
