import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme
from websockets.asyncio.server import serve

from hub.client import (
    Connected,
    Disconnected,
    HubClient,
    HubClosed,
    Message,
    NotConnected,
    TokenSource,
    TooBig,
    Welcome,
)
from tests.support.fake_world import FakeWorld
from tests.support.scripted_hub import WELCOME, Peer, Refusal, Script, ScriptedHub

SECRET = "a.very.secret-token"


async def stay(peer: Peer) -> None:
    await peer.welcome()
    await peer.stay()


def closing(code: int, reason: str = "") -> Script:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.close(code, reason)

    return script


def tokens(*given: str) -> TokenSource:
    left = list(given)

    async def source() -> str:
        return left.pop(0) if len(left) > 1 else left[0]

    return source


@asynccontextmanager
async def joined(
    *scripts: Script, token: str | TokenSource = SECRET, fake: FakeWorld | None = None
) -> AsyncIterator[tuple[ScriptedHub, HubClient, FakeWorld]]:
    fake = fake or FakeWorld()
    async with (
        ScriptedHub(*scripts).running() as hub,
        HubClient(hub.url, "desktop", token, world=fake.world()) as client,
    ):
        yield hub, client, fake


async def until_connected(client: HubClient, times: int = 1) -> list[Connected | Disconnected]:
    """Read until the client was connected that often; return what happened to the connection."""
    seen: list[Connected | Disconnected] = []
    async for event in client.events():
        if not isinstance(event, Message):
            seen.append(event)
        if sum(isinstance(each, Connected) for each in seen) == times:
            break
    return seen


async def test_it_waits_for_welcome_and_keeps_what_it_says() -> None:
    async with joined(stay) as (_, client, _):
        assert await client.ready() == Welcome(**WELCOME)  # type: ignore[arg-type]


async def test_what_comes_before_welcome_is_not_it() -> None:
    async def script(peer: Peer) -> None:
        await peer.say("strange", {})
        await stay(peer)

    async with joined(script) as (_, client, _):
        assert (await client.ready()).node_id == "node-1"


async def test_the_token_travels_in_the_header_and_the_role_in_the_path() -> None:
    async with joined(stay) as (hub, client, _):
        await client.ready()
    assert hub.tokens == [f"Bearer {SECRET}"]
    assert hub.peers[0].path == "/ws/desktop"


async def test_messages_come_in_order_with_their_stamps_and_unknown_types_too() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.say("user:message", {"text": "hi"}, message_id="m", user_id="u", device_id="d", extra=1)
        await peer.say("from:the:future", {"x": [1]}, desktop_id="desk")
        await peer.stay()

    async with joined(script) as (_, client, _):
        messages = aiter(client)
        assert await anext(messages) == Message("user:message", {"text": "hi"}, 1, "m", None, "u", "d")
        assert await anext(messages) == Message("from:the:future", {"x": [1]}, 1, desktop_id="desk")


async def test_what_is_no_message_is_skipped() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        for text in ("no json", "[]", '{"type":1,"payload":{},"timestamp":1}', "[" * 100_000):
            await peer.socket.send(text)
        await peer.say("error", {"code": "bad_envelope", "message": "?"})
        await peer.stay()

    async with joined(script) as (_, client, _):
        assert (await anext(aiter(client))).type == "error"


async def test_send_arrives_as_an_envelope() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.say("echo", await peer.hear())

    async with joined(script) as (_, client, _):
        await client.send("agent:stream", {"text": "ä"}, message_id="m-1")
        assert (await anext(aiter(client))).payload == {
            "type": "agent:stream",
            "payload": {"text": "ä"},
            "timestamp": 1_700_000_000_000,
            "message_id": "m-1",
        }


@pytest.mark.parametrize("code", [4001, 4003, 4005, 4006, 4007, 4042])
async def test_40xx_stops(code: int) -> None:
    async with joined(closing(code)) as (hub, client, fake):
        with pytest.raises(HubClosed) as caught:
            await until_connected(client, times=2)
        assert caught.value.code == code
        assert str(code) in str(caught.value)
        assert len(hub.tokens) == 1
        assert fake.waits == []
        with pytest.raises(HubClosed):
            await client.send("heartbeat", {})
        with pytest.raises(HubClosed):
            await client.ready()


