"""A mobile that comes back: what it asks for, and what its reader gets."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.client import Disconnected, HubClient, Message
from tests.support.fake_world import FakeWorld
from tests.support.scripted_hub import Peer, ScriptedHub
from tests.unit.hub.client.support import SECRET, changes, joined, messages, stay


def saying(*offsets: str, then_cut: bool = False) -> Callable[[Peer], Awaitable[None]]:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        for offset in offsets:
            await peer.say("agent:stream", {"text": offset}, desktop_id="d", offset=offset)
        if then_cut:
            await peer.close(4202)
        await peer.stay()

    return script


async def test_the_first_connection_asks_for_nothing() -> None:
    async with joined(stay, role="mobile") as (hub, client):
        await client.ready()
    assert hub.peers[0].path == "/ws/mobile"


async def test_the_first_connection_asks_from_where_an_earlier_life_ended() -> None:
    async with joined(stay, role="mobile", resume={"a:b@c": "7-3", "d": "0-0"}) as (hub, client):
        await client.ready()
        assert client.offsets == {"a:b@c": "7-3", "d": "0-0"}
    assert hub.peers[0].path == "/ws/mobile?resume=a:b@c:7-3,d:0-0"


async def test_where_an_earlier_life_ended_has_to_make_sense() -> None:
    with pytest.raises(ValueError, match="a desktop and its offset"):
        HubClient("ws://hub", "mobile", SECRET, resume={"d": "yesterday"})


async def test_every_reconnection_asks_from_where_the_last_one_ended() -> None:
    script = saying("7-1", "7-2", then_cut=True), saying("7-3", then_cut=True), stay
    async with joined(*script, role="mobile") as (hub, client):
        await changes(client, connections=3)
        assert [peer.resumed_from() for peer in hub.peers] == [{}, {"d": "7-2"}, {"d": "7-3"}]


async def test_a_desktop_that_has_said_nothing_yet_is_asked_for_too() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.say("desktop:online", {"desktop_id": "a"}, offset="7-0")
        await peer.say("desktop:offline", {"desktop_id": "b"}, offset="5-9")
        await peer.close(4202)

    async with joined(script, stay, role="mobile") as (hub, client):
        await changes(client, connections=2)
        assert hub.peers[1].resumed_from() == {"a": "7-0", "b": "5-9"}


async def test_what_a_replay_repeats_is_given_once() -> None:
    scripts = saying("7-1", "7-2", then_cut=True), saying("7-1", "7-2", "7-3", "8-1")
    async with joined(*scripts, role="mobile") as (_, client):
        assert [message.offset for message in await messages(client, 4)] == ["7-1", "7-2", "7-3", "8-1"]


async def test_resumed_reaches_the_reader() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.say("resumed", {"desktop_id": "d", "complete": False, "offset": "7-3"})
        await peer.stay()

    async with joined(script, role="mobile") as (_, client):
        [message] = await messages(client, 1)
    assert message == Message("resumed", {"desktop_id": "d", "complete": False, "offset": "7-3"}, 1)


async def test_offsets_are_those_of_what_was_read_not_of_what_has_arrived() -> None:
    async with joined(saying("7-1", "7-2", then_cut=True), stay, role="mobile") as (hub, client):
        await messages(client, 1)
        while len(hub.peers) < 2:
            await asyncio.sleep(0.01)
        assert client.offsets == {"d": "7-1"}
        await messages(client, 1)
        assert client.offsets == {"d": "7-2"}


async def test_a_desktop_that_could_not_be_asked_for_loses_nothing() -> None:
    """It was away and nobody knew where it stood; while the phone was away it came and spoke."""

    async def before(peer: Peer) -> None:
        await peer.welcome()
        await peer.say("desktop:offline", {"desktop_id": "d"})
        await peer.close(4103)

    async def meanwhile(peer: Peer) -> None:
        await peer.welcome()
        await peer.say("desktop:online", {"desktop_id": "d"}, offset="7-2")
        await saying("7-3")(peer)

    async def replaying(peer: Peer) -> None:
        await peer.welcome()
        await peer.say("desktop:online", {"desktop_id": "d"}, offset="7-3")
        for offset in ("7-1", "7-2", "7-3"):
            await peer.say("agent:stream", {}, desktop_id="d", offset=offset)
        await peer.stay()

    async with joined(before, meanwhile, replaying, role="mobile") as (hub, client):
        events = client.events()
        seen = [await anext(events) for _ in range(10)]
        assert hub.peers[2].resumed_from() == {"d": "7-0"}
        assert client.offsets == {"d": "7-3"}
    assert seen[4] == Disconnected(4202, "coming back to ask for what was missed", 0.0)
    read = [(event.type, event.offset) for event in seen if isinstance(event, Message)]
    assert read == [
        ("desktop:offline", None),
        ("desktop:online", "7-3"),
        ("agent:stream", "7-1"),
        ("agent:stream", "7-2"),
        ("agent:stream", "7-3"),
    ]


class Replaying:
    """A hub with one desktop and all that it said.

    `cuts`: after how many pieces each connection breaks; the last one stays. `overlaps`: how many of the pieces that
    the client has, each connection repeats.
    """

    def __init__(self, cuts: Sequence[int], overlaps: Sequence[int], lengths: Sequence[int]) -> None:
        self._cuts = list(cuts)
        self._overlaps = list(overlaps)
        self.stream = [f"{epoch}-{seq}" for epoch, length in enumerate(lengths, 1) for seq in range(1, length + 1)]

    async def play(self, peer: Peer) -> None:
        await peer.welcome()
        asked = peer.resumed_from()["d"]
        next_one = self.stream.index(asked) + 1 if asked in self.stream else 0
        overlap = self._overlaps.pop() if self._overlaps else 0
        cut = self._cuts.pop() if self._cuts else len(self.stream)
        for offset in self.stream[max(0, next_one - overlap) :][:cut]:
            await peer.say("agent:stream", {}, desktop_id="d", offset=offset)
        if cut < len(self.stream):
            peer.cut()
        await peer.stay()


async def read_through_cuts(hub: Replaying) -> list[str | None]:
    async with (
        ScriptedHub(hub.play).running() as running,
        HubClient(running.url, "mobile", SECRET, world=FakeWorld().world(), resume={"d": "0-0"}) as client,
        asyncio.timeout(10),
    ):
        return [message.offset for message in await messages(client, len(hub.stream))]


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 12), max_size=6),
    overlaps=st.lists(st.integers(0, 12), max_size=7),
    lengths=st.lists(st.integers(0, 8), min_size=1, max_size=3).filter(any),
)
def test_however_the_stream_is_cut_each_offset_is_read_once_and_in_order(
    cuts: list[int], overlaps: list[int], lengths: list[int]
) -> None:
    hub = Replaying(cuts, overlaps, lengths)
    assert asyncio.run(read_through_cuts(hub)) == hub.stream
