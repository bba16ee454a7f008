"""picows' frame parser, and nothing else of picows, on a socket that Sanic accepted (ADR 0001).

picows parses, unmasks and checks frames in C. Its protocol class is made here, by hand, for a transport that is
already connected and upgraded; what it would write or close itself goes nowhere, since `hub/transport.py` owns the
socket. That reaches into picows: its version is pinned, and tests/unit/hub/test_frame_parser.py fails when one of
these changes:

- the constructor of `WSProtocol`, and that it takes an upgrade request before the first frame;
- that it tells a fault of the peer to the logger's `error`, with the close code first in the second argument;
- that it tunes, writes and closes through the transport object that it was given.
"""

import logging
from http import HTTPStatus
from typing import Protocol

from picows import WSListener, WSUpgradeResponse
from picows.common import WSUpgradeResponseWithListener
from picows.picows import WSProtocol  # type: ignore[attr-defined] # its stub keeps quiet about it

log = logging.getLogger("hub.transport")

READ_BUFFER_BYTES = 2048
"""What a parser starts with: the least that picows takes."""

_REQUEST = (
    b"GET / HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_BUG = 1011
_PROTOCOL_ERROR = 1002


class FaultListener(Protocol):
    """Who is told when the parser gives up."""

    def parser_fault(self, code: int) -> None:
        """The peer broke the protocol; `code` is the close code that fits (1002, 1007, 1009), 1011 for a bug."""
        ...


def new_parser(listener: WSListener, faults: FaultListener, max_frame_bytes: int) -> WSProtocol:
    """Return a protocol that has `listener` told of each frame, unmasked; the caller sets it on a transport.

    Args:
        listener: picows' `on_ws_frame` is called on it.
        faults: Told once or more often when the peer breaks the protocol; no frame follows.
        max_frame_bytes: A longer frame is a fault (1009) as soon as its header is read.
    """
    parser = WSProtocol(
        host_port=None,
        ws_path="/",
        is_client_side=False,
        ws_listener_factory=lambda _: WSUpgradeResponseWithListener(_SILENT_ANSWER, listener),
        logger=_FaultLog(faults),
        disconnect_on_exception=True,
        websocket_handshake_timeout=None,
        enable_auto_ping=False,
        auto_ping_idle_timeout=None,
        auto_ping_reply_timeout=None,
        auto_ping_strategy=1,
        enable_auto_pong=False,
        max_frame_size=max_frame_bytes,
        extra_headers=None,
        read_buffer_init_size=READ_BUFFER_BYTES,
    )
    parser.connection_made(_NO_SOCKET)
    parser.get_buffer(-1)[: len(_REQUEST)] = _REQUEST
    parser.buffer_updated(len(_REQUEST))
    return parser


def feed(parser: WSProtocol, received: bytes) -> None:
    """Have the parser read bytes that were received before it was there."""
    view = memoryview(received)
    while view:
        room = parser.get_buffer(len(view))
        size = min(len(room), len(view))
        room[:size] = view[:size]
        del room
        parser.buffer_updated(size)
        view = view[size:]


class _SilentAnswer(WSUpgradeResponse):
    """The answer to a request that nobody sent."""

    status = HTTPStatus.SWITCHING_PROTOCOLS

    def __init__(self) -> None:
        self.headers = {}  # type: ignore[assignment] # picows only sets one in it

    @staticmethod
    def to_bytes() -> bytearray:
        return bytearray()


_SILENT_ANSWER = _SilentAnswer()


class _NoSocket:
    """The transport and its socket as the parser sees them: it may neither write nor close, nor tune or look.

    Tuning is the listener's (`hub/server.py`), and each look would be a system call for every connection.
    """

    __slots__ = ()

    def get_extra_info(self, name: str) -> "_NoSocket | None":
        return self if name == "socket" else None

    @staticmethod
    def fileno() -> int:
        return -1

    @staticmethod
    def getsockopt(*_: int) -> int:
        return 0

    @staticmethod
    def setsockopt(*_: int) -> None:
        """Done on the listening socket."""

    @staticmethod
    def get_write_buffer_size() -> int:
        return 1  # Never empty: so picows doesn't write to the file descriptor behind everybody's back.

    @staticmethod
    def write(_: bytes) -> None:
        """Dropped: `hub/transport.py` says what there is to say."""

    @staticmethod
    def close() -> None:
        """Left to `hub/transport.py`."""

    abort = close


_NO_SOCKET = _NoSocket()


class _FaultLog:
    """Stands where picows expects a logger; all that it is told but faults is of no interest."""

    __slots__ = ("_faults",)

    def __init__(self, faults: FaultListener) -> None:
        self._faults = faults

    @staticmethod
    def isEnabledFor(_level: int) -> bool:  # noqa: N802 - a logger's name
        return False

    @staticmethod
    def info(*_: object) -> None:
        """Connections come and go."""

    debug = warning = log = info

    def error(self, _text: str, args: object = None, *_: object) -> None:
        code = args[0] if isinstance(args, tuple) and args else _PROTOCOL_ERROR
        self._faults.parser_fault(int(getattr(code, "value", code)))

    def exception(self, *_: object) -> None:
        log.exception("a bug in a connection: it is closed with 1011")
        self._faults.parser_fault(_BUG)
