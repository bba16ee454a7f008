"""What a worker gets from its parent travels on its command line, and what it says on the link."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.embedded_valkey import SOCKET_PATH_MAX
from hub.workers.place import READY, Place, check_folder, entrance_of, socket_of


@pytest.fixture
def link() -> Iterator[tuple[socket.socket, Place]]:
    parent, worker = socket.socketpair()
    with parent, worker, socket.socket() as listener:
        yield parent, Place(3, listener, worker, Path("/run/tether-hub-x"), 77)


def test_a_place_is_taken_as_it_was_given(link: tuple[socket.socket, Place]) -> None:
    _, place = link
    program, *rest = place.command()
    assert program == sys.executable
    assert rest[:3] == ["-P", "-m", "hub.workers.worker"]
    words = rest[3:]
    words[1], words[2] = (str(os.dup(int(number))) for number in words[1:3])
    taken = Place.taken(words)
    with taken.listener, taken.link:
        assert (taken.number, taken.folder, taken.board) == (3, place.folder, 77)
        assert taken.link.family == socket.AF_UNIX
        assert taken.listener.type == socket.SOCK_STREAM


def test_a_worker_says_one_line(link: tuple[socket.socket, Place]) -> None:
    parent, place = link
    place.say(READY)
    assert parent.recv(100) == b"ready\n"
    place.give_up("HUB_PORT: no\nHUB_HOST: no")
    assert parent.recv(100) == b"HUB_PORT: no; HUB_HOST: no\n"
    place.give_up("x" * 100_000)
    assert len(parent.recv(100_000)) < 3000


def test_a_worker_without_a_parent_says_it_to_nobody(link: tuple[socket.socket, Place]) -> None:
    parent, place = link
    parent.close()
    place.say(READY)


def test_a_folder_has_to_have_room_for_the_path_of_a_socket() -> None:
    room = SOCKET_PATH_MAX - len("/999.sock")
    fits = Path("/" + "x" * (room - 1))
    check_folder(fits)
    assert len(str(socket_of(fits, 999))) == SOCKET_PATH_MAX
    assert len(str(entrance_of(fits, 999))) <= SOCKET_PATH_MAX
    with pytest.raises(OSError, match="set TMPDIR"):
        check_folder(Path("/" + "x" * room))
