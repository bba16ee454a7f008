"""A real hub in a process of its own, to be talked to over its sockets, stopped and killed."""

import functools
import os
import re
import resource
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import redis

from hub.embedded_valkey import die_with
from tests.support.tokens import Minter

START_S = 40.0
_UP = re.compile(r"^Tether Hub is up at (\S+)$", re.MULTILINE)
_SCRIPT = (str(Path(sys.executable).with_name("hub")),)


class HubProcess:
    """One hub with its own folder and secret; it may live several times, on the same data.

    It dies with the test run, however that ends. Start it from the main thread: on Linux it dies with the thread that
    started it.

    Args:
        settings: Environment variables, on top of a free port, the folder and the secret.
        command: What runs in the place of the `hub` script.
        open_files: The hub's limit of file descriptors.
        tls: What its clients trust, when it has a certificate.
    """

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        command: Sequence[str] = _SCRIPT,
        open_files: int | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hub-"))
        secret = secrets.token_urlsafe(32)
        self.mint = Minter(secret)
        self.url = ""
        # Without authorities there is nothing to load, which takes longer than the question itself.
        self.tls = tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._own = {"HUB_PORT": "0", "HUB_DATA_DIR": str(self.folder / "data"), "HUB_JWT_SECRET": secret}
        self._own |= settings or {}
        self._command = command
        self._open_files = open_files
        self._output = self.folder / "output"
        self._process: subprocess.Popen[bytes] | None = None

    # -- life ------------------------------------------------------------------------------------------------------

    def launch(self, **settings: str) -> None:
        """Start the process, and don't wait. `settings` hold for this life only."""
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("HUB_")}
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [*self._command, "serve"],
                env={**inherited, **self._own, **settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=functools.partial(_before_exec, os.getpid(), self._open_files),  # noqa: PLW1509
            )

    def start(self, **settings: str) -> "HubProcess":
        """Start the process and wait until it says where it is."""
        self.launch(**settings)
        deadline = time.monotonic() + START_S
        while (said := _UP.search(self.log)) is None:
            assert self.running, f"the hub did not start:\n{self.log}"
            assert time.monotonic() < deadline, f"the hub is not up after {START_S:.0f} s:\n{self.log}"
            time.sleep(0.02)
        self.url = said[1]
        return self

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, within_s: float = 15.0) -> int:
        """Wait for the end of the process, and return its exit code."""
        assert self._process is not None
        return self._process.wait(within_s)

    def stop(self) -> int:
        """End it in an orderly way."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """`kill -9`; harmless when it isn't running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """End it if it runs, in an orderly way if it can, and remove its folder."""
        if self.running:
            self.signal(signal.SIGTERM)
            self.signal(signal.SIGTERM)
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.folder)

    # -- what can be seen of it --------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def log(self) -> str:
        """All that this life has written, on both of its outputs."""
        return self._output.read_text("utf-8")

    @property
    def memory(self) -> int:
        """Resident bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * resource.getpagesize()

    @property
    def cpu_s(self) -> float:
        """CPU time used so far, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def valkey_socket(self) -> Path:
        return self.folder / "data" / "valkey.sock"

    def redis(self, *words: str | int) -> Any:
        """Send one command to the embedded server."""
        with redis.Redis(unix_socket_path=str(self.valkey_socket), socket_timeout=5, decode_responses=True) as client:
            return client.execute_command(*words)

    def get(self, path: str, *, token: str | None = None) -> httpx.Response:
        """Ask over HTTP; `token` goes into the Authorization header."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.get(self.url + path, headers=headers, trust_env=False, timeout=10, verify=self.tls)

    def metric(self, name: str, **labels: str) -> float:
        """One sample of /metrics; 0 when it isn't there."""
        inside = ",".join(f'{label}="{labels[label]}"' for label in sorted(labels))
        line = re.search(
            rf"^{re.escape(f'{name}{{{inside}}}' if labels else name)} (\S+)$", self.get("/metrics").text, re.M
        )
        return 0.0 if line is None else float(line[1])


def _before_exec(parent: int, open_files: int | None) -> None:
    die_with(parent)
    if open_files is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
