"""The address to listen on: free, or taken, and if so, by a hub?"""

import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from hub.config import Settings
from hub.doctor.finding import Finding, error, note, ok

_ABOUT = "port"
_ANSWER_S = 2.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to ask, not where to listen


@dataclass(frozen=True, slots=True)
class Port:
    """What was found there.

    Attributes:
        fault: The `errno` of an attempt to bind; 0 if it went well; -1 if the host's name leads nowhere.
        status: The `status` of `/healthz`, if a hub answered there.
    """

    fault: int = 0
    status: str | None = None


async def look_at_port(settings: Settings) -> Port:
    """Bind the address for a moment, without listening; if it is taken, ask there for `/healthz`."""
    fault = _bind(settings.host, settings.port)
    return Port(fault, await _ask_hub(settings) if fault == errno.EADDRINUSE else None)


def check_port(settings: Settings, port: Port) -> Iterator[Finding]:
    """Say whether the hub can listen."""
    where = f"{settings.host} port {settings.port}"
    if settings.port == 0 and port.fault == 0:
        yield ok(_ABOUT, f"{settings.host}, any free port")
    elif port.fault == 0:
        yield ok(_ABOUT, f"{where} is free")
    elif port.status == "alive":
        yield note(_ABOUT, f"{where} is taken: a hub runs there, alive", "a second one needs another HUB_PORT")
    elif port.status is not None:
        yield error(_ABOUT, f"a hub is on {where}, and it is {port.status}", "restart it")
    elif port.fault == errno.EADDRINUSE:
        yield error(_ABOUT, f"{where} is taken, not by a hub", "find out by whom (ss -ltnp), or set HUB_PORT")
    elif port.fault in (errno.EACCES, errno.EPERM):
        yield error(_ABOUT, f"this user may not listen on {where}", "take a port above 1023, or a proxy in front")
    else:
        yield error(_ABOUT, f"{settings.host} is no address of this machine", "set HUB_HOST")


def _bind(host: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the hub: in nobody's way, who doesn't listen
        try:
            probe.bind((host, port))
        except socket.gaierror:
            return -1
        except OSError as reason:
            return reason.errno or -1
    return 0


async def _ask_hub(settings: Settings) -> str | None:
    scheme = "http" if settings.tls_cert is None else "https"
    host = _ANYWHERE.get(settings.host, settings.host)
    where = f"[{host}]" if ":" in host else host
    # Whoever is there is asked for nothing but its health, and told nothing: no certificate has to be checked.
    async with httpx.AsyncClient(verify=False, trust_env=False, timeout=_ANSWER_S) as client:  # noqa: S501
        try:
            status = (await client.get(f"{scheme}://{where}:{settings.port}/healthz")).json()["status"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return None
    return status if status in ("alive", "stuck") else None
