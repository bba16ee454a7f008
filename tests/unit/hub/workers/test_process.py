"""A worker's process: real ones, small ones, that say what they are told to."""

import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub.workers import process
from hub.workers.board import new_board
from hub.workers.place import Place
from hub.workers.process import Worker, WorkerFailed, end_of

NewWorker = Callable[[str], Worker]

PRELUDE = """
import os, socket, signal, sys, time
listener, link = socket.socket(fileno=int(sys.argv[2])), socket.socket(fileno=int(sys.argv[3]))
"""


@pytest.fixture
def new_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[NewWorker]:
    """Starts a worker that does this in the place of serving."""
    with socket.socket() as listener, new_board(6) as board:

        def start(script: str) -> Worker:
            def command(place: Place) -> list[str]:
                words = [str(place.number), str(place.listener.fileno()), str(place.link.fileno()), str(place.board)]
                return [sys.executable, "-I", "-c", PRELUDE + script, *words]

            monkeypatch.setattr(Place, "command", command)
            return Worker(5, listener, tmp_path, board.fileno(), {"HUB_X": "here"})

        yield start


async def test_it_is_ready_when_it_says_so_and_ends_when_the_link_is_closed(new_worker: NewWorker) -> None:
    worker = new_worker("link.sendall(b'rea'); time.sleep(.05); link.sendall(b'dy\\n'); link.recv(1); sys.exit(7)")
    assert worker.served_s == 0
    await worker.ready()
    alive = [worker.alive]
    worker.leave()
    assert await worker.ended() == 7
    assert [*alive, worker.alive] == [True, False]
    served_s = worker.served_s
    assert served_s > 0
    time.sleep(0.01)
    assert worker.served_s == served_s
    worker.leave()
    worker.stop()
    worker.hurry()
    worker.kill()


@pytest.mark.parametrize(
    ("script", "reason", "code"),
    [
        ("link.sendall(b'HUB_PORT: no\\n'); sys.exit(2)", "HUB_PORT: no", 2),
        ("sys.exit(3)", "exit code 3", 3),
        ("sys.exit(0)", "exit code 0", 1),
        ("os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL", 1),
    ],
)
async def test_why_it_could_not_start_is_told(new_worker: NewWorker, script: str, reason: str, code: int) -> None:
    worker = new_worker(script)
    with pytest.raises(WorkerFailed) as caught:
        await worker.ready()
    assert (str(caught.value), caught.value.exit_code) == (reason, code)
    assert not worker.alive


async def test_one_that_takes_too_long_is_killed(new_worker: NewWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "START_S", 0.1)
    worker = new_worker("time.sleep(60)")
    with pytest.raises(WorkerFailed, match="not ready after"):
        await worker.ready()
    assert await worker.ended() == -signal.SIGKILL


async def test_one_that_lets_go_of_the_link_and_stays_is_killed(
    new_worker: NewWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_GONE_S", 0.05)
    worker = new_worker("link.close(); time.sleep(60)")
    assert await worker.ended() == -signal.SIGKILL


async def test_it_is_told_to_stop_once_and_hurries_when_it_is_to(new_worker: NewWorker) -> None:
    worker = new_worker(
        "signal.signal(signal.SIGTERM, lambda *_: told.append(1)); told = []\n"
        "link.sendall(b'ready\\n')\n"
        "while len(told) < 2: signal.pause()\n"
        "sys.exit(len(told))"
    )
    await worker.ready()
    worker.stop()
    worker.stop()
    time.sleep(0.1)
    assert worker.alive
    worker.hurry()
    assert await worker.ended() == 2


async def test_it_has_its_settings_a_session_and_the_listener(new_worker: NewWorker) -> None:
    script = 'link.sendall(f"{os.environ} {os.getsid(0) == os.getpid()} {listener.type.name}\\n".encode())'
    with pytest.raises(WorkerFailed, match=r"\{'HUB_X': 'here'.*\}\) True SOCK_STREAM"):
        await new_worker(script).ready()


def test_ends_are_named() -> None:
    assert end_of(-9) == "killed by SIGKILL"
    assert end_of(2) == "exit code 2"
