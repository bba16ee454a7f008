"""Clients that lose their connection, come back, and are looked for."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

from tests.bench.crowd import CUT, Crowd
from tests.bench.frames import CLOSE, envelope
from tests.bench.links import Door, Opener
from tests.bench.storm import wrong_records
from tests.bench.workers import Seats

WAIT_S = 10.0
UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"


def server_frame(payload: bytes, opcode: int = 1) -> bytes:
    return bytes([0x80 | opcode, len(payload)]) + payload


def welcome(life: int) -> bytes:
    return UPGRADED + server_frame(envelope("welcome", {"node_id": f"n.0/{life}"}))


class Hub:
    """Answers each connection with the next of its answers."""

    def __init__(self, listener: socket.socket, answers: list[bytes]) -> None:
        self.port: int = listener.getsockname()[1]
        self.peers: list[socket.socket] = []
        self._listener = listener
        self._answers = answers

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            for answer in self._answers:
                peer, _ = self._listener.accept()
                self.peers.append(peer)
                peer.recv(4_096)
                peer.sendall(answer)


@contextlib.contextmanager
def one_client(*answers: bytes) -> Iterator[tuple[Hub, Crowd, Seats]]:
    """A crowd of one, welcomed already."""
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:
        hub = Hub(listener, [welcome(1), *answers])
        thread = threading.Thread(target=hub.serve)
        thread.start()
        stack.callback(thread.join, WAIT_S)
        seats, door = Seats(), Door("desktop 0", "/", "")
        links = Opener(hub.port, seats).open([door])
        with contextlib.closing(Crowd(hub.port, [door], links, seats)) as crowd:
            yield hub, crowd, seats
        for peer in hub.peers:
            peer.close()


def turn_until(crowd: Crowd, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not done():
        crowd.turn(0.05)
        assert time.monotonic() < deadline


def back(crowd: Crowd, seats: Seats) -> Callable[[], bool]:
    return lambda: not crowd.away and seats.nodes["desktop 0"] == "n.0/2"


def test_a_client_whose_connection_is_cut_comes_back() -> None:
    with one_client(welcome(2)) as (hub, crowd, seats):
        hub.peers[0].close()
        turn_until(crowd, back(crowd, seats))
        assert crowd.lost == {CUT: 1}
        assert crowd.tries == 1


def test_a_client_that_is_turned_away_tries_again() -> None:
    with one_client(BUSY, welcome(2)) as (hub, crowd, seats):
        hub.peers[0].close()
        turn_until(crowd, back(crowd, seats))
        assert crowd.lost == {CUT: 1}
        assert crowd.tries == 2


def test_a_connection_that_the_hub_closes_is_told_apart() -> None:
    with one_client(welcome(2)) as (hub, crowd, seats):
        hub.peers[0].sendall(server_frame((4202).to_bytes(2, "big") + b"resync", CLOSE))
        turn_until(crowd, back(crowd, seats))
        assert crowd.lost == {"4202": 1}


def test_presence_is_right_where_the_client_is() -> None:
    seats = Seats()
    seats.nodes = {f"desktop {pair}": "n.0/2" for pair in range(4)}
    answers: list[dict[str, object]] = [
        {"state": "online", "node_id": "n.0/2"},
        {"state": "online", "node_id": "n.0/1"},
        {"state": "offline"},
        {"state": "unknown", "node_id": "n.0/2"},
    ]
    assert wrong_records(answers, seats, range(4)) == [1, 2, 3]
