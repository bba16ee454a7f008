"""One hub process from its first socket to its last: listening, signals, and the way out."""

import asyncio
import gc
import signal
import socket
import ssl
from collections.abc import Callable
from typing import Any

from sanic import Sanic

from hub.app import create_app
from hub.config import Settings
from hub.node import Node
from hub.transport import HIGH_WATER
from hub.upgrade import HubProtocol

BACKLOG = 4096
LAST_ANSWERS_S = 0.5
_GC_YOUNG, _GC_MIDDLE, _GC_OLD = 50_000, 20, 50


async def serve(settings: Settings, started: Callable[[str], object]) -> None:
    """Run the hub until SIGTERM or SIGINT; a second one hurries.

    Args:
        settings: What to run with.
        started: Called with the hub's HTTP URL once it is ready.

    Raises:
        OSError: If the address is taken.
        hub.embedded_valkey.DataDirInUse: If another hub holds the data directory.
        hub.embedded_valkey.EmbeddedValkeyFailed: If the embedded server did not come up.
    """
    with _listen(settings.host, settings.port) as listener:
        node = Node(settings)
        app = create_app(settings, node)
        server = await _start_serving(app, settings, listener)
        stop = _watch_signals(node)
        try:
            await node.start()
            _tame_garbage_collector()
            started(_url(settings, listener))
            await stop.wait()
            await node.drain()
        finally:
            await _stop_serving(server)
            await node.stop()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    listener.setblocking(False)  # noqa: FBT003 - positional only
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        # Accepted sockets inherit it: what a slow reader hasn't got yet waits here, where it is bounded and seen to
        # move, rather than in the kernel.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, HIGH_WATER)
    return listener


async def _start_serving(app: Sanic[Any, Any], settings: Settings, listener: socket.socket) -> Any:  # noqa: ANN401 - Sanic's AsyncioServer is untyped
    kwargs: dict[str, Any] = {"start_serving": False}
    context = _tls(settings)
    if context is not None:
        kwargs["ssl_handshake_timeout"] = settings.handshake_deadline_s
    server: Any = await app.create_server(
        sock=listener, ssl=context, protocol=HubProtocol, backlog=BACKLOG, asyncio_server_kwargs=kwargs
    )
    await server.startup()
    await server.before_start()
    await server.start_serving()
    await server.after_start()
    return server


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

    for number in (signal.SIGTERM, signal.SIGINT):
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


def _url(settings: Settings, listener: socket.socket) -> str:
    scheme = "http" if settings.tls_cert is None else "https"
    port = listener.getsockname()[1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{scheme}://{host}:{port}"
