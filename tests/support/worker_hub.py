"""A hub with several workers, seen from outside: which processes there are, and which of them answers."""

import asyncio
import json
import time
from pathlib import Path
from typing import NamedTuple

from tests.support.clients import WAIT_S
from tests.support.hub_process import HubProcess

_MODULE = "hub.workers.worker"


class Answer(NamedTuple):
    """What `/readyz` said on a connection of its own."""

    status: int
    node_id: str


def worker_pids(hub: HubProcess) -> dict[int, int]:
    """The process ids of the workers, by their numbers."""
    pids = {}
    for pid in _children(hub.pid):
        words = _words(pid)
        if _MODULE in words:
            pids[int(words[words.index(_MODULE) + 1])] = pid
    return pids


def private_folder(hub: HubProcess) -> Path:
    """Where the workers' private sockets are."""
    return Path(_words(next(iter(worker_pids(hub).values())))[-1])


def is_gone(pid: int) -> bool:
    """Whether a process has ended; its parent may not have noticed yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def ask(hub: HubProcess) -> Answer:
    """Connect anew and ask; an `OSError` is the connection's."""
    async with asyncio.timeout(WAIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        try:
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n")
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
    if not body:
        raise ConnectionResetError("no answer")
    return Answer(int(head.split()[1]), json.loads(body)["node_id"])


async def ask_often(hub: HubProcess, times: int, at_once: int = 20) -> list[Answer]:
    """Ask on so many new connections, some of them at once."""
    answers: list[Answer] = []
    while len(answers) < times:
        answers += await asyncio.gather(*(ask(hub) for _ in range(at_once)))
    return answers


async def log_says(hub: HubProcess, text: str, times: int = 1) -> None:
    """Wait until the hub's log has that text so often."""
    deadline = time.monotonic() + WAIT_S
    while hub.log.count(text) < times:
        assert time.monotonic() < deadline, f"{text!r} isn't there {times} times:\n{hub.log}"
        await asyncio.sleep(0.02)


async def all_gone(pids: list[int], within_s: float = WAIT_S) -> None:
    """Wait for the end of these processes."""
    async with asyncio.timeout(within_s):
        while not all(map(is_gone, pids)):
            await asyncio.sleep(0.02)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []
