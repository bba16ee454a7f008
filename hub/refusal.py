"""A client that was upgraded only so that it can be told why it may not come in (docs/protocol.md, "Tokens")."""

from collections.abc import Callable

from actors.closing import CloseReason
from actors.ports import Transport

_DEADLINE_S = 2.0


class RefusedClient:
    """Says one thing, closes, and listens to nothing; the transport's deadline ends it.

    Args:
        frame: The `error` to tell.
        reason: What to close with.
    """

    __slots__ = ("_frame", "_gone", "_reason")

    def __init__(self, frame: bytes, reason: CloseReason) -> None:
        self._frame = frame
        self._reason = reason
        self._gone: Callable[[], object] | None = None

    def start(self, gone: Callable[[], object], transport: Transport) -> None:
        """Say it. `gone` is called when the socket is closed."""
        self._gone = gone
        transport.write([self._frame])
        transport.close(self._reason, deadline_s=_DEADLINE_S)

    def receive(self, text: str) -> None:
        """It has nothing to say."""

    def receive_binary(self, body: bytes) -> None:
        """It has nothing to say."""

    def heard(self) -> None:
        """It isn't watched."""

    def write_stalled(self) -> None:
        """The deadline is set already."""

    def writable_again(self) -> None:
        """There is nothing more to write."""

    def peer_closed(self) -> None:
        """That is what it should do."""

    def link_lost(self) -> None:
        """The socket is gone."""
        if self._gone is not None:
            self._gone()

    def close(self, reason: CloseReason, *, deadline_s: float | None = None) -> None:
        """It is closed already."""
