"""Messages made to break parsers, frames made of noise, and ids of other people."""

import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.clients import Peer, desktop, envelope, mobile, new_name
from tests.support.hub_process import HubProcess
from tests.support.raw import CLOSE, CONTINUATION, TEXT, frame, raw_desktop, raw_mobile

pytest_plugins = ("tests.support.hub_fixtures",)
pytestmark = pytest.mark.hostile

DEEP = 5000

BAD_TEXTS = {
    "a lone surrogate in the payload": '{"type":"agent:stream","payload":{"t":"\\ud800"},"timestamp":1}',
    "a lone surrogate in the type": '{"type":"\\udfff","payload":{},"timestamp":1}',
    "a lone surrogate in the id": '{"type":"agent:stream","payload":{},"timestamp":1,"message_id":"\\ud800"}',
    "NaN": '{"type":"agent:stream","payload":{"n":NaN},"timestamp":1}',
    "Infinity": '{"type":"agent:stream","payload":{"n":-Infinity},"timestamp":1}',
    "NaN for the time": '{"type":"agent:stream","payload":{},"timestamp":NaN}',
    "the type twice": '{"type":"agent:stream","type":"agent:status","payload":{},"timestamp":1}',
    "the payload twice": '{"type":"agent:stream","payload":{"a":1},"payload":{"b":1},"timestamp":1}',
    "the type twice, once escaped": '{"type":"agent:stream","\\u0074ype":"agent:status","payload":{},"timestamp":1}',
    "lists 5,000 deep": f'{{"type":"agent:stream","payload":{{"a":{"[" * DEEP}{"]" * DEEP}}},"timestamp":1}}',
    "objects 5,000 deep": '{"type":"agent:stream","payload":' + '{"a":' * DEEP + "1" + "}" * DEEP + ',"timestamp":1}',
    "lists 100,000 deep without an end": "[" * 100_000,
    "a number of 10,000 digits": f'{{"type":"agent:stream","payload":{{"n":{"9" * 10_000}}},"timestamp":1}}',
    "a time of 400 digits": f'{{"type":"agent:stream","payload":{{}},"timestamp":{"9" * 400}}}',
    "a time that is a float": '{"type":"agent:stream","payload":{},"timestamp":1e400}',
    "a raw control character": '{"type":"agent:stream","payload":{"t":"\x00"},"timestamp":1}',
    "a comma too many": '{"type":"agent:stream","payload":{"t":1,},"timestamp":1}',
    "a comment": '{"type":"agent:stream","payload":{/**/},"timestamp":1}',
    "single quotes": "{'type':'agent:stream','payload':{},'timestamp':1}",
    "a byte order mark": '\ufeff{"type":"agent:stream","payload":{},"timestamp":1}',
    "two messages in one": envelope("agent:stream") * 2,
}


class Bystanders:
    """A pair of somebody else's, and the attacked user's phone: none of them may notice anything."""

    def __init__(self, agent: Peer, phone: Peer, watcher: Peer) -> None:
        self._agent = agent
        self._phone = phone
        self._watcher = watcher

    async def see_it_come(self) -> None:
        """The attacker is a desktop of the watcher's own user."""
        await self._watcher.expect("desktop:online")

    async def noticed_nothing(self) -> None:
        assert await self._watcher.sync() == []
        await self._agent.send("agent:status", {"state": "idle"})
        assert (await self._phone.next()).type == "agent:status"


@asynccontextmanager
async def bystanders(hub: HubProcess, attacked: str) -> AsyncIterator[Bystanders]:
    user = new_name("u")
    async with (
        desktop(hub, new_name("d"), user) as agent,
        mobile(hub, user) as phone,
        mobile(hub, attacked) as watcher,
    ):
        await phone.sync()
        await watcher.sync()
        yield Bystanders(agent, phone, watcher)


@pytest.mark.parametrize("fault", BAD_TEXTS)
async def test_text_made_to_break_parsers_is_answered_and_forwarded_to_nobody(hub: HubProcess, fault: str) -> None:
    user = new_name("u")
    async with bystanders(hub, user) as others, raw_desktop(hub, new_name("d"), user) as attacker:
        await others.see_it_come()
        await attacker.send(frame(TEXT, BAD_TEXTS[fault].encode()))
        error = await attacker.expect("error")
        assert error["payload"]["code"] == "bad_envelope"  # type: ignore[index]
        await attacker.say("heartbeat")
        await attacker.expect("heartbeat:ack")
        await others.noticed_nothing()
    assert "Traceback" not in hub.log, hub.log


