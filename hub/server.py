"""One hub process from its first socket to its last: listening, signals, and the way out."""

import asyncio
import functools
import gc
import signal
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sanic import Sanic

from hub.address import listen, url
from hub.app import create_app
from hub.config import Settings
from hub.node import Node
from hub.transport import HIGH_WATER
from hub.upgrade import Door, Exchange, HubProtocol

BACKLOG = 4096
LAST_ANSWERS_S = 0.5
_GC_YOUNG, _GC_MIDDLE, _GC_OLD = 50_000, 20, 50


@dataclass(frozen=True, slots=True)
class Shift:
    """What is different for a process that is one of several on an address (ADR 0012).

    It listens once it is ready, and not before: until then the others answer.

    Attributes:
        wire: Called with the application before it serves.
        leave: Set when somebody else has the listener: it is let go of at once, and everybody is told goodbye.
        exchange: Where it passes connections on, while it serves.
    """

    wire: Callable[[Sanic[Any, Any]], object]
    leave: asyncio.Event
    exchange: Exchange


async def serve(settings: Settings, started: Callable[[str], object]) -> None:
    """Run the hub until SIGTERM, SIGINT or SIGHUP; a second one hurries.

    Args:
        settings: What to run with.
        started: Called with the hub's HTTP URL once it is ready.

    Raises:
        OSError: If the address is taken.
        hub.embedded_valkey.DataDirInUse: If another hub holds the data directory.
        hub.embedded_valkey.EmbeddedValkeyFailed: If the embedded server did not come up.
    """
    with listen(settings.host, settings.port, BACKLOG) as listener:
        where = url(settings.host, listener.getsockname()[1], tls=settings.tls_cert is not None)
        await run(settings, listener, lambda: started(where))


async def run(
    settings: Settings, listener: socket.socket, started: Callable[[], object], shift: Shift | None = None
) -> None:
    """Run one node on `listener`, which it closes: as `serve`, or as one of several."""
    node = Node(settings)
    app = create_app(settings, node)
    if shift is not None:
        shift.wire(app)
    server = await _prepare(app, settings, listener)
    stop = _watch_signals(node)
    try:
        if shift is None:
            await _open(server)
        await node.start()
        if shift is not None:
            await _open(server)
            if settings.tls_cert is None:  # Halfway through its encryption a connection can't change hands.
                _join(shift.exchange, app, server)
        _tame_garbage_collector()
        started()
        if shift is None:
            await stop.wait()
        else:
            to_leave = await _told_to_leave(stop, shift.leave)
            shift.exchange.close()
            if to_leave:
                server.server.close()
        await node.drain()
    finally:
        await _stop_serving(server)
        await node.stop()


async def _told_to_leave(stop: asyncio.Event, leave: asyncio.Event) -> bool:
    """Wait for either, and say whether it is `leave`."""
    waiting = [asyncio.create_task(event.wait()) for event in (stop, leave)]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    return leave.is_set()


async def _prepare(app: Sanic[Any, Any], settings: Settings, listener: socket.socket) -> Any:  # noqa: ANN401 - Sanic's AsyncioServer is untyped
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        # Accepted sockets inherit it: what a slow reader hasn't got yet waits here, where it is bounded and seen to
        # move, rather than in the kernel.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, HIGH_WATER)
    kwargs: dict[str, Any] = {"start_serving": False}
    context = _tls(settings)
    if context is not None:
        kwargs["ssl_handshake_timeout"] = settings.handshake_deadline_s
    server: Any = await app.create_server(
        sock=listener, ssl=context, protocol=HubProtocol, backlog=BACKLOG, asyncio_server_kwargs=kwargs
    )
    await server.startup()
    await server.before_start()
    return server


async def _open(server: Any) -> None:  # noqa: ANN401 - the same
    await server.start_serving()
    await server.after_start()


def _join(exchange: Exchange, app: Sanic[Any, Any], server: Any) -> None:  # noqa: ANN401 - the same
    door: Door = app.ctx.door
    connections: set[HubProtocol] = server.connections
    loop = asyncio.get_running_loop()
    exchange.open(
        lambda: len(connections) + door.upgraded(),
        functools.partial(HubProtocol, loop=loop, app=app, connections=connections, stays=True),
    )
    door.exchange = exchange


async def _stop_serving(server: Any) -> None:  # noqa: ANN401 - the same
    """Close the listener, give the last answers a moment, and cut what is left."""
    server.server.close()
    await server.before_stop()
    async with asyncio.timeout(LAST_ANSWERS_S * 4):
        deadline = asyncio.get_running_loop().time() + LAST_ANSWERS_S
        while any(not protocol.close_if_idle() for protocol in list(server.connections)):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.02)
        for protocol in list(server.connections):
            protocol.abort()
        await server.after_stop()


def _watch_signals(node: Node) -> asyncio.Event:
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            node.hurry()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    return context


def _tame_garbage_collector() -> None:
    """Thousands of idle connections are long-lived: don't let every burst of messages walk over all of them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_YOUNG, _GC_MIDDLE, _GC_OLD)
    gc.enable()
