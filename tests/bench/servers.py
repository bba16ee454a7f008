"""A server under test as a process: started on its core, asked what it used, ended by its process id."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from hub.embedded_valkey import socket_path
from tests.bench import processes
from tests.bench.cores import on_server_core
from tests.bench.processes import Usage
from tests.bench.targets import HOST, Launch, Target

_START_LIMIT_S = 20.0
_STOP_LIMIT_S = 15.0


class ServerFailedError(Exception):
    """The server under test did not start, or ended by itself."""


class Server:
    """A running server under test."""

    def __init__(self, target: Target, launch: Launch, log: Path) -> None:
        self.target = target
        self.launch = launch
        self._log = log
        with log.open("wb") as output, on_server_core(spread=launch.spread):
            self._process = subprocess.Popen(
                launch.command,
                env=launch.environment,
                cwd=launch.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Returns once the server takes connections, within 20 s."""
        deadline = time.monotonic() + _START_LIMIT_S
        while not self._answers():
            self.check_alive()
            if time.monotonic() > deadline:
                raise ServerFailedError(f"{self.target.name} is not ready after {_START_LIMIT_S:.0f} s")
            time.sleep(0.05)

    def check_alive(self) -> None:
        """Raises when the server has ended."""
        if self._process.poll() is not None:
            raise ServerFailedError(f"{self.target.name} ended with {self._process.returncode}")

    @property
    def pid(self) -> int:
        """Of the process that was started."""
        return self._process.pid

    def cpu_seconds(self) -> Usage:
        """CPU time used so far by the server and its children."""
        return processes.cpu_seconds(self._process.pid)

    def resident_kib(self) -> Usage:
        """Resident memory of the server and its children."""
        return processes.resident_kib(self._process.pid)

    def store_bytes(self) -> int:
        """What the embedded Valkey keeps, by its own account."""
        return int(self.asked_of_store("memory")["used_memory"])

    def asked_of_store(self, section: str) -> dict[str, Any]:
        """A section of the embedded Valkey's INFO."""
        path = socket_path(Path(self.launch.environment["HUB_DATA_DIR"]).resolve())
        with contextlib.closing(redis.Redis(unix_socket_path=str(path))) as store:
            told: dict[str, Any] = store.info(section)
        return told

    def metric(self, name: str) -> float:
        """One figure of `/metrics` that has no labels."""
        with contextlib.closing(http.client.HTTPConnection(HOST, self.launch.port, timeout=5)) as connection:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        return read_metric(text, name)

    def stop(self) -> None:
        """Asks it to end, waits, and ends by force what is left of it."""
        members = {(process.pid, process.name) for process in processes.tree(self._process.pid)}
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_LIMIT_S)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        alive = {(process.pid, process.name) for process in processes.all_processes()}
        for pid, _ in alive & members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _answers(self) -> bool:
        ready = self.launch.readiness
        try:
            with socket.create_connection((HOST, self.launch.port), timeout=1) as probe:
                if ready is None:
                    return True
                probe.sendall(f"GET {ready} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
                return probe.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def last_words(self) -> str:
        """The end of what it has logged."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])


def read_metric(text: str, name: str) -> float:
    """The figure of this name without labels in Prometheus' text; KeyError if it isn't there."""
    for line in text.splitlines():
        if line.startswith(f"{name} "):
            return float(line.split()[1])
    raise KeyError(name)


@contextlib.contextmanager
def running(target: Target) -> Iterator[Server]:
    """A fresh server, ready; it is gone when the block is left, whatever the reason."""
    with tempfile.TemporaryDirectory(prefix="hub-bench-", ignore_cleanup_errors=True) as folder:
        server = Server(target, target.launch(Path(folder)), Path(folder) / "server.log")
        try:
            server.wait_ready()
            yield server
        except Exception as failure:
            failure.add_note(f"the end of the log of {target.name}:\n{server.last_words()}")
            raise
        finally:
            server.stop()
