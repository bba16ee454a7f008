"""An agent that is any command-line program: the question on its stdin, the answer from its stdout."""

import asyncio
import codecs
import os
import shlex
import signal
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import Process, SubprocessStreamProtocol
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import cast

from hub.cli.agents import Outcome, Say

_READ_BYTES = 32 * 1024
_STDERR_TAIL_BYTES = 2000
_TERMINATE_GRACE_S = 2.0
_LEFTOVER_GRACE_S = 1.0


class Program:
    """Runs `command` afresh for every question, in a process group of its own, without a shell.

    The program's environment is this one's without `HUB_*`: no token, no secret. A program that is stopped or
    runs into its time limit gets SIGTERM, and SIGKILL two seconds later; so does all that it started and left behind.
    """

    def __init__(self, command: str, timeout_s: float, environment: Mapping[str, str] = os.environ) -> None:
        """Split `command` as a shell would.

        Raises:
            ValueError: It is empty or has an open quote.
        """
        self._arguments: Sequence[str] = shlex.split(command)
        if not self._arguments:
            raise ValueError("the command is empty")
        self._timeout_s = timeout_s
        self._environment = {name: text for name, text in environment.items() if not name.startswith("HUB_")}

    @property
    def name(self) -> str:
        """The program, without its arguments."""
        return self._arguments[0]

    async def answer(self, question: str, say: Say) -> Outcome:
        """Run the program once."""
        try:
            running = await self._start()
        except OSError as fault:
            return Outcome(None, f"cannot run {self.name}: {fault.strerror}")
        tail = _Tail(_STDERR_TAIL_BYTES)
        try:
            async with asyncio.timeout(self._timeout_s):
                await _converse(running, question, say, tail)
        except TimeoutError:
            return Outcome(None, f"stopped after {self._timeout_s:g} s", tail.text())
        finally:
            await _end_group(running)
            running.transport.close()
        code = running.transport.get_returncode()
        return Outcome(code, f"exit code {code}" if code else None, tail.text())

    async def _start(self) -> "_Running":
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(
            partial(_Streams, loop), *self._arguments, start_new_session=True, env=self._environment
        )
        return _Running(transport, Process(transport, protocol, loop), protocol.exited)


class _Streams(SubprocessStreamProtocol):
    """Tells when the program itself has ended; `Process.wait` waits for all who hold its pipes (Python 3.11)."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=_READ_BYTES, loop=loop)
        self.exited = asyncio.Event()

    def process_exited(self) -> None:
        super().process_exited()
        self.exited.set()


@dataclass(frozen=True, slots=True)
class _Running:
    """A started program. Closing the transport lets go of its pipes, whoever else holds them."""

    transport: asyncio.SubprocessTransport
    process: Process
    exited: asyncio.Event


class _Tail:
    """The last bytes of a stream."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._kept = b""

    def add(self, chunk: bytes) -> None:
        self._kept = (self._kept + chunk)[-self._bound :]

    def text(self) -> str:
        return self._kept.decode(errors="replace").strip()


async def _converse(running: _Running, question: str, say: Say, tail: _Tail) -> None:
    """Feed and read at once, so that neither side waits for the other; return when the program is done."""
    process = running.process
    async with asyncio.TaskGroup() as group:
        feeding = group.create_task(_feed(cast("StreamWriter", process.stdin), question))
        reading = [
            group.create_task(_speak(cast("StreamReader", process.stdout), say)),
            group.create_task(_listen(cast("StreamReader", process.stderr), tail)),
        ]
        await running.exited.wait()
        feeding.cancel()
        _, late = await asyncio.wait(reading, timeout=_LEFTOVER_GRACE_S)
        if late:  # a child that the program left behind may hold the pipes open for ever
            _signal_group(running, signal.SIGKILL)


async def _feed(stdin: StreamWriter, question: str) -> None:
    with suppress(ConnectionError):  # a program need not read its input
        stdin.write(question.encode(errors="replace"))
        await stdin.drain()
    stdin.close()


async def _speak(stdout: StreamReader, say: Say) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    while chunk := await stdout.read(_READ_BYTES):
        await say(decoder.decode(chunk))
    await say(decoder.decode(b"", final=True))


async def _listen(stderr: StreamReader, tail: _Tail) -> None:
    while chunk := await stderr.read(_READ_BYTES):
        tail.add(chunk)


async def _end_group(running: _Running) -> None:
    """End all that the program started and that is still in its group."""
    if not _signal_group(running, signal.SIGTERM):
        return
    try:
        with suppress(TimeoutError):  # then it is killed below
            async with asyncio.timeout(_TERMINATE_GRACE_S):
                await running.exited.wait()
    finally:
        _signal_group(running, signal.SIGKILL)
    await running.exited.wait()


def _signal_group(running: _Running, which: signal.Signals) -> bool:
    """Signal the program's group; False if nobody is left in it."""
    try:
        os.killpg(running.process.pid, which)
    except (ProcessLookupError, PermissionError):
        return False
    return True
