"""The load against a server in this process that can be told to misbehave."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.bench.frames import BrokenStreamError, envelope, said
from tests.bench.lanes import MessagesLostError, SpeechLane
from tests.bench.links import Door, LinkLostError, Opener, upgraded, welcomed
from tests.bench.load import Load

PAIR = 2
Relay = Callable[[int, bytes], bytes]
"""From the message's number and its unmasked frame to what the mobile gets for it."""


def as_server(frame: bytes) -> bytes:
    """The same frame as a server sends it: without the key, which is 0 here."""
    head = bytearray(frame[:8])
    head[1] &= 0x7F
    return bytes(head[:4]) + frame[8:]


def server_text(payload: bytes) -> bytes:
    return bytes([0x81, 126]) + len(payload).to_bytes(2, "big") + payload


def serve(listener: socket.socket, greeting: bytes, relay: Relay) -> None:
    """Answers two upgrades, and passes what the first client sends on to the second."""
    peers = []
    for _ in range(PAIR):
        peer, _ = listener.accept()
        peer.recv(4_096)
        peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + greeting)
        peers.append(peer)
    desktop, mobile = peers
    pending, number = b"", 0
    with desktop, mobile, contextlib.suppress(OSError):
        while chunk := desktop.recv(65_536):
            pending += chunk
            while len(pending) >= 8 and len(pending) >= (size := 8 + int.from_bytes(pending[2:4], "big")):
                frame, pending = pending[:size], pending[size:]
                mobile.sendall(relay(number, as_server(frame)))
                number += 1


@contextlib.contextmanager
def loaded(relay: Relay, greeting: bytes = b"") -> Iterator[Load]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener, greeting, relay))
        thread.start()
        links = []
        load = Load()
        try:
            for name in ("desktop", "mobile"):
                is_in = welcomed if greeting else upgraded
                links += Opener(listener.getsockname()[1], is_in).open([Door(name, "/", "")])
            desktop, mobile = links
            load.add([SpeechLane(desktop, mobile, said("agent:stream"))])
            yield load
        finally:
            load.close()
            with contextlib.suppress(OSError):
                for _ in range(PAIR - len(links)):
                    socket.create_connection(listener.getsockname(), timeout=5).close()
            thread.join(timeout=20)


def forward(_number: int, frame: bytes) -> bytes:
    return frame


@pytest.mark.parametrize("window", [1, 8])
def test_every_message_is_counted(window: int) -> None:
    with loaded(forward) as load:
        load.start_window(window)
        load.closed_loop(0.1, window)
        load.drain()
        assert load.received > window


def test_by_the_clock_each_message_has_its_delay() -> None:
    with loaded(forward) as load:
        delays, lateness = load.open_loop(500, 0.2)
        load.drain()
    assert len(delays) == len(lateness) == 100
    assert all(delay > 0 for delay in delays)


def test_notices_and_pings_are_no_messages() -> None:
    def chatty(_number: int, frame: bytes) -> bytes:
        notice = envelope("desktop:online", {"name": "x" * 99}, offset="1754000000000-12")
        return server_text(notice) + b"\x89\x01?" + frame

    with loaded(chatty) as load:
        delays, _ = load.open_loop(500, 0.1)
        load.drain()
        assert load.received == len(delays) == 50


def test_a_lost_message_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.bench.load._DRAIN_S", 0.3)
    with loaded(lambda number, frame: b"" if number == 3 else frame) as load:
        load.start_window(8)
        with pytest.raises(MessagesLostError, match="1 messages have not arrived"):
            load.drain()


def test_a_doubled_message_is_noticed() -> None:
    def doubling(number: int, frame: bytes) -> bytes:
        return frame * 2 if number == 3 else frame

    with loaded(doubling) as load:
        load.start_window(8)
        with pytest.raises(MessagesLostError, match="more than was sent"):
            load.drain()


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (server_text(envelope("error", {"code": "rate_limited", "pad": "x" * 99})), "rate_limited"),
        (b"\x88\x02\x0f\xa1", "closed with 4001"),
    ],
)
def test_an_error_or_a_close_ends_the_run(answer: bytes, text: str) -> None:
    with loaded(lambda _number, _frame: answer) as load:
        load.start_window(1)
        with pytest.raises(LinkLostError, match=text):
            load.drain()


def test_a_welcome_that_is_due_is_waited_for() -> None:
    welcome = server_text(envelope("welcome", {"connection_id": "c" * 99}))
    with loaded(forward, welcome) as load:
        load.start_window(1)
        load.drain()
        assert load.received == 1


def test_anything_but_a_welcome_comes_too_early() -> None:
    greeting = server_text(envelope("desktop:online", {"name": "x" * 99}))
    with pytest.raises(BrokenStreamError, match="instead of welcome"), loaded(forward, greeting):
        pass