async def test_superseded_says_so_in_words() -> None:
    async with joined(closing(4005)) as (_, client, _):
        with pytest.raises(HubClosed, match="newer connection of the same desktop") as caught:
            await until_connected(client, times=2)
        assert caught.value.name == "superseded"


@pytest.mark.parametrize("code", [4101, 4102, 4103, 1000, 1001, 1008, 1009, 1011, 1012, 1013, 4999])
async def test_41xx_and_the_codes_of_the_rfc_come_back_with_back_off(code: int) -> None:
    async with joined(closing(code, "why"), closing(code), stay) as (_, client, fake):
        seen = await until_connected(client, times=3)
        assert seen[1] == Disconnected(code, "why", 0.25)
        assert fake.waits == [0.25, 0.5]


async def test_a_lost_link_comes_back_with_back_off() -> None:
    async def cut(peer: Peer) -> None:
        await peer.welcome()
        peer.cut()

    async with joined(cut, stay) as (_, client, _):
        assert (await until_connected(client, times=2))[1] == Disconnected(1006, "lost", 0.25)


async def test_a_stable_connection_forgets_the_failures() -> None:
    async def later(peer: Peer) -> None:
        await peer.welcome()
        await peer.hear("agent:status")
        await peer.close(4102)

    async with joined(closing(4102), closing(4102), later, stay) as (_, client, fake):
        await until_connected(client, times=3)
        fake.now += 11.0
        await client.send("agent:status", {})
        await until_connected(client)
        assert fake.waits == [0.25, 0.5, 0.25]


async def test_resync_comes_back_at_once_but_not_for_ever() -> None:
    async with joined(closing(4202), closing(4202), closing(4202), stay) as (hub, client, fake):
        await until_connected(client, times=4)
        assert fake.waits == [0.0, 0.25, 0.5]
        assert len(hub.tokens) == 4


async def test_an_expired_token_is_replaced_at_once() -> None:
    async with joined(closing(4201), stay, token=tokens("old", "new")) as (hub, client, fake):
        await until_connected(client, times=2)
        assert hub.tokens == ["Bearer old", "Bearer new"]
        assert fake.waits == [0.0]


async def test_an_expired_token_without_another_stops() -> None:
    async with joined(closing(4201)) as (hub, client, _):
        with pytest.raises(HubClosed, match="expired, and there is no other one") as caught:
            await until_connected(client, times=2)
        assert (caught.value.code, caught.value.name) == (4201, "token_expired")
        assert len(hub.tokens) == 1


@pytest.mark.parametrize(("status", "problem"), [(401, "token_invalid"), (403, "forbidden")])
async def test_a_refused_token_stops(status: int, problem: str) -> None:
    async with joined(Refusal(status, problem)) as (hub, client, _):
        with pytest.raises(HubClosed) as caught:
            await until_connected(client)
        assert (caught.value.code, caught.value.name) == (status, problem)
        assert len(hub.tokens) == 1
        with pytest.raises(HubClosed):
            await client.ready()


async def test_a_refused_token_is_replaced_once() -> None:
    async with joined(Refusal(401), stay, token=tokens("old", "new")) as (hub, client, _):
        assert (await until_connected(client))[0] == Disconnected(401, "HTTP 401 Unauthorized", 0.0)
        assert hub.tokens == ["Bearer old", "Bearer new"]


async def test_a_source_of_bad_tokens_is_not_asked_for_ever() -> None:
    async with joined(Refusal(401), token=tokens("1", "2", "3", "4")) as (hub, client, _):
        with pytest.raises(HubClosed):
            await until_connected(client)
        assert len(hub.tokens) == 2


async def test_a_failing_token_source_ends_the_client_with_its_own_fault() -> None:
    async def source() -> str:
        raise LookupError("the vault is shut")

    async with joined(stay, token=source) as (_, client, _):
        with pytest.raises(LookupError, match="vault"):
            await until_connected(client)
        with pytest.raises(LookupError):
            await client.send("heartbeat", {})


