"""Attacks by way of `?resume=`, `ack`, `message_id` and full mailboxes: nobody else is told, held up or mixed up."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import pytest

from tests.support.clients import Peer, absent_desktop, desktop, envelope, handed_over, mobile, new_name, say
from tests.support.hub_process import HubProcess
from tests.support.raw import raw_client

pytest_plugins = ("tests.support.hub_fixtures",)
pytestmark = pytest.mark.hostile

MOST_RESUMED = 50
LONGEST_ID = 128
GREATEST = 2**64 - 1
MAILBOX = 1000
UNDISTURBED_S = 2.0

MALFORMED = [
    "d",
    "d:",
    "d:1",
    "d:1-",
    "d:-1",
    "d:-1--1",
    "d:+1-1",
    "d:1-1-1",
    "d:1_0-1",
    "d:1-1e3",
    "d:0x1-1",
    "d:1.0-1",
    "d: 1-1",
    "d:1-1\n",
    "d:\0-1",
    "d:\uff11-\uff11",
    "d:\u0661-\u0661",
    f"d:{2**64}-0",
    f"d:0-{2**64}",
    "d:" + "9" * 21 + "-0",
    "d:" + "9" * 5000 + "-0",
    ":1-1",
    "1-1",
    ",",
    "d:1-1,",
    ",d:1-1",
    "d:1-1,d:1-1",
    "d:1-1;e:1-1",
    "*:0-0",
    "{u}:0-0",
    "d e:0-0",
    "d\r\nX-Header: 1:0-0",
    "\u00e4:0-0",
    "x" * (LONGEST_ID + 1) + ":0-0",
    ",".join(f"d-{number}:0-0" for number in range(MOST_RESUMED + 1)),
]

ODD_IDS = [
    "bytes",
    "last",
    "m:bytes",
    "x:1",
    "|",
    "stored|1-1|5|x|y",
    "acknowledged||0||",
    "*",
    "$",
    "-",
    "+",
    "0-0",
    "hub:expiring",
    "hub:{u}:mailbox:d",
    "}:mailbox:{",
    "\r\nFLUSHALL\r\n",
    "*1\r\n$8\r\nFLUSHALL\r\n",
    "' .. redis.call('FLUSHALL') .. '",
    "]] redis.call('FLUSHALL') --[[",
    "%s%d%%",
    "\\",
    '"',
    '\\"}',
    "\0",
    "\0" * LONGEST_ID,
    "\U0010ffff" * LONGEST_ID,
    "{" * LONGEST_ID,
    " ",
    "\u202e\u2028\ufeff",
]


@asynccontextmanager
async def bystanders(hub: HubProcess) -> AsyncIterator["Bystanders"]:
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(hub, desktop_id, user, acks=True) as agent, mobile(hub, user) as phone:
        yield Bystanders(agent, phone, desktop_id)


class Bystanders:
    """A pair of somebody else's that notices when it is held up."""

    def __init__(self, agent: Peer, phone: Peer, desktop_id: str) -> None:
        self._agent = agent
        self._phone = phone
        self._desktop_id = desktop_id
        self._names = itertools.count()

    async def talk(self) -> float:
        """A message there, acknowledged, and an answer; return how long that took in seconds."""
        begun, name = time.monotonic(), f"b-{next(self._names)}"
        await say(self._phone, self._desktop_id, name)
        assert [each.message_id for each in await self._agent.up_to("user:message")] == [name]
        await self._agent.send("ack", {"message_id": name})
        await self._agent.send("agent:response", {"to": name})
        await self._phone.expect("receipt", message_id=name, status="acknowledged")
        return time.monotonic() - begun

    @asynccontextmanager
    async def undisturbed(self) -> AsyncIterator[None]:
        """They talk on all the while, and no message takes long."""
        talking = asyncio.create_task(self._talk_on())
        try:
            yield
            assert not talking.done(), talking.exception()
        finally:
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)

    async def _talk_on(self) -> None:
        while True:
            assert await self.talk() < UNDISTURBED_S
            await asyncio.sleep(0.01)


# -- ?resume= ----------------------------------------------------------------------------------------------------------


async def refused(hub: HubProcess, query: str) -> bytes:
    async with raw_client(hub.port) as client:
        token = hub.mint.mobile(new_name("u"))
        return await client.upgrade(f"/ws/mobile?{query}", {"Authorization": f"Bearer {token}"})


async def test_what_is_no_place_is_refused_before_the_upgrade(hub: HubProcess) -> None:
    for asked in MALFORMED:
        head = await refused(hub, "resume=" + quote(asked, safe=":,*{}"))
        assert head.startswith(b"HTTP/1.1 400 "), (asked, head)
    assert (await refused(hub, "resume=d:0-0&resume=e:0-0")).startswith(b"HTTP/1.1 400 ")


