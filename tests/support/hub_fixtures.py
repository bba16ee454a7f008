"""Fixtures: the hubs that a whole run shares, and hubs of a test's own.

Test modules that use them say `pytest_plugins = ("tests.support.hub_fixtures",)`, and don't import this.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.support.hub_process import HubProcess

PAGE = "https://app.example"
BRISK = {
    "HUB_HEARTBEAT_TIMEOUT_S": "2",
    "HUB_PRESENCE_TTL_S": "2",
    "HUB_OFFLINE_GRACE_S": "0.6",
    "HUB_HANDSHAKE_DEADLINE_S": "1",
    "HUB_WRITE_STALL_S": "1",
    "HUB_CLOSE_DEADLINE_S": "1",
    "HUB_JWT_LEEWAY_S": "1",
    "HUB_MAX_DESKTOPS_PER_USER": "2",
    "HUB_MAX_MOBILES_PER_USER": "2",
    "HUB_RATE_LIMIT": "50:100",
}
"""Everything that takes minutes takes seconds, and what is plenty is little."""

NewHub = Callable[..., HubProcess]


@pytest.fixture(scope="session")
def hub() -> Iterator[HubProcess]:
    """The run's hub, as it comes but for the rate limit. Don't harm it, and use names of your own."""
    hub = HubProcess({"HUB_ALLOWED_ORIGINS": PAGE, "HUB_RATE_LIMIT": "off", "HUB_OFFLINE_GRACE_S": "0.6"})
    try:
        yield hub.start()
    finally:
        hub.close()


@pytest.fixture(scope="session")
def brisk_hub() -> Iterator[HubProcess]:
    """The run's impatient hub. Don't harm it, and use names of your own."""
    hub = HubProcess(BRISK)
    try:
        yield hub.start()
    finally:
        hub.close()


@pytest.fixture
def new_hub() -> Iterator[NewHub]:
    """Makes hubs of the test's own, which it starts itself; takes what `HubProcess` takes."""
    hubs: list[HubProcess] = []

    def make(*args: object, **kwargs: object) -> HubProcess:
        hubs.append(HubProcess(*args, **kwargs))  # type: ignore[arg-type]
        return hubs[-1]

    yield make
    for hub in hubs:
        hub.close()