async def test_goodbye_keeps_reading_until_the_close_and_waits_as_long_as_asked() -> None:
    async def leaving(peer: Peer) -> None:
        await peer.welcome()
        await peer.say("goodbye", {"reason": "restarting", "retry_after_ms": 1500})
        await peer.say("user:message", {"text": "one more"})
        await peer.close(1012, "restarting")

    async with joined(leaving, stay) as (_, client, _):
        events = client.events()
        kinds = [event.type if isinstance(event, Message) else event async for event in _first(events, 5)]
        assert kinds[1:4] == ["goodbye", "user:message", Disconnected(1012, "restarting", 1.75)]
        assert isinstance(kinds[4], Connected)


async def _first(events: AsyncIterator[object], count: int) -> AsyncIterator[object]:
    for _ in range(count):
        yield await anext(events)


async def test_a_goodbye_does_not_soften_a_stop() -> None:
    async def leaving(peer: Peer) -> None:
        await peer.welcome()
        await peer.goodbye(10, code=4005)

    async with joined(leaving) as (_, client, _):
        with pytest.raises(HubClosed):
            await until_connected(client, times=2)


async def test_503_waits_as_long_as_retry_after_says() -> None:
    refusal = Refusal(503, "draining", {"Retry-After": "7"})
    async with joined(refusal, Refusal(503, headers={"Retry-After": "soon"}), stay) as (_, client, fake):
        assert (await until_connected(client))[0] == Disconnected(503, "draining", 7.25)
        assert fake.waits == [7.25, 0.5]


async def test_nobody_there_yet() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    fake = FakeWorld()
    async with HubClient(f"ws://127.0.0.1:{port}", "mobile", SECRET, world=fake.world()) as client:
        first = await anext(client.events())
        assert isinstance(first, Disconnected)
        assert first.code == 1006
        assert "no connection" in first.reason
        async with ScriptedHub(stay).running(port):
            await until_connected(client)
            await client.close()
    assert fake.waits[0] == 0.25


async def test_a_hub_with_a_certificate_that_nobody_vouches_for() -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    async with serve(lambda _: asyncio.sleep(0), "127.0.0.1", 0, ssl=context) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with HubClient(f"wss://localhost:{port}", "mobile", SECRET, world=FakeWorld().world()) as client:
            first = await anext(client.events())
    assert isinstance(first, Disconnected)
    assert "certificate verify failed" in first.reason


async def test_no_welcome_is_no_connection() -> None:
    async def mute(peer: Peer) -> None:
        await peer.stay()

    fake = FakeWorld()
    async with (
        ScriptedHub(mute, stay).running() as hub,
        HubClient(hub.url, "desktop", SECRET, open_timeout_s=0.05, world=fake.world()) as client,
    ):
        first = await anext(client.events())
        assert isinstance(first, Disconnected)
        assert "no welcome" in first.reason


async def test_a_close_before_welcome_counts_by_its_code() -> None:
    async def refuse(peer: Peer) -> None:
        await peer.say("error", {"code": "token_invalid", "message": "?"})
        await peer.close(4001, "token_invalid")

    async with joined(refuse) as (_, client, _):
        with pytest.raises(HubClosed, match="4001 token_invalid"):
            await client.ready()


async def test_heartbeats_go_out_as_often_as_the_hub_asks() -> None:
    beaten = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.welcome(heartbeat_ms=12_000)
        assert (await peer.hear())["type"] == "heartbeat"
        await peer.say("heartbeat:ack", {"server_time": 1, "next_ms": 8_000})
        await peer.say("user:message", {})
        await peer.hear("heartbeat")
        beaten.set()
        await peer.stay()

    async with joined(script) as (_, client, fake):
        fake.beat()
        assert (await anext(aiter(client))).type == "user:message"
        fake.beat()
        await beaten.wait()
        assert fake.beats[0] == 12.0
        assert fake.beats[2] == 8.0