async def test_a_query_longer_than_a_request_may_be(hub: HubProcess) -> None:
    async with bystanders(hub) as others:
        head = await refused(hub, "resume=" + "d:0-0," * 10_000)
        assert head.partition(b" ")[2][:1] == b"4", head
        assert await others.talk() < UNDISTURBED_S


async def test_as_many_of_the_longest_names_as_are_allowed(hub: HubProcess) -> None:
    names = [f"{new_name('d')}-".ljust(LONGEST_ID, "x") for _ in range(MOST_RESUMED)]
    async with mobile(hub, new_name("u"), resume=dict.fromkeys(names, f"{GREATEST}-{GREATEST}")) as phone:
        told = [(await phone.next()).whole for _ in names]
        assert [each["payload"]["desktop_id"] for each in told] == names
        assert {(each["type"], each["payload"]["complete"]) for each in told} == {("resumed", False)}
        assert await phone.sync() == []


async def test_resuming_anothers_desktop_tells_nothing(hub: HubProcess) -> None:
    """Neither what it says and said, nor whether it is there, nor where it stands."""
    foreign, nowhere, user = new_name("d"), new_name("d"), new_name("u")
    async with desktop(hub, foreign, new_name("u")) as agent:
        await agent.send("agent:response", {"text": "not for you"})
        await agent.sync()
        for place in ("0-0", "1-1", f"{GREATEST}-{GREATEST}"):
            async with mobile(hub, user, resume={foreign: place, nowhere: place}) as phone:
                of_foreign, of_nowhere = (await phone.next(), await phone.next())
                assert of_foreign.payload == {**of_nowhere.payload, "desktop_id": foreign}
                await agent.send("agent:response", {"text": "nor this"})
                await agent.sync()
                assert await phone.sync() == []


async def test_a_desktop_that_has_a_new_owner_keeps_what_it_said_to_the_old_one(hub: HubProcess) -> None:
    desktop_id, user, new_owner = new_name("d"), new_name("u"), new_name("u")
    async with mobile(hub, user) as phone, desktop(hub, desktop_id, user) as agent:
        await agent.send("agent:response", {"text": "not for the new one"})
        await phone.expect("agent:response")
    async with (
        desktop(hub, desktop_id, new_owner) as agent,
        mobile(hub, new_owner, resume={desktop_id: "0-0"}) as phone,
    ):
        assert {each.type for each in await phone.up_to("resumed")} <= {"desktop:online", "resumed"}
        async with mobile(hub, user, resume={desktop_id: "0-0"}) as before:
            assert (await before.expect("agent:response")).payload == {"text": "not for the new one"}
            await before.expect("resumed")
            await agent.send("agent:response", {"text": "not for the old one"})
            await phone.expect("agent:response", text="not for the old one")
            assert "agent:response" not in {each.type for each in await before.sync()}


