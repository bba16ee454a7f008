import asyncio
import os
import signal

import click
import pytest

from hub.cli.ending import INTERRUPTED, run_client
from hub.client import HubClosed, NotConnected


def test_the_exit_code_is_the_clients() -> None:
    async def client() -> int:
        return 7

    assert run_client(client()) == 7


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_an_orderly_way(which: signal.Signals) -> None:
    ended = []

    async def client() -> int:
        os.kill(os.getpid(), which)
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(True)
        return 0

    assert run_client(client()) == INTERRUPTED
    assert ended == [True]


@pytest.mark.parametrize("fault", [HubClosed(4005, "superseded", "taken over"), NotConnected("nobody there")])
def test_a_fault_is_a_line(fault: Exception) -> None:
    async def client() -> int:
        raise fault

    with pytest.raises(click.ClickException, match=r"taken over|nobody there"):
        run_client(client())


def test_a_bug_stays_a_bug() -> None:
    async def client() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_client(client())


def test_an_ignored_signal_stays_ignored() -> None:
    async def client() -> int:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.01)
        return 0

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run_client(client()) == 0
    finally:
        signal.signal(signal.SIGHUP, before)
