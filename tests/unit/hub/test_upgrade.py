"""The way out of Sanic, its door and its deadline; guards for what is used of Sanic's inside (`hub/upgrade.py`)."""

import asyncio
import contextlib
import gc
import importlib.metadata
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sanic import HTTPResponse, Request, Sanic
from sanic.http import Stage
from sanic.response import text
from sanic.server import HttpProtocol

from actors.turns import Turns
from hub.transport import WebSocketTransport
from hub.upgrade import Door, HubProtocol, protocol_of
from tests.support.raw import TEXT, Frame, RawClient, frame
from tests.support.sockets import Listener

HANDSHAKE_S = 0.2
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, section 1.3
GET = "GET {} HTTP/1.1\r\nHost: hub\r\n\r\n"
UPGRADE = b"GET /ws HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.002)


class Served:
    """A small Sanic application behind the hub's protocol."""

    def __init__(self, server: Any, port: int, door: Door) -> None:
        self.server = server
        self.port = port
        self.door = door
        self.listeners: list[Listener] = []
        self.bug: Exception | None = None
        self.links: list[socket.socket] = []

    async def client(self) -> RawClient:
        link = socket.socket()
        self.links.append(link)
        link.settimeout(0)
        await asyncio.get_running_loop().sock_connect(link, ("127.0.0.1", self.port))
        return RawClient(link)

    def start(self, transport: WebSocketTransport) -> None:
        """What a connection does first."""
        self.listeners[-1].transport = transport
        if self.bug is not None:
            raise self.bug
        transport.write([b"\x81\x05hello"])


@pytest.fixture(autouse=True)
def _no_garbage_collection() -> Iterator[None]:
    """In the whole suite's process a collection takes longer than the deadlines of these tests."""
    gc.disable()
    yield
    gc.enable()


@asynccontextmanager
async def served(max_sockets: int = 100, spare_sockets: int = 10, *, patience: float = 1.0) -> AsyncIterator[Served]:
    """Serve; `patience`: how many times as long as usual every deadline is."""
    app: Sanic[Any, Any] = Sanic(f"upgrade-{secrets.token_hex(4)}", configure_logging=False)
    deadlines = {"REQUEST_TIMEOUT": 0.3, "RESPONSE_TIMEOUT": 1.0, "KEEP_ALIVE_TIMEOUT": 0.4}
    app.config.update({"ACCESS_LOG": False, **{name: patience * seconds for name, seconds in deadlines.items()}})
    app.config.TOUCHUP = False  # It rewrites Sanic's classes, which works once a process.
    upgraded: list[Listener] = []
    door = Door(max_sockets, spare_sockets, patience * HANDSHAKE_S, lambda: len(upgraded))
    app.ctx.door = door
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0)
    server: Any = await app.create_server(
        sock=listener, protocol=HubProtocol, asyncio_server_kwargs={"start_serving": False}
    )
    made = Served(server, listener.getsockname()[1], door)
    made.listeners = upgraded
    turns = Turns(asyncio.get_running_loop())

    async def ws(request: Request) -> HTTPResponse | None:
        if protocol_of(request).crowded:
            return text("crowded", status=503)
        upgraded.append(Listener())
        protocol_of(request).upgrade(KEY, request.args.get("sub"), upgraded[-1], 1000, turns, made.start)
        return None

    async def plain(_: Request) -> HTTPResponse:
        return text("plain")

    async def slow(_: Request) -> HTTPResponse:
        await asyncio.sleep(HANDSHAKE_S * 2)
        return text("slow")

    ws.is_websocket = True  # type: ignore[attr-defined]
    for handler in (ws, plain, slow):
        app.add_route(handler, f"/{handler.__name__}", methods=["GET", "POST"])
    await server.startup()
    await server.before_start()
    await server.start_serving()
    await server.after_start()
    try:
        yield made
    finally:
        server.server.close()
        await server.before_stop()
        for link in made.links:
            link.close()
        await _until(lambda: not server.connections and all("link_lost" in one.told for one in upgraded))
        await server.after_stop()
        Sanic.unregister_app(app)