async def test_phones_that_have_all_replayed_again_and_again_hold_up_nobody(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")

    async def come_back(rounds: int, *, to_the_end: bool) -> None:
        for _ in range(rounds):
            async with mobile(hub, user, resume={desktop_id: "0-0"}) as phone:
                if to_the_end:
                    await phone.expect("resumed", complete=True)
                phone.break_off()

    async with desktop(hub, desktop_id, user) as agent, bystanders(hub) as others:
        for number in range(800):
            await agent.send("agent:response", {"n": number, "text": "x" * 2500})
        await agent.sync()
        async with others.undisturbed():
            await asyncio.gather(*(come_back(8, to_the_end=number % 2 == 0) for number in range(5)))
        async with mobile(hub, user, resume={desktop_id: "0-0"}) as phone:
            came = await phone.up_to("resumed", complete=True)
            assert [each.payload["n"] for each in came if each.type == "agent:response"] == list(range(800))


# -- ack ---------------------------------------------------------------------------------------------------------------


async def test_a_flood_of_acks_for_what_never_was_leaves_nothing_behind(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with (
        desktop(hub, desktop_id, user, acks=True) as agent,
        mobile(hub, user) as phone,
        bystanders(hub) as others,
    ):
        async with others.undisturbed():
            for number in range(5000):
                await agent.send("ack", {"message_id": f"never-{number}"})
            assert await agent.sync() == []
            assert await handed_over(agent, phone, desktop_id) == []
        remembered = hub.redis("HKEYS", f"hub:{{{user}}}:receipts:{desktop_id}")
        assert not [key for key in remembered if "never" in key]


async def test_an_ack_reaches_no_further_than_the_desktops_own_mailbox(hub: HubProcess) -> None:
    user, other = new_name("u"), new_name("u")
    async with mobile(hub, user) as phone, mobile(hub, other) as stranger:
        own, foreign = await absent_desktop(hub, user, phone), await absent_desktop(hub, other, stranger)
        for peer, desktop_id in ((phone, own), (stranger, foreign)):
            await say(peer, desktop_id, "m")
            assert await peer.receipt("m") == "stored"
        async with desktop(hub, new_name("d"), user, acks=True) as attacker:
            await attacker.send("ack", {"message_id": "m"})
            assert await attacker.sync() == []
        for peer, whose, desktop_id in ((phone, user, own), (stranger, other, foreign)):
            async with desktop(hub, desktop_id, whose, acks=True) as agent:
                assert (await agent.expect("user:message")).message_id == "m"
                assert await peer.receipt("m") == "delivered"


# -- message_id --------------------------------------------------------------------------------------------------------


def names_of_all_characters() -> Iterator[str]:
    """Every character of the first plane, and one of each 256 behind it."""
    codes = itertools.chain(range(0xD800), range(0xE000, 0x10000), range(0x10000, 0x110000, 256))
    while name := "".join(map(chr, itertools.islice(codes, LONGEST_ID))):
        yield name


@pytest.mark.parametrize("escaped", [True, False])
async def test_every_name_comes_through_as_it_is(hub: HubProcess, escaped: bool) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    names = [*ODD_IDS, *names_of_all_characters()]

    def text_of(kind: str, payload: dict[str, str], **members: str) -> str:
        whole = json.loads(envelope(kind, payload, **members))
        return json.dumps({**whole, "timestamp": 1}, ensure_ascii=escaped)

    async with mobile(hub, user, device_id="one") as phone, desktop(hub, desktop_id, user, acks=True) as agent:

        async def send_all() -> None:
            for name in names:
                await phone.socket.send(text_of("user:message", {"desktop_id": desktop_id}, message_id=name))

        async def told(status: str) -> list[str]:
            came: list[str] = []
            while len(came) < len(names):
                receipt = (await phone.expect("receipt", status=status)).payload
                came.append(receipt["message_id"])
            return came

        await send_all()
        assert [(await agent.expect("user:message")).message_id for _ in names] == names
        assert await told("delivered") == names
        for name in names:
            await agent.socket.send(text_of("ack", {"message_id": name}))
        assert await told("acknowledged") == names
        await send_all()
        assert await told("duplicate") == names
        assert await handed_over(agent, phone, desktop_id) == []


async def test_ids_that_look_like_keys_are_nothing_but_ids(hub: HubProcess) -> None:
    user = new_name("u")
    names = [f"{user}-d", f"mailbox:{user}-d", f"{user}-d:mailbox", f"{user}-d:", f":{user}-d", f"{user}-D"]
    async with mobile(hub, user, device_id="mailbox:d") as phone, mobile(hub, f"{user}:mailbox") as stranger:
        for owner, peer in ((user, phone), (f"{user}:mailbox", stranger)):
            for name in names if peer is phone else [f"{user}-d-2"]:
                async with desktop(hub, name, owner):
                    pass
                await peer.expect("desktop:offline", desktop_id=name)
                await say(peer, name, "m", text=name)
                assert await peer.receipt("m") == "stored"
        for name in names:
            async with desktop(hub, name, user) as agent:
                assert [each.payload["text"] for each in await handed_over(agent, phone, name)] == [name]


# -- full mailboxes ----------------------------------------------------------------------------------------------------


async def test_who_fills_a_mailbox_fills_no_other_one(hub: HubProcess) -> None:
    user, other = new_name("u"), new_name("u")
    async with (
        mobile(hub, user, device_id="attacker") as attacker,
        mobile(hub, user, device_id="victim") as phone,
        mobile(hub, other) as stranger,
        bystanders(hub) as others,
    ):
        full = await absent_desktop(hub, user, attacker)
        free, foreign = await absent_desktop(hub, user, phone), await absent_desktop(hub, other, stranger)
        async with others.undisturbed():
            for number in range(MAILBOX + 200):
                await say(attacker, full, f"m-{number}", text="x" * 1000)
            await attacker.expect("error", code="queue_full", message_id=f"m-{MAILBOX + 199}")
            for peer, desktop_id in ((phone, free), (stranger, foreign)):
                await say(peer, desktop_id, "m")
                assert await peer.receipt("m") == "stored"
        async with desktop(hub, full, user) as agent:
            got = [(await agent.expect("user:message")).message_id for _ in range(MAILBOX)]
            assert got == [f"m-{number}" for number in range(MAILBOX)], "what was stored is not lost"


async def test_a_flood_against_a_mailbox_full_of_large_messages_is_refused_and_keeps_the_store_from_nobody(
    hub: HubProcess,
) -> None:
    user = new_name("u")
    async with mobile(hub, user) as attacker, bystanders(hub) as others:
        full = await absent_desktop(hub, user, attacker)
        for number in range(7):
            await say(attacker, full, f"large-{number}", text="x" * 590_000)
        async with others.undisturbed():
            for number in range(1_000):
                await say(attacker, full, f"m-{number}", text="x" * 200_000 if number % 20 == 0 else "x" * 90_000)
            answers = await attacker.up_to("error", message_id="m-999", within_s=30)
        codes = {each.payload["code"] for each in answers if each.type == "error"}
        assert codes == {"queue_full"}
