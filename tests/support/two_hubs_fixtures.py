"""Fixture: the two nodes that a whole run shares.

Test modules that use it say `pytest_plugins = ("tests.support.two_hubs_fixtures",)`, and don't import this.
"""

from collections.abc import Iterator

import pytest

from tests.support.two_hubs import TwoHubs, running_two_hubs


@pytest.fixture(scope="session")
def two_hubs() -> Iterator[TwoHubs]:
    """The run's two nodes. Don't harm them, and use names of your own."""
    with running_two_hubs() as pair:
        yield pair
