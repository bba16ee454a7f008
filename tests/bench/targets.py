"""The servers that can be measured: how each is launched, and how a client knocks at its door."""

import hashlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import jwt

HOST = "127.0.0.1"
_PEER_PORT = 9001
_TOKEN_LIFE_S = 3600
_REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Launch:
    """How one process of a server is started."""

    command: list[str]
    environment: Mapping[str, str]
    folder: Path
    port: int
    readiness: str | None
    """The path that answers 200 when the server is ready; None: ready when it accepts connections."""
    spread: bool = False
    """Whether it may use all cores, those of the load generator, too."""


class Target(Protocol):
    """A kind of server to measure. Pair number i is desktop `d00i` of user `u00i`."""

    name: str
    greets: bool
    """Whether its first message to every client is `welcome`."""

    def launch(self, folder: Path) -> Launch:
        """How to start a fresh one that keeps its files in `folder`."""

    def door(self, kind: str, pair: int) -> tuple[str, str]:
        """The request path and the extra headers (each with its line end) for a `desktop` or a `mobile`."""


def desktop_of(pair: int) -> str:
    """The id of the pair's desktop."""
    return f"d{pair:05}"


class HubTarget:
    """Tether Hub with everything on: tokens, limits, presence, metrics.

    Args:
        workers: Nodes that share the port and the embedded Valkey; with several, each has neighbours.
        spread: As `Launch.spread`.
    """

    greets = True

    def __init__(self, workers: int = 1, *, spread: bool = False) -> None:
        self.name = ("hub" if workers == 1 else f"hub, {workers} workers") + spread * " on all cores"
        self._workers = workers
        self._spread = spread
        self._secret = secrets.token_urlsafe(48)

    def launch(self, folder: Path) -> Launch:
        """The `hub` command of the running interpreter's environment, on a free port."""
        port = _free_port()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")} | {
            "HUB_HOST": HOST,
            "HUB_PORT": str(port),
            "HUB_JWT_SECRET": self._secret,
            "HUB_DATA_DIR": str(folder),
            "HUB_RATE_LIMIT": "1000000:1000000",
            "HUB_WORKERS": str(self._workers),
        }
        hub = Path(sys.executable).with_name("hub")
        return Launch([str(hub), "serve"], environment, _REPOSITORY, port, "/readyz", self._spread)

    def door(self, kind: str, pair: int) -> tuple[str, str]:
        """A fresh token in the Authorization header, as native clients send it."""
        now = int(time.time())
        claims: dict[str, object] = {"aud": kind, "iat": now, "exp": now + _TOKEN_LIFE_S}
        if kind == "desktop":
            claims |= {"sub": desktop_of(pair), "user_id": f"u{pair:05}"}
        else:
            claims |= {"sub": f"u{pair:05}"}
        return f"/ws/{kind}", f"Authorization: Bearer {self._token(claims)}\r\n"

    def service_token(self) -> str:
        """What opens `/internal`."""
        now = int(time.time())
        return self._token({"aud": "internal", "sub": "bench", "iat": now, "exp": now + _TOKEN_LIFE_S})

    def _token(self, claims: dict[str, object]) -> str:
        return jwt.encode(claims, self._secret, algorithm="HS256")


class PeerTarget:
    """One of the peers: no authentication, a fixed port, the ids in the query."""

    greets = False

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self._command = command
        self._environment = environment

    def launch(self, folder: Path) -> Launch:
        """The peer, if its port is free."""
        if not _is_free(_PEER_PORT):
            raise SystemExit(
                f"port {_PEER_PORT}, which {self.name} needs, is taken: end what listens there and try again"
            )
        return Launch(self._command, {**os.environ, **self._environment}, folder, _PEER_PORT, None)

    def door(self, kind: str, pair: int) -> tuple[str, str]:
        """The ids, in the clear."""
        subject = f"d{pair:05}.u{pair:05}" if kind == "desktop" else f"u{pair:05}"
        return f"/ws/{kind}?token={subject}", ""


def sanic_plain(peers: Path) -> Target:
    """Sanic's own WebSockets."""
    return PeerTarget("sanic_plain", [sys.executable, str((peers / "sanic_plain.py").resolve())], {})


def gorilla(peers: Path) -> Target | None:
    """Go with gorilla/websocket, built once for each state of its sources; None without Go."""
    go = shutil.which("go")
    if go is None:
        return None
    sources = peers / "gorilla"
    content = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources.iterdir()) if path.is_file()))
    built = Path(tempfile.gettempdir()) / f"hub-bench-gorilla-{content.hexdigest()[:16]}"
    if not (built / "gorillahub").exists():
        _build(go, sources, built)
    return PeerTarget("gorilla", [str(built / "gorillahub")], {"GOMAXPROCS": "1"})


def _build(go: str, sources: Path, built: Path) -> None:
    """Builds in a folder of its own and moves that into place, so that nothing half made is ever used."""
    with tempfile.TemporaryDirectory(prefix="hub-bench-build-") as scratch:
        work = Path(scratch) / "gorilla"
        work.mkdir()
        for source in sources.iterdir():
            (work / source.name).write_bytes(source.read_bytes())
        subprocess.run([go, "mod", "tidy"], cwd=work, check=True, timeout=120)
        subprocess.run([go, "build", "."], cwd=work, check=True, timeout=180)
        shutil.rmtree(built, ignore_errors=True)
        shutil.copytree(work, built)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) != 0
