"""The command `hub` as a process of its own, as a terminal runs it."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

_DEADLINE_S = 20.0


@dataclass(frozen=True)
class Run:
    """What a finished command left."""

    code: int
    out: str
    err: str


@asynccontextmanager
async def started(*arguments: str, stdout: int = PIPE, **environment: str) -> AsyncIterator[Process]:
    """Start `hub ARGUMENTS`; it is killed if it outlives the `async with`. Without `HUB_*` but for those given."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("HUB_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from hub.cli import main; main()",
        *arguments,
        stdin=PIPE,
        stdout=stdout,
        stderr=PIPE,
        env=clean | environment,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def run(*arguments: str, typed: str = "", **environment: str) -> Run:
    """Run `hub ARGUMENTS` to its end, with `typed` on its standard input."""
    async with started(*arguments, stdout=PIPE, **environment) as process, asyncio.timeout(_DEADLINE_S):
        out, err = await process.communicate(typed.encode())
        return Run(await process.wait(), out.decode(), err.decode())
