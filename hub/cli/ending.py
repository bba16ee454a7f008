"""Running a terminal client to its end: signals stop it in an orderly way, and faults become one clear line."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import click

from hub.client import HubClosed, NotConnected

INTERRUPTED = 130
"""The exit code after Ctrl-C or SIGTERM, as shells count it."""


def run_client(client: Coroutine[Any, Any, int]) -> int:
    """Run `client` and return its exit code.

    Raises:
        click.ClickException: The hub doesn't want this client, or wasn't there.
    """
    try:
        return asyncio.run(_until_signalled(client))
    except (HubClosed, NotConnected) as fault:
        raise click.ClickException(str(fault)) from fault


async def _until_signalled(client: Coroutine[Any, Any, int]) -> int:
    task = asyncio.ensure_future(client)
    loop = asyncio.get_running_loop()
    for which in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(which) is not signal.SIG_IGN:  # nohup means it
            loop.add_signal_handler(which, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return INTERRUPTED
