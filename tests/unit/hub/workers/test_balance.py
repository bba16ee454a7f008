"""Connections change hands: real sockets, and workers that are parts of this process."""

import asyncio
import errno
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from hub.workers import balance
from hub.workers.balance import Balance
from hub.workers.board import Board, new_board
from hub.workers.place import Place, entrance_of


class Guest(asyncio.Protocol):
    """A connection that one of the workers let in; it answers with its worker's number."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._worker.guests.append(self)
        self._worker.balance.entered()

    def data_received(self, data: bytes) -> None:
        self.transport.write(data + str(self._worker.number).encode())


class Worker:
    """A balance, those whom it let in, and the number of all others in its worker."""

    def __init__(self, number: int, folder: Path, board: int) -> None:
        self.number = number
        self.others = 0
        self.guests: list[Guest] = []
        self.board = Board(os.dup(board), number)
        with socket.socket() as none:
            self.balance = Balance(Place(number, none, none, folder, os.dup(board)))

    def open(self, others: int = 0) -> "Worker":
        self.others = others
        self.balance.open(lambda: self.others + len(self.guests), lambda: Guest(self))
        return self


class House:
    """Workers on one board, and clients of theirs."""

    def __init__(self, folder: Path, board: int) -> None:
        self.folder = folder
        self.workers = [Worker(number, folder, board) for number in range(3)]
        self.clients: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))

    def accepted(self) -> socket.socket:
        """The hub's side of a new connection, on which a client has said something already."""
        self.clients.append(socket.create_connection(self._listener.getsockname()))
        self.clients[-1].settimeout(0)
        self.clients[-1].send(b"asked")
        link, _ = self._listener.accept()
        link.settimeout(0)
        return link

    def offer(self, worker: Worker) -> bool:
        """Offer a new connection to a worker's balance, and return whether that takes it."""
        with self.accepted() as link:
            return worker.balance.takes(link.fileno())

    async def answer(self, client: int = -1) -> bytes:
        async with asyncio.timeout(5):
            return await asyncio.get_running_loop().sock_recv(self.clients[client], 100)

    async def close(self) -> None:
        for worker in self.workers:
            await worker.balance.stop()
            for guest in worker.guests:
                guest.transport.abort()
        for link in (self._listener, *self.clients):
            link.close()
        await asyncio.sleep(0)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    with tempfile.TemporaryDirectory(prefix="hub-") as folder, new_board(4) as board:
        house = House(Path(folder), board.fileno())
        try:
            yield house
        finally:
            await house.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0)  # Every turn of the loop: some of it holds for one turn only.


async def test_a_connection_goes_to_the_emptiest_unread_with_all_that_it_has(house: House) -> None:
    first, _, third = house.workers[0].open(3), house.workers[1].open(1), house.workers[2].open()
    with house.accepted() as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 4321)
        assert first.balance.takes(link.fileno())
    assert first.balance.held == 1
    assert await house.answer() == b"asked2"
    assert first.balance.held == 0
    [guest] = third.guests
    assert guest.transport.get_extra_info("peername") == house.clients[0].getsockname()
    link = guest.transport.get_extra_info("socket")
    assert link.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 4321
    assert not os.get_inheritable(link.fileno())


async def test_as_long_as_workers_are_equally_full_nothing_is_taken(house: House) -> None:
    first, second, _ = house.workers
    assert not house.offer(first), "not even there"
    first.open(5)
    assert not house.offer(first), "alone"
    second.open(5)
    assert not house.offer(first)


async def test_what_was_held_stays_when_another_is_as_full_by_then(house: House) -> None:
    first, second = house.workers[0].open(2), house.workers[1].open()
    assert house.offer(first)
    second.board.write(3)
    assert await house.answer() == b"asked0"
    assert not second.guests


async def test_one_that_does_not_read_gets_no_more_than_its_queue_holds(house: House) -> None:
    first, second = house.workers[0].open(1000), house.workers[1].open()
    asyncio.get_running_loop().remove_reader(second.balance._entrance)
    for _ in range(balance.HELD_MOST):
        assert house.offer(first)
    assert not house.offer(first), "no more are held"
    await until(lambda: len(first.guests) + first.balance.held == balance.HELD_MOST and not first.balance._held)
    passed_on = first.balance.held
    assert 5 <= passed_on <= 30
    second.balance._receive()
    await until(lambda: len(second.guests) == passed_on)
    await until(lambda: first.balance.held == 0)


async def test_what_was_on_its_way_to_one_that_is_killed_is_let_in_here(house: House) -> None:
    first, second = house.workers[0].open(2), house.workers[1].open()
    asyncio.get_running_loop().remove_reader(second.balance._entrance)
    assert house.offer(first)
    await until(lambda: len(first.balance._sent) == 1)
    house.workers.remove(second)
    second.balance._next_beat.cancel()
    second.balance._way.close()
    second.balance._entrance.close()
    assert await house.answer() == b"asked0"


async def test_one_with_a_single_descriptor_left_takes_nothing(house: House) -> None:
    first = house.workers[0].open()
    with house.accepted() as link:
        first.balance._came([os.dup(link.fileno())])
    with pytest.raises(ConnectionResetError):
        await house.answer()
    assert not first.guests


@pytest.mark.parametrize("path_is_left", [True, False])
async def test_one_that_was_killed_is_struck_off(house: House, *, path_is_left: bool) -> None:
    first, second = house.workers[0].open(2), house.workers[1]
    if path_is_left:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
            dead.bind(str(entrance_of(house.folder, 1)))
    second.board.write(0)
    assert house.offer(first)
    assert await house.answer() == b"asked0"
    assert not house.offer(first)
    second.open()  # another one with its number
    assert house.offer(first)
    assert await house.answer() == b"asked1"


async def test_who_leaves_takes_what_is_on_its_way_and_passes_nothing_on(house: House) -> None:
    first, second = house.workers[0].open(2), house.workers[1].open()
    assert house.offer(first)
    await until(lambda: len(first.balance._sent) == 1)
    second.balance.close()
    assert not entrance_of(house.folder, 1).exists()
    assert not house.offer(first)
    assert await house.answer(0) == b"asked1"
    second.others = 9
    assert not house.offer(second)


async def test_what_one_that_leaves_has_held_back_is_let_in(house: House) -> None:
    first, _ = house.workers[0].open(2), house.workers[1].open()
    assert house.offer(first)
    first.balance.close()
    assert await house.answer() == b"asked0"


async def test_what_is_held_back_at_the_end_is_closed(house: House) -> None:
    first, _ = house.workers[0].open(2), house.workers[1].open()
    assert house.offer(first)
    house.workers.remove(first)
    await first.balance.stop()
    with pytest.raises(ConnectionResetError):
        await house.answer()
    await asyncio.sleep(2 * balance.HOLD_S)
    assert not first.guests


async def test_without_a_descriptor_nothing_is_taken(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    first, _ = house.workers[0].open(2), house.workers[1].open()
    monkeypatch.setattr(os, "dup", none_left)
    assert not house.offer(first)
