"""Which worker is whose, and what each used."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.bench import processes
from tests.bench.frames import BrokenStreamError, envelope
from tests.bench.links import Link
from tests.bench.workers import Parts, Seats, worker_of


@pytest.fixture
def phone() -> Iterator[Link]:
    link = Link("mobile 1")
    yield link
    link.socket.close()


@pytest.mark.parametrize(("node_id", "number"), [("host:8080.0/1f2e", 0), ("a.b.c.12/00ff", 12)])
def test_a_node_id_holds_the_workers_number(node_id: str, number: int) -> None:
    assert worker_of(node_id) == number


def test_who_welcomed_whom_is_kept(phone: Link) -> None:
    seats = Seats()
    assert not seats(phone, [])
    assert seats(phone, [envelope("welcome", {"node_id": "host.1/1f2e"})])
    assert seats.nodes == {"mobile 1": "host.1/1f2e"}
    assert seats.worker(phone) == 1


def test_whoever_is_greeted_otherwise_ends_the_run(phone: Link) -> None:
    with pytest.raises(BrokenStreamError, match="instead of welcome"):
        Seats()(phone, [envelope("error", {"code": "unavailable"})])


def test_parts_add_up_and_subtract() -> None:
    used = Parts((5.0, 3.0), 2.0) - Parts((1.0, 1.0), 1.0)
    assert (used.nodes, used.total) == (6.0, 7.0)
    assert used.each_us(1_000_000) == used


def test_a_command_line_is_read_in_words() -> None:
    command = [sys.executable, "-c", "print(); input()", "two words"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as child:
        assert child.stdout is not None
        child.stdout.readline()  # It runs.
        assert processes.command_line(child.pid) == command
        resident = processes.resident_kib(child.pid).own
        assert processes.peak_kib(child.pid).own >= resident > 0
        child.communicate(b"\n", timeout=20)
    assert processes.command_line(child.pid) == []
