"""The ports and their adapters go together: every method is there, and is called the same way."""

import asyncio
import inspect

import pytest

from actors import ports, routes
from actors.clock import Clock, SystemClock
from actors.desktop import DesktopConnection
from actors.mobile import MobileConnection
from hub.auth.refresh import LiveRefresher
from hub.journal.journal import RedisJournal
from hub.mail.room import RedisMailroom
from hub.presence.mirror import PresenceMirror
from hub.transport import WebSocketTransport
from hub.wire import JsonCodec
from tests.support.actors import FakeAuth, FakeMirror, FakeTransport, HandClock, HandScheduler, PlainCodec
from tests.support.memory_journal import MemoryJournal
from tests.support.memory_mailroom import MemoryMailroom

ADAPTERS = [
    (ports.Codec, JsonCodec),
    (ports.Codec, PlainCodec),
    (ports.Transport, WebSocketTransport),
    (ports.Transport, FakeTransport),
    (ports.Authenticator, LiveRefresher),
    (ports.Authenticator, FakeAuth),
    (ports.PresenceMirror, PresenceMirror),
    (ports.PresenceMirror, FakeMirror),
    (ports.Mailroom, RedisMailroom),
    (ports.Mailroom, MemoryMailroom),
    (ports.Journal, RedisJournal),
    (ports.Journal, MemoryJournal),
    (ports.Scheduler, HandScheduler),
    (routes.DesktopRoute, DesktopConnection),
    (routes.MobileRoute, MobileConnection),
    (Clock, SystemClock),
    (Clock, HandClock),
]


def _methods(protocol: type) -> list[str]:
    """Names of what the protocol, and those that it is made of, say in so many words."""
    return [
        name
        for part in protocol.__mro__
        if part.__module__.startswith("actors.")
        for name, member in vars(part).items()
        if inspect.isfunction(member) and not name.startswith("_")
    ]


@pytest.mark.parametrize(("port", "adapter"), ADAPTERS)
def test_an_adapter_has_all_of_its_ports_methods(port: type, adapter: type) -> None:
    assert _methods(port)
    assert [name for name in _methods(port) if not hasattr(adapter, name)] == []


@pytest.mark.parametrize(("port", "adapter"), ADAPTERS)
def test_an_adapters_methods_take_what_the_port_says(port: type, adapter: type) -> None:
    for name in _methods(port):
        theirs = getattr(adapter, name)
        if not inspect.isfunction(theirs):
            continue  # Kept in a slot, or made by C.
        wanted = list(inspect.signature(getattr(port, name)).parameters)
        has = list(inspect.signature(theirs).parameters)
        assert [p for p in has if p != "self"] == [p for p in wanted if p != "self"], name


async def test_an_event_loop_is_a_scheduler() -> None:
    calls: list[str] = []
    scheduler: ports.Scheduler = asyncio.get_running_loop()
    scheduler.call_soon(calls.append, "soon")
    scheduler.call_later(0.0, calls.append, "later")
    scheduler.call_later(0.0, calls.append, "never").cancel()
    await asyncio.sleep(0.01)
    assert calls == ["soon", "later"]
