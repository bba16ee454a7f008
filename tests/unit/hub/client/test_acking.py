"""A desktop that acknowledges what it has taken."""

import asyncio

import pytest

from hub.client import Message
from tests.support.scripted_hub import Peer
from tests.unit.hub.client.support import changes, joined, messages, stay

QUESTION = Message("user:message", {"text": "hi"}, 1, "q")


async def ask(peer: Peer) -> None:
    await peer.say("user:message", {"text": "hi"}, message_id="q")


async def asking_and_leaving(peer: Peer) -> None:
    await peer.welcome()
    await ask(peer)
    await peer.close(4202)


async def test_who_acknowledges_says_so_when_it_connects() -> None:
    async with joined(stay, role="desktop", acks=True) as (hub, client):
        await client.ready()
    assert hub.peers[0].path == "/ws/desktop?ack=1"


async def test_who_does_not_can_not() -> None:
    async with joined(stay, role="desktop") as (hub, client):
        await client.ready()
        with pytest.raises(ValueError, match="acks=True"):
            await client.ack(QUESTION)
    assert hub.peers[0].path == "/ws/desktop"


async def test_an_ack_names_the_message() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await ask(peer)
        await peer.say("echo", (await peer.hear("ack"))["payload"])
        await peer.stay()

    async with joined(script, role="desktop", acks=True) as (_, client):
        [question] = await messages(client, 1)
        await client.ack(question)
        [echo] = await messages(client, 1)
    assert question == QUESTION
    assert echo.payload == {"message_id": "q"}


async def test_a_message_without_a_name_needs_none() -> None:
    async with joined(stay, role="desktop", acks=True) as (hub, client):
        await client.ready()
        await client.ack(Message("user:message", {}, 1))
        await client.close("done")
        await hub.gone.wait()
    assert [message["type"] for message in hub.peers[0].heard] == ["goodbye"]


async def test_what_was_acknowledged_in_vain_is_acknowledged_again_and_not_given_again() -> None:
    heard = asyncio.Event()

    async def again(peer: Peer) -> None:
        await peer.welcome()
        await ask(peer)
        assert (await peer.hear("ack"))["payload"] == {"message_id": "q"}
        heard.set()
        await peer.say("user:message", {"text": "next"}, message_id="r")
        await peer.stay()

    off = asyncio.Event()

    async def waiting(peer: Peer) -> None:
        await peer.welcome()
        await ask(peer)
        await off.wait()
        peer.cut()

    async with joined(waiting, again, role="desktop", acks=True) as (hub, client):
        [question] = await messages(client, 1)
        off.set()
        await hub.gone.wait()
        await client.ack(question)
        [following] = await messages(client, 1)
        await heard.wait()
    assert following.message_id == "r"


async def test_what_the_program_still_holds_is_neither_given_again_nor_acknowledged() -> None:
    async def again(peer: Peer) -> None:
        await peer.welcome()
        await ask(peer)
        await peer.say("user:message", {"text": "next"}, message_id="r")
        await peer.say("echo", await peer.hear())
        await peer.stay()

    async with joined(asking_and_leaving, again, role="desktop", acks=True) as (_, client):
        question, following = await messages(client, 2)
        await client.send("agent:status", {})
        [echo] = await messages(client, 1)
    assert (question.message_id, following.message_id) == ("q", "r")
    assert echo.payload["type"] == "agent:status"


async def test_without_acks_what_comes_again_is_given_again() -> None:
    async with joined(asking_and_leaving, asking_and_leaving, stay, role="desktop") as (_, client):
        assert await messages(client, 2) == [QUESTION, QUESTION]
        await changes(client, connections=1)
