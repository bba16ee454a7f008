"""For the modules that take Redis away from a hub: each has a Valkey of its own, and a hub on it."""

from collections.abc import Iterator

import pytest

from tests.support.hub_process import HubProcess
from tests.support.valkey import ValkeyServer


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    """The store of the module's hub. Who harms it has it back in the end."""
    server = ValkeyServer("--appendonly", "yes")
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def frail_hub(server: ValkeyServer) -> Iterator[HubProcess]:
    """A hub whose Redis is away at times."""
    hub = HubProcess({"HUB_REDIS_URL": server.url, "HUB_RATE_LIMIT": "off"})
    try:
        yield hub.start()
    finally:
        hub.close()
