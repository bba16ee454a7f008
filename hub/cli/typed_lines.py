"""Lines from standard input as they are typed, without a thread: terminals, pipes, files and /dev/null alike."""

import asyncio
import codecs
import os
from collections.abc import AsyncIterator

_READ_BYTES = 64 * 1024


async def typed_lines(descriptor: int = 0) -> AsyncIterator[str]:
    """Yield lines without their ends, until the end of the input; the last one need not be ended."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    rest = ""
    while chunk := await _read(descriptor):
        *lines, rest = (rest + decoder.decode(chunk)).split("\n")
        for line in lines:
            yield line
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest


async def _read(descriptor: int) -> bytes:
    """Read what is there; wait for it where that can be waited for (epoll knows no plain files: those are ready)."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    try:
        loop.add_reader(descriptor, readable.set)
    except PermissionError:
        return os.read(descriptor, _READ_BYTES)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, _READ_BYTES)
