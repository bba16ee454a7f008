"""Which live connections revoked tokens opened, and their end."""

from collections.abc import Collection, Iterator

from actors.closing import CloseReason
from actors.ids import DesktopId, UserId
from actors.routes import DesktopRoute, MobileRoute
from actors.supervisor import Supervisor
from hub.revocation.known import KnownRevocations, Target


def close_revoked(supervisor: Supervisor, known: KnownRevocations, targets: Collection[Target]) -> int:
    """Close what revocations of `targets` end (4001), and return how many connections that were.

    A connection is judged by the token that it lives by: the one that opened it, or the newest of `auth:refresh`.
    """
    closed = 0
    for route in dict.fromkeys(_concerned(supervisor, targets)):
        if known.cover(route.identity):
            route.close(CloseReason.TOKEN_INVALID)
            closed += 1
    return closed


def _concerned(supervisor: Supervisor, targets: Collection[Target]) -> Iterator[DesktopRoute | MobileRoute]:
    tokens = {target[1] for target in targets if target[0] == "jti"}
    if tokens:  # The one look at all connections; whose tokens they are stands nowhere else.
        yield from (route for route in supervisor.connections() if route.identity.token_id in tokens)
    for target in targets:
        if target[0] == "desktop_id":
            desktop = supervisor.connection_of(DesktopId(target[1]))
            if desktop is not None:
                yield desktop
        elif target[0] != "jti":
            yield from supervisor.connections(UserId(target[1]))
