"""Fixtures: the Valkey that a whole run shares, and ones that a test may harm.

Test modules that use them say `pytest_plugins = ("tests.support.valkey_fixtures",)`, and don't import this.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from hub.store.client import connect
from tests.support.presence import CALL_MS
from tests.support.valkey import ValkeyServer


@pytest.fixture(scope="session")
def shared_server() -> Iterator[ValkeyServer]:
    """The run's server. Don't harm it."""
    server = ValkeyServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def valkey(shared_server: ValkeyServer) -> ValkeyServer:
    """The run's server, empty."""
    shared_server.say("FLUSHALL")
    return shared_server


@pytest.fixture
async def client(valkey: ValkeyServer) -> AsyncIterator[Redis]:
    """A client of the run's server, which is empty."""
    client = connect(valkey.url, CALL_MS)
    yield client
    await client.aclose()


@pytest.fixture
def frail_server() -> Iterator[ValkeyServer]:
    """A server of the test's own, started, with an append-only file, for it to harm."""
    server = ValkeyServer("--appendonly", "yes", "--enable-debug-command", "yes")
    server.start()
    yield server
    server.close()


@pytest.fixture
async def frail_client(frail_server: ValkeyServer) -> AsyncIterator[Redis]:
    client = connect(frail_server.url, CALL_MS)
    yield client
    await client.aclose()
