"""A worker's process, as its parent sees it."""

import asyncio
import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from hub.workers.place import READY, Place

START_S = 30.0
"""How long a worker may take until it serves; its own waits are shorter (docs/operations.md)."""

_REAP_S = 0.01
_GONE_S = 5.0
_LINE_BYTES = 4096


class WorkerFailed(Exception):  # noqa: N818 - says what happened
    """A worker did not get ready.

    Attributes:
        exit_code: Its own; 1 when it was killed.
    """

    def __init__(self, reason: str, exit_code: int) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


class Worker:
    """One process, from its start to its end. Make it inside the running loop; await `ended` before the loop ends.

    It has a session of its own: Ctrl-C is for the parent, which tells its workers.

    Attributes:
        number: See `Place`.
    """

    def __init__(
        self, number: int, listener: socket.socket, folder: Path, board: int, environment: Mapping[str, str]
    ) -> None:
        """Start it; takes a few milliseconds. `environment`: its settings; the rest as in `Place`.

        Raises:
            OSError: If there can't be another process.
        """
        self.number = number
        self._link, theirs = socket.socketpair()
        self._link.setblocking(False)  # noqa: FBT003 - positional only
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                Place(number, listener, theirs, folder, board).command(),
                env=dict(environment),
                pass_fds=(listener.fileno(), theirs.fileno(), board),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            self._link.close()
            raise
        finally:
            theirs.close()
        self._said = asyncio.get_running_loop().create_future()
        self._ready_at: float | None = None
        self._ended_at: float | None = None
        self._told = False
        self._life = asyncio.create_task(self._follow(), name=f"worker-{number}")

    @property
    def alive(self) -> bool:
        """Whether it hasn't ended."""
        return not self._life.done()

    @property
    def served_s(self) -> float:
        """For how long it has been ready, or was when it ended, in seconds."""
        if self._ready_at is None:
            return 0.0
        return (self._ended_at or time.monotonic()) - self._ready_at

    async def ready(self) -> None:
        """Wait until it serves.

        Raises:
            WorkerFailed: If it ended instead, or took too long, and was killed.
        """
        try:
            async with asyncio.timeout(START_S):
                said = await asyncio.shield(self._said)
        except TimeoutError:
            said = f"it was not ready after {START_S:.0f} s".encode()
            self.kill()
        if said == READY:
            self._ready_at = time.monotonic()
            return
        code = await self.ended()
        raise WorkerFailed(said.decode(errors="replace").strip() or end_of(code), code if code > 0 else 1)

    async def ended(self) -> int:
        """Wait for its end, and return its exit code: negative, a signal's number, if it was killed."""
        return await asyncio.shield(self._life)

    def leave(self) -> None:
        """Have it hand its listener over to whoever else has it, and say goodbye to everybody."""
        self._told = True
        with contextlib.suppress(OSError):  # it is gone already
            self._link.shutdown(socket.SHUT_WR)

    def stop(self) -> None:
        """Have it say goodbye to everybody, unless it has been told to leave."""
        if not self._told:
            self._told = True
            self._process.send_signal(signal.SIGTERM)

    def hurry(self) -> None:
        """Have it close everybody now; it has been told to end."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now."""
        self._process.kill()

    async def _follow(self) -> int:
        line = await self._read_line()
        if not self._said.done():
            self._said.set_result(line)
        while await self._read():
            pass
        code = await self._reap()
        self._ended_at = time.monotonic()
        self._link.close()
        return code

    async def _reap(self) -> int:
        """Wait for its end; it let go of the link, which it does a moment before."""
        deadline = time.monotonic() + _GONE_S
        while (code := self._process.poll()) is None:
            if time.monotonic() > deadline:
                self.kill()
            await asyncio.sleep(_REAP_S)
        return code

    async def _read_line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n") and len(line) < _LINE_BYTES and (part := await self._read()):
            line += part
        return line

    async def _read(self) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(self._link, _LINE_BYTES)
        except ConnectionError:
            return b""


def end_of(exit_code: int) -> str:
    """Say how a process ended."""
    if exit_code < 0:
        return f"killed by {signal.Signals(-exit_code).name}"
    return f"exit code {exit_code}"
