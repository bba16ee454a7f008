"""The address that the hub listens on: bound for one process, or shared by several (ADR 0012)."""

import socket
from collections.abc import Callable

Bind = Callable[[], socket.socket]


def listen(host: str, port: int, backlog: int) -> socket.socket:
    """Return a listening socket of this process alone, which doesn't block.

    Raises:
        OSError: If the address is taken or isn't this machine's.
    """
    listener = socket.create_server((host, port), family=_family(host), backlog=backlog)
    listener.setblocking(False)  # noqa: FBT003 - positional only
    return listener


def share(host: str, port: int) -> tuple[int, Bind]:
    """Take an address for sockets that share it: each that listens gets its part of the connections.

    Returns:
        The port, and what binds one more socket, which doesn't listen yet. Hold one all the time: the address is taken
        as long as one is bound.

    Raises:
        OSError: If the address is taken, also by sockets that share it, or isn't this machine's.
    """
    if port != 0:
        # Otherwise a second hub of the same user would quietly take its part of the first one's connections.
        _bind(host, port, shared=False).close()
        return port, lambda: _bind(host, port, shared=True)
    first = _bind(host, 0, shared=True)
    port = first.getsockname()[1]
    bound = [first]
    return port, lambda: bound.pop() if bound else _bind(host, port, shared=True)


def url(host: str, port: int, *, tls: bool) -> str:
    """Return the HTTP URL of an address."""
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _bind(host: str, port: int, *, shared: bool) -> socket.socket:
    bound = socket.socket(_family(host), socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if bound.family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # as `listen` does
        bound.setblocking(False)  # noqa: FBT003 - positional only
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise OSError(error.errno, f"{error.strerror} ({host} port {port})") from None
    return bound
