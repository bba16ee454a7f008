"""A client's WebSocket: frames in, frames out, and an orderly end whatever the peer does (RFC 6455).

Parsing is `frame_parser.py`'s. Here: fragments are put together within bounds, text is checked to be UTF-8, pings are
answered, writing is watched, and closing has a deadline.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from actors.closing import CloseReason
from actors.turns import Turns
from hub.frame_parser import READ_BUFFER_BYTES, feed, new_parser
from hub.frames import PING_FRAME, close_frame, closing_frame, pong_frame

log = logging.getLogger("hub.transport")

MAX_FRAGMENTS: Final = 1024
HIGH_WATER: Final = 65536
LOW_WATER: Final = 16384
HANG_UP_S: Final = 3.0
"""How long a peer may take to read what was written before it closed."""

BURST: Final = 262_144
"""After so many bytes of one peer the others have their turn: libuv alone reads up to 32 buffers before that."""

_LARGE = 32 * READ_BUFFER_BYTES
_HEADER = 6
_TEXT = WSMsgType.TEXT
_FAULTS = {1002: CloseReason.PROTOCOL_ERROR, 1007: CloseReason.NOT_UTF8, 1009: CloseReason.TOO_BIG}


class Client(Protocol):
    """Who is told what happens on the socket: `actors.connection.Connection`."""

    def receive(self, text: str) -> None: ...  # noqa: D102
    def receive_binary(self, body: bytes) -> None: ...  # noqa: D102
    def heard(self) -> None: ...  # noqa: D102
    def write_stalled(self) -> None: ...  # noqa: D102
    def writable_again(self) -> None: ...  # noqa: D102
    def peer_closed(self) -> None: ...  # noqa: D102
    def link_lost(self) -> None: ...  # noqa: D102
    def close(self, reason: CloseReason, *, deadline_s: float | None = None) -> None: ...  # noqa: D102


class WebSocketTransport(WSListener):
    """One upgraded socket; an `actors.ports.Transport`."""

    __slots__ = (
        "_burst",
        "_client",
        "_close_sent",
        "_deadline",
        "_failed",
        "_fragments",
        "_fragments_are_text",
        "_fragments_bytes",
        "_held",
        "_loop",
        "_max_bytes",
        "_parsed",
        "_pong_due",
        "_socket",
        "_turns",
        "_yielding",
        "writable",
    )

    def __init__(self, transport: asyncio.Transport, client: Client, max_bytes: int, turns: Turns) -> None:
        self._socket = transport
        self._client = client
        self._max_bytes = max_bytes
        self._turns = turns
        self._loop = asyncio.get_running_loop()
        self._fragments: list[bytes] | None = None
        self._fragments_are_text = False
        self._fragments_bytes = 0
        self._pong_due: bytes | None = None
        self._parsed = 0
        self._close_sent = False
        self._failed = False
        self._held = False
        self._yielding = False
        self._burst = 0
        self._deadline: asyncio.TimerHandle | None = None
        self.writable = True

    def read_on(self, received: bytes) -> None:
        """Take over the socket, beginning with what came behind the upgrade request."""
        parser = new_parser(self, self, self._max_bytes)
        self._socket.set_protocol(parser)
        if self.unsent_bytes > HIGH_WATER:
            self.pause_writing()  # The pause was told to the protocol before this one.
        if received:
            feed(parser, received)

    def fail(self, reason: CloseReason) -> None:
        """The peer can't be understood, or we can't go on: say so, and let what it still sends go by."""
        if self._failed:
            return
        self._failed = True
        self._fragments = None
        try:
            self._client.close(reason)
        except Exception:
            log.exception("a bug while a connection is closed: it is cut off")
            self._socket.abort()
            return
        self._loop.call_soon(self._let_go_by)

    # -- actors.ports.Transport ------------------------------------------------------------------------------------

    @property
    def unsent_bytes(self) -> int:
        """What the kernel hasn't taken yet."""
        return self._socket.get_write_buffer_size()

    def write(self, frames: Sequence[bytes]) -> None:
        """Hand over finished frames; all of one turn of the loop leave in one system call."""
        if not self._close_sent:
            self._socket.write(frames[0] if len(frames) == 1 else b"".join(frames))

    def hold_reading(self) -> None:
        """Read nothing until `let_read`, whatever else is resumed meanwhile."""
        self._held = True
        self._socket.pause_reading()

    def let_read(self) -> None:
        """Read again, unless the peer doesn't."""
        self._held = False
        self._resume_reading()

    def ping(self) -> None:
        """Send a ping frame."""
        if not self._close_sent:
            self._socket.write(PING_FRAME)

    def close(self, reason: CloseReason, *, deadline_s: float) -> None:
        """Send the close frame, and cut the link when the peer hasn't closed in time; again: hasten that."""
        if self._close_sent:
            self._hasten(deadline_s)
            return
        self._socket.write(close_frame(reason.code, reason.label))
        self._close_sent = True
        self._deadline = self._loop.call_later(deadline_s, self._socket.abort)

    # -- picows' listener ------------------------------------------------------------------------------------------

    def on_ws_frame(self, _: WSTransport, frame: WSFrame) -> None:
        """One frame came."""
        turns = self._turns
        turns.reading = True
        try:
            if (
                frame.msg_type is _TEXT
                and frame.fin
                and self._fragments is None
                and not (frame.rsv1 or frame.rsv2 or frame.rsv3)
            ):
                self._client.receive(frame.get_payload_as_utf8_text())
            else:
                self._other_frame(frame)
        except UnicodeDecodeError:
            self.fail(CloseReason.NOT_UTF8)
        except Exception:
            log.exception("a bug in a connection: it is closed with 1011")
            self.fail(CloseReason.HUB_FAULT)
        if not frame.last_in_buffer:
            self._parsed += frame.payload_size + _HEADER
        else:
            if self._parsed or frame.payload_size > _LARGE:
                self._end_of_read(frame)
            turns.run()

    def on_ws_disconnected(self, _: WSTransport) -> None:
        """The socket is gone."""
        self.lost()

    def pause_writing(self) -> None:
        """The peer doesn't read: take nothing more from it, so that its pings can't pile up answers."""
        self.writable = False
        self._socket.pause_reading()
        self._client.write_stalled()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self.writable = True
        if self._pong_due is not None:
            self._answer_ping(self._pong_due)
            self._pong_due = None
        self._resume_reading()
        self._client.writable_again()

    # -- hub.frame_parser.FaultListener ----------------------------------------------------------------------------

    def parser_fault(self, code: int) -> None:
        """The peer broke the protocol: nothing that it sends can be understood any more.

        The parser reads a frame ahead: what came whole before the fault is still told, right after this call.
        """
        self._loop.call_soon(self.fail, _FAULTS.get(code, CloseReason.HUB_FAULT))

    # -- within --------------------------------------------------------------------------------------------------

    def _hasten(self, deadline_s: float) -> None:
        if self._deadline is not None and self._loop.time() + deadline_s < self._deadline.when():
            self._deadline.cancel()
            self._deadline = self._loop.call_later(deadline_s, self._socket.abort)

    def lost(self) -> None:
        """The socket is closed, in an orderly way or not; called once."""
        self._close_sent = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._client.link_lost()

    def _other_frame(self, frame: WSFrame) -> None:
        """Everything but a whole text message."""
        kind = frame.msg_type
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self.fail(CloseReason.PROTOCOL_ERROR)
        elif kind is WSMsgType.PING:
            self._client.heard()
            self._answer_ping(frame.get_payload_as_bytes())
        elif kind is WSMsgType.PONG:
            self._client.heard()
        elif kind is WSMsgType.CLOSE:
            self._answer_close(frame)
        else:
            self._fragment(frame, continued=kind is WSMsgType.CONTINUATION)

    def _answer_ping(self, body: bytes) -> None:
        if self._close_sent:
            return
        if self.writable:
            self._socket.write(pong_frame(body))
        else:
            self._pong_due = body  # RFC 6455, section 5.5.3: answering the latest ping is enough.

    def _answer_close(self, frame: WSFrame) -> None:
        """The peer closes, or answers our close; either way the socket is done."""
        if not self._close_sent:
            code = frame.get_payload_as_bytes()[:2]
            if code and not _may_be_sent(int.from_bytes(code)):
                self.fail(CloseReason.PROTOCOL_ERROR)
                return
            self._client.peer_closed()
            self._socket.write(closing_frame(code))
            self._close_sent = True
        if self._deadline is None:
            self._deadline = self._loop.call_later(HANG_UP_S, self._socket.abort)
        self._socket.close()

    def _fragment(self, frame: WSFrame, *, continued: bool) -> None:
        """A part of a message, or a whole binary one."""
        self._client.heard()
        if continued is (self._fragments is None):
            self.fail(CloseReason.PROTOCOL_ERROR)
            return
        if self._fragments is None:
            self._fragments, self._fragments_bytes = [], 0
            self._fragments_are_text = frame.msg_type is _TEXT
        self._fragments.append(frame.get_payload_as_bytes())
        self._fragments_bytes += frame.payload_size
        if self._fragments_bytes > self._max_bytes:
            self.fail(CloseReason.TOO_BIG)
        elif frame.fin:
            self._whole_message(b"".join(self._fragments))
        elif len(self._fragments) >= MAX_FRAGMENTS:
            self.fail(CloseReason.POLICY_VIOLATION)

    def _whole_message(self, body: bytes) -> None:
        self._fragments = None
        if self._fragments_are_text:
            self._client.receive(body.decode())
        else:
            self._client.receive_binary(body)

    def _let_go_by(self) -> None:
        """Read and drop, so that the close frame reaches a peer that is still sending; `close` set the deadline."""
        if self._socket.is_closing():
            return
        self._socket.set_protocol(_Discard(self))
        if self._socket.can_write_eof():
            self._socket.write_eof()

    def _resume_reading(self) -> None:
        if self.writable and not self._held and not self._yielding and not self._socket.is_closing():
            self._socket.resume_reading()

    def _read_on_after_others(self) -> None:
        self._yielding = False
        self._resume_reading()

    def _end_of_read(self, frame: WSFrame) -> None:
        """Much was read at once: give others their turn when it adds up, and the memory back.

        A parser's buffer only grows, with each read that fills it; after a large read a fresh one takes its place. It
        does so between two frames; if a part of the next one was read already, after that.
        """
        self._parsed += frame.payload_size
        self._burst += self._parsed
        if self._burst > BURST:
            self._burst, self._yielding = 0, True
            self._socket.pause_reading()
            self._loop.call_soon(self._read_on_after_others)
        if self._parsed <= _LARGE:
            self._parsed = 0
        elif not frame.tail_size and not self._close_sent:
            self._parsed = 0
            self._socket.set_protocol(new_parser(self, self, self._max_bytes))


def _may_be_sent(code: int) -> bool:
    """Whether a close frame may carry this code (RFC 6455, section 7.4); the parser lets some others through."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999  # noqa: PLR2004 - the RFC's ranges


class _Discard(asyncio.Protocol):
    """Lets a failed connection's bytes go by until the peer hangs up or the deadline passes."""

    def __init__(self, owner: WebSocketTransport) -> None:
        self._owner = owner

    def data_received(self, data: bytes) -> None:
        """Drop it."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._owner.lost()

    def resume_writing(self) -> None:
        """What there was to say has gone out."""
