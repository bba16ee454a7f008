"""A hub that does what a test tells it, one script a connection: for the client's tests, not for the hub's."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

WELCOME = {
    "connection_id": "c-1",
    "node_id": "node-1",
    "server_time": 1_700_000_000_000,
    "heartbeat_ms": 30_000,
    "timeout_ms": 120_000,
    "max_bytes": 1_048_576,
    "token_expires_at": 1_800_000_000_000,
}


class Peer:
    """One client, from the hub's side."""

    def __init__(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.socket = socket
        self.path = socket.request.path
        self.query = dict(parse_qsl(urlsplit(self.path).query, strict_parsing=bool(urlsplit(self.path).query)))
        self.heard: list[dict[str, Any]] = []

    async def welcome(self, **changes: Any) -> None:
        await self.say("welcome", WELCOME | changes)

    async def say(self, kind: str, payload: dict[str, Any], **stamps: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, "payload": payload, "timestamp": 1} | stamps))

    async def receipt(self, message_id: str, status: str, desktop_id: str = "d-1", **more: str) -> None:
        payload = {"message_id": message_id, "desktop_id": desktop_id, "status": status}
        await self.say("receipt", payload | more)

    async def refuse(self, message_id: str, code: str, **more: Any) -> None:
        await self.say("error", {"code": code, "message": "no", "message_id": message_id} | more)

    def resumed_from(self) -> dict[str, str]:
        """From where the client asks for each desktop's messages."""
        asked = self.query.get("resume", "")
        return dict(each.rsplit(":", 1) for each in asked.split(",")) if asked else {}

    async def hear(self, kind: str | None = None) -> dict[str, Any]:
        """Return the next message, or the next of `kind`; all are kept in `heard`."""
        while True:
            message: dict[str, Any] = json.loads(await self.socket.recv())
            self.heard.append(message)
            if kind is None or message["type"] == kind:
                return message

    async def close(self, code: int, reason: str = "") -> None:
        await self.socket.close(code, reason)

    async def goodbye(self, retry_after_ms: int, code: int = 1012) -> None:
        await self.say("goodbye", {"reason": "restarting", "retry_after_ms": retry_after_ms})
        await self.close(code)

    def cut(self) -> None:
        self.socket.transport.abort()

    async def all(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Yield what the client says, with its type, until the client ends the connection."""
        try:
            while True:
                message = await self.hear()
                yield message["type"], message
        except ConnectionClosed:
            return

    async def stay(self) -> None:
        """Keep the connection until the client ends it, hearing all it says."""
        async for _ in self.all():
            pass


@dataclass
class Refusal:
    """A script that refuses the upgrade."""

    status: int
    problem: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        body = json.dumps({"code": self.problem}).encode() if self.problem else b"no"
        headers = Headers({"Content-Length": str(len(body))} | self.headers)
        return Response(self.status, HTTPStatus(self.status).phrase, headers, body)


Script: TypeAlias = Callable[[Peer], Awaitable[None]] | Refusal


class ScriptedHub:
    """Plays the scripts in the order of connecting, and the last one again for all that follow."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = scripts
        self._faults: list[BaseException] = []
        self.tokens: list[str] = []
        self.peers: list[Peer] = []
        self.gone = asyncio.Event()
        self.url = ""

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator["ScriptedHub"]:
        """Listen; a script that fails, fails the test."""
        async with serve(
            self._play, "127.0.0.1", port, process_request=self._admit, compression=None, close_timeout=1
        ) as server:
            self.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self
        if self._faults:
            raise self._faults[0]

    async def _admit(self, socket: ServerConnection, request: Request) -> Response | None:
        self.tokens.append(request.headers.get("Authorization", ""))
        script = self._script(len(self.tokens) - 1)
        if isinstance(script, Refusal):
            return script.response()
        socket.script = script  # type: ignore[attr-defined]
        return None

    def _script(self, number: int) -> Script:
        return self._scripts[min(number, len(self._scripts) - 1)]

    async def _play(self, socket: ServerConnection) -> None:
        peer = Peer(socket)
        self.peers.append(peer)
        try:
            await socket.script(peer)  # type: ignore[attr-defined]
        except ConnectionClosed:
            return
        except Exception as fault:
            self._faults.append(fault)
            raise
        finally:
            self.gone.set()
