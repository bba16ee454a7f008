"""Fixtures: the hubs that a whole run shares, and hubs of a test's own.

Test modules that use them say `pytest_plugins = ("tests.support.hub_fixtures",)`, and don't import this.
"""

from collections.abc import Iterator

import pytest

from tests.support.hub_process import HubProcess
from tests.support.hub_settings import BRISK, PLAIN, NewHub


@pytest.fixture(scope="session")
def hub() -> Iterator[HubProcess]:
    """The run's hub, as it comes, nearly. Don't harm it, and use names of your own."""
    hub = HubProcess(PLAIN)
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
