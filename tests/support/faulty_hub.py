"""`python -m tests.support.faulty_hub serve`: the hub, with a bug in each layer that a name sets off.

Which bug it is says the message's id, or the user's id before the first dot. Everything else runs as it is.
"""

from collections.abc import Callable
from typing import Any

from actors.connection import Connection
from actors.desktop import DesktopConnection
from actors.supervisor import Supervisor
from hub.cli import main
from hub.node import Node
from hub.presence.store import RedisPresenceStore
from hub.transport import WebSocketTransport
from hub.wire import JsonCodec


class InjectedError(Exception):
    """A bug."""


def _spoil(owner: type, name: str, sets_off: Callable[..., bool]) -> None:
    sound = getattr(owner, name)

    def spoilt(*args: Any, **kwargs: Any) -> Any:
        if sets_off(*args, **kwargs):
            raise InjectedError(name)
        return sound(*args, **kwargs)

    setattr(owner, name, spoilt)


def _once(sets_off: Callable[..., bool]) -> Callable[..., bool]:
    """Let it happen the first time only."""
    left = [True]
    return lambda *args: sets_off(*args) and bool(left) and left.pop()


def _user_is(bug: str) -> Callable[..., bool]:
    return lambda connection, *_: connection.identity.user_id.split(".")[0] == bug


def _inject() -> None:
    _spoil(DesktopConnection, "_accept", lambda _, envelope, __: envelope.message_id == "bug-in-actor")
    _spoil(JsonCodec, "to_mobile", lambda _, envelope, *__: envelope.message_id == "bug-in-codec")
    _spoil(JsonCodec, "to_desktop", lambda _, envelope, __: envelope.message_id == "bug-in-codec")
    _spoil(Connection, "_check", lambda connection: _user_is("bug-in-alarm")(connection) and connection._alarm)
    _spoil(Supervisor, "_record_of", _once(lambda _, desktop, __: desktop.name == "bug-in-record"))
    _spoil(Supervisor, "_notify", _once(lambda _, __, notice, ___: getattr(notice, "name", "") == "bug-in-notice"))
    _spoil(Supervisor, "join_mobile", lambda _, route, *__: _user_is("bug-in-join")(route))
    _spoil(Supervisor, "part_mobile", lambda _, route: _user_is("bug-in-part")(route))
    _spoil(WebSocketTransport, "_answer_ping", lambda _, body: body == b"bug-in-transport")
    _spoil(Node, "new_mobile", lambda _, identity, __: identity.user_id.startswith("bug-in-node"))
    _spoil(RedisPresenceStore, "user", lambda _, user_id: user_id.startswith("bug-in-store"))


if __name__ == "__main__":
    _inject()
    main()
