"""An agent that is any command-line program: the question on its stdin, the answer from its stdout."""

import asyncio
import codecs
import os
import shlex
import signal
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
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
            process = await asyncio.create_subprocess_exec(
                *self._arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True, env=self._environment
            )
        except OSError as fault:
            return Outcome(None, f"cannot run {self.name}: {fault.strerror}")
        tail = _Tail(_STDERR_TAIL_BYTES)
        try:
            async with asyncio.timeout(self._timeout_s):
                await _converse(process, question, say, tail)
        except TimeoutError:
            return Outcome(None, f"stopped after {self._timeout_s:g} s", tail.text())
        finally:
            await _end_group(process)
        code = await process.wait()
        return Outcome(code, f"exit code {code}" if code else None, tail.text())


class _Tail:
    """The last bytes of a stream."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._kept = b""

    def add(self, chunk: bytes) -> None:
        self._kept = (self._kept + chunk)[-self._bound :]

    def text(self) -> str:
        return self._kept.decode(errors="replace").strip()


async def _converse(process: Process, question: str, say: Say, tail: _Tail) -> None:
    """Feed and read at once, so that neither side waits for the other; return when the program is done."""
    async with asyncio.TaskGroup() as group:
        feeding = group.create_task(_feed(cast("StreamWriter", process.stdin), question))
        reading = [
            group.create_task(_speak(cast("StreamReader", process.stdout), say)),
            group.create_task(_listen(cast("StreamReader", process.stderr), tail)),
        ]
        await process.wait()
        feeding.cancel()
        _, late = await asyncio.wait(reading, timeout=_LEFTOVER_GRACE_S)
        if late:  # a child that the program left behind may hold the pipes open for ever
            _signal_group(process, signal.SIGKILL)


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


async def _end_group(process: Process) -> None:
    """End all that the program started and that is still in its group."""
    if not _signal_group(process, signal.SIGTERM):
        return
    try:
        with suppress(TimeoutError):  # then it is killed below
            async with asyncio.timeout(_TERMINATE_GRACE_S):
                await process.wait()
    finally:
        _signal_group(process, signal.SIGKILL)
    await process.wait()


def _signal_group(process: Process, which: signal.Signals) -> bool:
    """Signal the program's group; False if nobody is left in it."""
    try:
        os.killpg(process.pid, which)
    except (ProcessLookupError, PermissionError):
        return False
    return True
