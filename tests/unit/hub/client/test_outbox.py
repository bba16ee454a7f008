"""Posting: sent again until the hub has said that it has the message."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hub.client import HubClient, HubClosed, Message, NotConnected, Receipt, Refused, TooBig, TooManyPosts
from hub.client.outbox import MOST_OPEN
from tests.support.fake_world import FakeWorld
from tests.support.scripted_hub import Peer, Refusal, Script, ScriptedHub
from tests.unit.hub.client.support import SECRET

TO_D = {"desktop_id": "d-1", "text": "hi"}


class Reader:
    """Reads a client to its end."""

    def __init__(self, client: HubClient) -> None:
        self._client = client
        self.read: list[Message] = []

    async def run(self) -> None:
        async for message in self._client:
            self.read.append(message)


@asynccontextmanager
async def phone(*scripts: Script) -> AsyncIterator[tuple[ScriptedHub, HubClient, FakeWorld, Reader]]:
    fake = FakeWorld()
    async with (
        ScriptedHub(*scripts).running() as hub,
        HubClient(hub.url, "mobile", SECRET, world=fake.world()) as client,
    ):
        reader = Reader(client)
        reading = asyncio.create_task(reader.run())
        try:
            yield hub, client, fake, reader
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


def answering(*statuses: str, **more: str) -> Script:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        message = await peer.hear("user:message")
        for status in statuses:
            await peer.receipt(message["message_id"], status, **more)
        await peer.stay()

    return script


async def cut(peer: Peer) -> None:
    await peer.welcome()
    await peer.hear("user:message")
    peer.cut()


def post(client: HubClient, **more: Any) -> Coroutine[Any, Any, Receipt]:
    return client.post("user:message", TO_D, **({"message_id": "m"} | more))


@pytest.mark.parametrize("status", ["stored", "delivered", "acknowledged"])
async def test_it_is_over_when_the_hub_has_the_message(status: str) -> None:
    async with phone(answering(status)) as (hub, client, _, _):
        assert await post(client) == Receipt("m", "d-1", status)
    assert hub.peers[0].heard == [
        {"type": "user:message", "payload": TO_D, "timestamp": 1_700_000_000_000, "message_id": "m"}
    ]


async def test_a_message_without_a_name_gets_one_and_no_other_has_it() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        for _ in range(2):
            await peer.receipt((await peer.hear("user:message"))["message_id"], "stored")
        await peer.stay()

    async with phone(script) as (_, client, _, _):
        names = {(await client.post("user:message", TO_D)).message_id for _ in range(2)}
    assert len(names) == 2


async def test_until_when_it_may_be_handed_over_is_stamped_by_this_clock() -> None:
    async with phone(answering("stored")) as (hub, client, _, _):
        await post(client, valid_for_s=1.5)
        await client.send("user:message", TO_D, valid_for_s=60)
        await client.close("done")
        await hub.gone.wait()
    assert [message.get("valid_until") for message in hub.peers[0].heard] == [
        1_700_000_001_500,
        1_700_000_060_000,
        None,
    ]


async def test_every_receipt_reaches_the_reader_too() -> None:
    async with phone(answering("stored", "delivered")) as (_, client, _, reader):
        assert (await post(client)).status == "stored"
        async with asyncio.timeout(10):
            while len(reader.read) < 2:
                await asyncio.sleep(0.01)
    assert [message.payload["status"] for message in reader.read] == ["stored", "delivered"]


async def test_after_every_lost_link_the_same_bytes_go_again() -> None:
    async with phone(cut, cut, answering("duplicate", latest="delivered")) as (hub, client, _, _):
        assert await post(client, valid_for_s=5) == Receipt("m", "d-1", "delivered")
    heard = [json.dumps(peer.heard[0]) for peer in hub.peers]
    assert len(heard) == 3
    assert len(set(heard)) == 1


async def test_it_waits_for_a_connection() -> None:
    async with phone(Refusal(503), Refusal(503), answering("stored")) as (_, client, _, _):
        assert (await post(client)).status == "stored"


@pytest.mark.parametrize("code", ["unavailable", "queue_full", "rate_limited"])
async def test_it_tries_again_when_the_hub_says_so(code: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        for more in ({"retry_after_ms": 1500}, {}, {"retry_after_ms": "soon"}):
            await peer.hear("user:message")
            await peer.refuse("m", code, **more)
        await answering_now(peer)

    async def answering_now(peer: Peer) -> None:
        await peer.hear("user:message")
        await peer.receipt("m", "stored")
        await peer.stay()

    async with phone(script) as (_, client, fake, _):
        assert (await post(client)).status == "stored"
        assert fake.waits == [1.5, 1.0, 1.0]


@pytest.mark.parametrize("code", ["bad_payload", "desktop_not_found", "desktop_offline", "from_the_future"])
async def test_other_errors_end_it(code: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.hear("user:message")
        await peer.refuse("m", code)
        await peer.stay()

    async with phone(script) as (hub, client, _, _):
        with pytest.raises(Refused, match=f"{code}: no") as caught:
            await post(client)
        assert caught.value.code == code
        assert len(hub.peers[0].heard) == 1


@pytest.mark.parametrize("receipt", [{"status": "expired"}, {"status": "duplicate", "latest": "expired"}])
async def test_a_message_whose_time_is_over_is_refused(receipt: dict[str, str]) -> None:
    status, *_ = receipt.values()
    more = {name: text for name, text in receipt.items() if name == "latest"}
    async with phone(answering(status, **more)) as (_, client, _, _):
        with pytest.raises(Refused, match="expired") as caught:
            await post(client)
        assert caught.value.code == "expired"


async def test_what_the_hub_says_of_others_is_not_about_it() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.hear("user:message")
        await peer.receipt("other", "delivered")
        await peer.refuse("other", "bad_payload")
        await peer.say("error", {"code": "bad_payload", "message": "?"})
        await peer.say("receipt", {"message_id": 5})
        await peer.receipt("m", "stored")
        await peer.stay()

    async with phone(script) as (_, client, _, _):
        assert (await post(client)).status == "stored"


async def test_its_time_ends() -> None:
    async def silent(peer: Peer) -> None:
        await peer.welcome()
        await peer.stay()

    async with phone(silent) as (_, client, _, _):
        with pytest.raises(NotConnected, match=r"in 0\.05 s"):
            await post(client, timeout_s=0.05)
        with pytest.raises(NotConnected):  # the name is free again
            await post(client, timeout_s=0.05)


async def test_its_time_ends_without_a_connection_too() -> None:
    async def mute(peer: Peer) -> None:
        await peer.stay()

    async with phone(mute) as (_, client, _, _):
        with pytest.raises(NotConnected):
            await post(client, timeout_s=0.05)


async def test_a_hub_that_does_not_want_this_client_back_ends_it() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.hear("user:message")
        await peer.close(4001)

    async with phone(script) as (_, client, _, _):
        with pytest.raises(HubClosed, match="4001"):
            await post(client)


async def test_closing_ends_it() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.hear("user:message")
        heard.set()
        await peer.stay()

    heard = asyncio.Event()
    async with phone(script) as (_, client, _, _):
        posting = asyncio.create_task(post(client))
        await heard.wait()
        await client.close()
        with pytest.raises(NotConnected, match="closed"):
            await posting


async def test_what_is_too_big_is_not_sent() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome(max_bytes=20)
        await peer.stay()

    async with phone(script) as (_, client, _, _):
        with pytest.raises(TooBig):
            await post(client)


async def test_two_of_one_name_are_a_mistake() -> None:
    async def silent(peer: Peer) -> None:
        await peer.welcome()
        await peer.stay()

    async with phone(silent) as (_, client, _, _), asyncio.TaskGroup() as group:
        first = group.create_task(post(client, timeout_s=30))
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match="is being posted"):
            await post(client)
        first.cancel()


async def test_a_thousand_meet_again_in_order_and_no_more_are_taken() -> None:
    async def mute(peer: Peer) -> None:
        await tunnel.wait()
        peer.cut()

    async def script(peer: Peer) -> None:
        await peer.welcome()
        for number in range(MOST_OPEN):
            message = await peer.hear("user:message")
            order.append(int(message["message_id"]))
            unanswered.append(message["message_id"])
            if len(unanswered) == 32 or number == MOST_OPEN - 1:
                with pytest.raises(TimeoutError):  # no more are on the wire at once
                    await asyncio.wait_for(peer.socket.recv(), 0.001)
                while unanswered:
                    await peer.receipt(unanswered.pop(0), "stored")
        await peer.stay()

    tunnel = asyncio.Event()
    order: list[int] = []
    unanswered: list[str] = []
    async with phone(mute, script) as (_, client, _, _):
        posts = [asyncio.create_task(post(client, message_id=str(number))) for number in range(MOST_OPEN)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyPosts, match="1000"):
            await post(client)
        tunnel.set()
        receipts = await asyncio.gather(*posts)
    assert order == list(range(MOST_OPEN))
    assert {receipt.status for receipt in receipts} == {"stored"}


async def test_who_learns_first_that_the_link_is_dead_drops_it() -> None:
    async def dead(peer: Peer) -> None:
        await peer.welcome()
        await peer.hear("user:message")
        heard.set()
        await peer.stay()

    heard = asyncio.Event()
    async with phone(dead, answering("stored")) as (hub, client, _, _):
        posting = asyncio.create_task(post(client))
        await heard.wait()
        client.drop()
        assert (await posting).status == "stored"
        assert len(hub.peers) == 2