# -- guards --------------------------------------------------------------------------------------------------------


def test_the_version_is_the_one_that_the_guards_were_written_for() -> None:
    assert importlib.metadata.version("sanic") == "25.12.1"


async def test_sanics_protocol_has_what_the_hub_uses_of_it() -> None:
    async with served() as hub:
        client = await hub.client()
        await client.send(b"GET /plain HTTP/1.1\r\n")
        await _until(lambda: bool(hub.server.connections))
        [protocol] = hub.server.connections
        assert isinstance(protocol, HttpProtocol)
        await _until(lambda: bool(protocol.recv_buffer))
        assert protocol.http is not None
        assert protocol.http.stage is Stage.REQUEST
        assert protocol.state["requests_count"] == 0
        assert callable(protocol.close)
        assert hasattr(protocol, "_callback_check_timeouts")


async def test_the_set_of_sanics_connections_is_the_servers_own() -> None:
    async with served() as hub:
        await hub.client()
        await _until(lambda: bool(hub.server.connections))
        [protocol] = hub.server.connections
        assert protocol.connections is hub.server.connections


# -- the upgrade ---------------------------------------------------------------------------------------------------


async def test_the_answer_is_rfc_6455s_and_the_first_messages_leave_with_it() -> None:
    async with served() as hub:
        client = await hub.client()
        await client.send(UPGRADE)
        answer = await client.read()
        head, _, first = answer.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        assert lines[0] == "HTTP/1.1 101 Switching Protocols"
        assert f"Sec-WebSocket-Accept: {ACCEPT}" in lines
        assert not [line for line in lines if line.startswith("Sec-WebSocket-Protocol")]
        assert first == b"\x81\x05hello"


async def test_a_chosen_subprotocol_is_answered_and_no_extension_is() -> None:
    async with served() as hub:
        client = await hub.client()
        head = await client.upgrade("/ws?sub=hub.v1", {"Sec-WebSocket-Extensions": "permessage-deflate"})
        assert b"\r\nSec-WebSocket-Protocol: hub.v1" in head
        assert b"Extensions" not in head


async def test_after_the_upgrade_sanic_has_forgotten_the_connection_and_writes_nothing() -> None:
    async with served() as hub:
        client = await hub.client()
        await client.upgrade("/ws")
        assert await client.frame() == Frame(TEXT, b"hello")
        assert not hub.server.connections
        await asyncio.sleep(1.1)  # Longer than all of Sanic's own times.
        await client.send(frame(TEXT, b"still here"))
        await _until(lambda: hub.listeners[0].texts == ["still here"])
        hub.listeners[0].transport.write([b"\x81\x02ok"])
        assert await client.frame() == Frame(TEXT, b"ok")


async def test_after_the_upgrade_nothing_of_sanics_protocol_is_kept() -> None:
    def protocols() -> int:
        gc.collect()
        return sum(type(one) is HubProtocol for one in gc.get_objects())

    async with served(patience=100) as hub:  # Counting takes longer than the usual deadlines.
        before = protocols()
        client = await hub.client()
        await _until(lambda: bool(hub.server.connections))
        assert protocols() == before + 1
        await client.upgrade("/ws")
        await _until(lambda: protocols() == before)


async def test_what_came_behind_the_request_is_read_however_much() -> None:
    async with served() as hub:
        client = await hub.client()
        messages = b"".join(frame(TEXT, b"%d" % n + b"x" * 900) for n in range(200))
        await client.send(UPGRADE + messages)
        await _until(lambda: bool(hub.listeners) and len(hub.listeners[0].texts) == 200)


async def test_a_link_that_is_lost_after_the_upgrade_is_told_to_the_connection_only() -> None:
    async with served() as hub:
        client = await hub.client()
        await client.upgrade("/ws")
        hub.links[0].close()
        await _until(lambda: hub.listeners[0].told == ["link_lost"])


