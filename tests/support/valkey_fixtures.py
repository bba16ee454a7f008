"""Fixtures: the Valkey that a whole run shares, and ones that a test may harm.

Test modules that use them say `pytest_plugins = ("tests.support.valkey_fixtures",)`, and don't import this.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from hub.store.client import Client, connect, connect_to_one
from tests.support.presence import CALL_MS
from tests.support.valkey import ValkeyServer
from tests.support.valkey_cluster import ValkeyCluster


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
    client = connect_to_one(valkey.url, CALL_MS)
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
    client = connect_to_one(frail_server.url, CALL_MS)
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[ValkeyCluster]:
    """The run's cluster of three masters. Don't harm it; slots may be moved, if they are moved back."""
    cluster = ValkeyCluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def cluster(shared_cluster: ValkeyCluster) -> ValkeyCluster:
    """The run's cluster, empty."""
    shared_cluster.say("FLUSHALL")
    return shared_cluster


@pytest.fixture
async def cluster_client(cluster: ValkeyCluster) -> AsyncIterator[Client]:
    """A client of the run's cluster, which is empty."""
    client = connect(cluster.url, CALL_MS)
    yield client
    await client.aclose()


@pytest.fixture(scope="module")
def frail_cluster() -> Iterator[ValkeyCluster]:
    """A cluster of three masters with a replica each, for the tests of a module to harm; see `ValkeyCluster.mend`."""
    cluster = ValkeyCluster(replicas=1, node_timeout_ms=1000)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()