async def test_the_default_world_beats_by_the_real_clock() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome(heartbeat_ms=20)
        await peer.hear("heartbeat")
        await peer.hear("heartbeat")
        await peer.close(4005)

    async with ScriptedHub(script).running() as hub, HubClient(hub.url, "desktop", SECRET) as client:
        with pytest.raises(HubClosed):
            await until_connected(client, times=2)


async def test_send_waits_for_a_connection() -> None:
    arrived = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.hear("agent:response")
        arrived.set()
        await peer.stay()

    async with joined(Refusal(503), script) as (_, client, _):
        await client.send("agent:response", {})
        await arrived.wait()


async def test_send_waits_only_so_long() -> None:
    async def mute(peer: Peer) -> None:
        await peer.stay()

    async with joined(mute) as (_, client, _):
        with pytest.raises(NotConnected, match=r"in 0\.01 s"):
            await client.send("agent:response", {}, timeout_s=0.01)
        with pytest.raises(NotConnected):
            await client.ready(0.01)


async def test_what_the_hub_would_not_take_is_not_sent() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome(max_bytes=100)
        await peer.stay()

    async with joined(script) as (hub, client, _):
        with pytest.raises(TooBig, match="100 at most"):
            await client.send("agent:response", {"text": "x" * 100})
        await client.close()
        assert hub.peers[0].heard == []


@pytest.mark.parametrize("payload", [{"x": float("nan")}, {"x": object()}, {"x": "\ud800"}])
async def test_what_is_no_json_is_not_sent(payload: dict[str, object]) -> None:
    async with joined(stay) as (_, client, _):
        with pytest.raises((TypeError, ValueError)):
            await client.send("agent:response", payload)


async def test_close_ends_the_iteration_with_1000_and_is_no_reason_to_come_back() -> None:
    async with joined(stay) as (hub, client, fake):
        await client.ready()
        await client.close()
        await client.close()
        assert [message async for message in client] == []
        await hub.gone.wait()
        assert hub.peers[0].socket.close_code == 1000
        assert fake.waits == []
        with pytest.raises(NotConnected, match="closed"):
            await client.send("heartbeat", {})


async def test_what_had_arrived_can_be_read_after_close() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.say("user:message", {"text": "hi"})
        await peer.say("echo", await peer.hear())

    async with joined(script) as (_, client, _):
        await client.ready()
        messages = aiter(client)
        await anext(messages)
        await client.send("agent:status", {})
        await client.close()
        assert all([message.type == "echo" async for message in messages])


async def test_close_with_a_reason_says_goodbye_first() -> None:
    async with joined(stay) as (hub, client, _):
        await client.ready()
        await client.close("lunch")
        await hub.gone.wait()
    assert hub.peers[0].heard[-1]["type"] == "goodbye"
    assert hub.peers[0].heard[-1]["payload"] == {"reason": "lunch"}


async def test_close_while_connecting() -> None:
    async def mute(peer: Peer) -> None:
        await peer.stay()

    async with joined(mute) as (_, client, _):
        await client.close("never mind")
        assert [event async for event in client.events()] == []


async def test_a_reader_that_lags_slows_the_socket_and_loses_nothing() -> None:
    async def flood(peer: Peer) -> None:
        await peer.welcome()
        for number in range(2000):
            await peer.say("agent:stream", {"n": number})
        await peer.stay()

    async with joined(flood) as (_, client, _):
        await client.ready()
        numbers = []
        async for message in client:
            numbers.append(message.payload["n"])
            if len(numbers) == 2000:
                break
        assert numbers == list(range(2000))


async def test_no_token_in_any_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with joined(Refusal(401), closing(4102), stay, token=tokens(SECRET, SECRET + "2")) as (_, client, _):
        await until_connected(client, times=2)
    logged = [record for record in caplog.records if record.name != "websockets.server"]
    assert all(SECRET not in record.getMessage() for record in logged)


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://hub", "ws://", ""])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match="no address of a hub"):
        HubClient(url, "desktop", SECRET)