async def test_what_a_parser_can_take_is_forwarded(hub: HubProcess) -> None:
    """The bounds themselves, and what looks like one of the faults and isn't."""
    user = new_name("u")
    fine = [
        '{"a":' * 200 + "1" + "}" * 200,
        f'{{"n":{"9" * 4300}}}',
        '{"t":"\\ud83d\\ude00 NaN [[[[ \\\\ud800"}',
        '{"a":1,"a":2}',
        '{"type":"type","payload":{"payload":[]},"timestamp":"\\"timestamp\\""}',
        '{"":{}}',
    ]
    async with mobile(hub, user) as phone, desktop(hub, new_name("d"), user) as agent:
        for payload in fine:
            await agent.socket.send(f'{{"type":"agent:stream","payload":{payload},"timestamp":1}}')
            assert (await phone.expect("agent:stream")).raw_payload == payload


@pytest.mark.parametrize(
    "text",
    [b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\xe2\x82"],
)
async def test_what_is_not_utf8_reaches_nobody(hub: HubProcess, text: bytes) -> None:
    body = b'{"type":"agent:stream","payload":{"t":"%b"},"timestamp":1}' % text
    user = new_name("u")
    async with bystanders(hub, user) as others:
        for parts in ([frame(TEXT, body)], [frame(TEXT, body[:39], fin=False), frame(CONTINUATION, body[39:])]):
            async with raw_desktop(hub, new_name("d"), new_name("u")) as attacker:
                await attacker.send(b"".join(parts))
                assert (await attacker.close_frame()).code == 1007
        async with raw_mobile(hub, user) as attacker:
            await attacker.send(frame(CLOSE, b"\x03\xe8" + text))
            assert (await attacker.close_frame()).code == 1007
        await others.noticed_nothing()


async def test_random_bytes_after_the_upgrade(hub: HubProcess) -> None:
    """Noise, and noise that looks like frames: it ends with a close or a hang-up, and nobody else notices."""
    chance = random.Random(20_250_101)
    user = new_name("u")
    async with bystanders(hub, user) as others:
        for round_ in range(60):
            async with raw_mobile(hub, new_name("u")) as attacker:
                noise = chance.randbytes(chance.choice([1, 14, 200, 70_000]))
                if round_ % 3 == 1:
                    noise = frame(chance.randrange(16), noise, reserved=chance.choice([0, 0, 1]))
                if round_ % 3 == 2:
                    noise = frame(TEXT, noise[:60], fin=False) + frame(chance.choice([0, 9, 10]), noise[60:])
                with contextlib.suppress(ConnectionError):  # It may have hung up over the noise.
                    await attacker.send(noise)
                    await attacker.send(frame(CLOSE, b"\x03\xe8"))
        await others.noticed_nothing()
    assert "Traceback" not in hub.log, hub.log


async def test_identity_comes_from_the_token_alone(hub: HubProcess) -> None:
    """Every way to name somebody else: nothing of it reaches them, and nothing is said in their name."""
    victim, attacker, its_desktop, my_desktop = new_name("u"), new_name("u"), new_name("d"), new_name("d")
    claims = {"user_id": victim, "desktop_id": its_desktop, "device_id": "v", "sub": victim, "from": victim}
    async with (
        desktop(hub, its_desktop, victim) as victims_agent,
        mobile(hub, victim) as victims_phone,
        desktop(hub, my_desktop, attacker) as my_agent,
        mobile(hub, attacker) as my_phone,
    ):
        await victims_phone.sync()
        await victims_agent.sync()
        await my_agent.send("agent:response", {"text": "forged", **claims}, **claims)
        came = await my_phone.expect("agent:response")
        assert came.whole["desktop_id"] == my_desktop
        for kind in ("user:message", "session:create"):
            await my_phone.send(kind, {"session_id": "s", **claims}, **claims)
            error = await my_phone.expect("error")
            assert error.payload["code"] in ("desktop_not_found", "unavailable")
        await my_phone.send("user:message", {"desktop_id": my_desktop, "user_id": victim}, **claims)
        assert (await my_agent.expect("user:message")).whole["user_id"] == attacker
        for peer in (victims_agent, victims_phone):
            assert await peer.sync() == []
