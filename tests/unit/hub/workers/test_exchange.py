"""The hub's protocol offers what was accepted to the exchange; guards for what is used of Sanic's inside for that."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sanic import HTTPResponse, Request, Sanic
from sanic.response import text

from hub.upgrade import Door, HubProtocol

GET = b"GET / HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n"


class Taker:
    """An exchange that keeps what it takes, if it takes anything."""

    def __init__(self) -> None:
        self.willing = True
        self.taken: list[socket.socket] = []
        self.came_in = 0

    @property
    def held(self) -> int:
        return len(self.taken)

    def open(self, sockets: Callable[[], int], protocol: Callable[[], HubProtocol]) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def entered(self) -> None:
        self.came_in += 1

    def takes(self, descriptor: int) -> bool:
        if self.willing:
            self.taken.append(socket.socket(fileno=os.dup(descriptor)))
        return self.willing


class Served:
    """A small Sanic application whose protocols have an exchange, and what Sanic makes them of."""

    def __init__(self) -> None:
        self.exchange = Taker()
        self.door = Door(2, 0, 5.0, lambda: 0)
        self.door.exchange = self.exchange
        self.given: list[dict[str, Any]] = []
        self.links: list[socket.socket] = []
        self.server: Any = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0)

    async def start(self) -> None:
        app: Sanic[Any, Any] = Sanic(f"exchange-{secrets.token_hex(4)}", configure_logging=False)
        app.config.update({"ACCESS_LOG": False, "TOUCHUP": False})
        app.ctx.door = self.door

        async def answer(request: Request) -> HTTPResponse:
            return text(f"{request.ip} {request.port}")

        app.add_route(answer, "/")
        made: Any = self._made  # in the place of a class
        self.server = await app.create_server(
            sock=self._listener, protocol=made, asyncio_server_kwargs={"start_serving": False}
        )
        await self.server.startup()
        await self.server.before_start()
        await self.server.start_serving()
        await self.server.after_start()

    async def asked(self) -> socket.socket:
        """A client that has sent its request."""
        link = socket.socket()
        self.links.append(link)
        link.settimeout(0)
        await asyncio.get_running_loop().sock_connect(link, self._listener.getsockname())
        link.send(GET)
        return link

    async def stop(self) -> None:
        self.server.server.close()
        await self.server.before_stop()
        for link in (*self.links, *self.exchange.taken):
            link.close()
        await until(lambda: not self.server.connections)
        await self.server.after_stop()
        Sanic.unregister_app(self.server.app)

    def _made(self, **given: Any) -> HubProtocol:
        self.given.append(given)
        return HubProtocol(**given)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.001)


async def answer(link: socket.socket) -> bytes:
    """All that the hub says until it hangs up."""
    said = b""
    async with asyncio.timeout(5):
        while some := await asyncio.get_running_loop().sock_recv(link, 65536):
            said += some
    return said


@pytest.fixture
async def hub() -> AsyncIterator[Served]:
    hub = Served()
    await hub.start()
    yield hub
    await hub.stop()


async def test_what_was_taken_is_unread_and_open_and_can_be_let_in_with_another_protocol(hub: Served) -> None:
    """The other protocol is made as `hub.server` makes it."""
    client = await hub.asked()
    await until(lambda: hub.exchange.held == 1)
    await asyncio.sleep(0.01)
    [taken] = hub.exchange.taken
    assert taken.recv(1000, socket.MSG_PEEK) == GET
    assert not hub.server.connections
    loop, app = asyncio.get_running_loop(), hub.server.app
    await loop.connect_accepted_socket(
        lambda: HubProtocol(loop=loop, app=app, connections=hub.server.connections, stays=True), taken
    )
    ip, port = client.getsockname()
    assert (await answer(client)).endswith(f"{ip} {port}".encode())
    assert (hub.exchange.came_in, len(hub.exchange.taken)) == (1, 1), "it wasn't offered again"


async def test_what_was_not_taken_is_served_as_ever(hub: Served) -> None:
    hub.exchange.willing = False
    assert b"200 OK" in await answer(await hub.asked())


async def test_what_is_held_back_counts_as_open(hub: Served) -> None:
    for _ in range(2):
        await hub.asked()
    await until(lambda: hub.exchange.held == 2)
    with pytest.raises(ConnectionResetError):
        await answer(await hub.asked())
    assert hub.door.turned_away == 1


async def test_sanic_gives_its_protocols_nothing_that_the_hub_does_not_give_to_those_of_its_own(hub: Served) -> None:
    hub.exchange.willing = False
    await answer(await hub.asked())
    [given] = hub.given
    loop, app = given.pop("loop"), given.pop("app")
    assert given.pop("connections") is hub.server.connections
    assert (loop, app) == (asyncio.get_running_loop(), hub.server.app)
    assert not given.pop("signal").stopped
    assert not any(given.values()), given