async def test_a_handler_that_upgraded_answers_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    """Sanic lets it, since the handler says `is_websocket` and the request asks for the upgrade."""
    async with served() as hub:
        client = await hub.client()
        await client.upgrade("/ws")
        assert await client.frame() == Frame(TEXT, b"hello")
        with pytest.raises(TimeoutError):
            await client.read(0.05)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_connection_that_fails_at_its_start_is_closed_with_1011(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as hub:
        hub.bug = RuntimeError("injected")
        client = await hub.client()
        await client.upgrade("/ws")
        assert (await client.frame()).close.code == 1011
    assert [record.name for record in caplog.records if record.levelno >= logging.ERROR] == ["hub.upgrade"]


# -- the deadline --------------------------------------------------------------------------------------------------


async def _cut_off_after(client: RawClient) -> float:
    began = asyncio.get_running_loop().time()
    assert await client.read() == b""
    return asyncio.get_running_loop().time() - began


@pytest.mark.parametrize(
    "sent", [b"", b"GET /plain HTTP/1.1\r\nHost: h", b"POST /plain HTTP/1.1\r\nContent-Length: 9\r\n\r\nx"]
)
async def test_a_stranger_who_says_too_little_is_cut_off_at_the_deadline(sent: bytes) -> None:
    async with served() as hub:
        client = await hub.client()
        if sent:
            await client.send(sent)
        assert await _cut_off_after(client) == pytest.approx(HANDSHAKE_S, abs=0.15)


async def test_dripping_bytes_does_not_put_the_deadline_off() -> None:
    async with served() as hub:
        client = await hub.client()
        began = asyncio.get_running_loop().time()
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                await client.send(b"G")
                await asyncio.sleep(0.02)
        assert asyncio.get_running_loop().time() - began < 2 * HANDSHAKE_S + 0.1


async def test_the_second_request_of_a_connection_has_a_deadline_of_its_own() -> None:
    async with served() as hub:
        client = await hub.client()
        await client.send(GET.format("/plain").encode())
        assert b"200 OK" in await client.read()
        await asyncio.sleep(HANDSHAKE_S * 1.5)
        await client.send(b"GET /pl")
        assert await _cut_off_after(client) == pytest.approx(HANDSHAKE_S, abs=0.15)


async def test_a_second_request_that_begins_early_has_its_whole_time() -> None:
    async with served() as hub:
        client = await hub.client()
        await client.send(GET.format("/plain").encode())
        assert b"200 OK" in await client.read()
        await asyncio.sleep(HANDSHAKE_S * 0.75)
        await client.send(b"GET /pl")
        assert await _cut_off_after(client) == pytest.approx(HANDSHAKE_S, abs=0.1)


async def test_an_answer_that_takes_longer_than_the_deadline_is_waited_for() -> None:
    async with served() as hub:
        client = await hub.client()
        await client.send(GET.format("/slow").encode())
        assert b"200 OK" in await client.read()


# -- the door ------------------------------------------------------------------------------------------------------


async def test_a_full_hub_upgrades_nobody_but_still_answers_http() -> None:
    async with served(max_sockets=2) as hub:
        for _ in range(2):
            assert b"101" in await (await hub.client()).upgrade("/ws")
        assert b"503" in await (await hub.client()).upgrade("/ws")
        late = await hub.client()
        await late.send(GET.format("/plain").encode())
        assert b"200 OK" in await late.read()
        assert hub.door.turned_away == 0


async def test_beyond_the_spare_sockets_nobody_is_answered_and_it_is_counted() -> None:
    async with served(max_sockets=1, spare_sockets=1) as hub:
        for _ in range(2):
            await hub.client()
        await _until(lambda: len(hub.server.connections) == 2)
        outside = await hub.client()
        assert await outside.read() == b""
        assert hub.door.turned_away == 1
        hub.links[0].close()
        await _until(lambda: len(hub.server.connections) == 1)
        again = await hub.client()
        await again.send(GET.format("/plain").encode())
        assert b"200 OK" in await again.read()
