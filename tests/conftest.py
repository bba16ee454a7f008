"""For all tests."""

import gc
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

_FIRST, _LAST = "chaos", "unit"

# On a fresh machine the first draw of a character builds Unicode's tables, which takes seconds beside another process;
# how long a draw takes says nothing about a strategy here.
settings.register_profile("hub", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("hub")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without looking for garbage: what is made here stays, and to look took each process a third longer."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest and end with what is quick, so that no process ends alone on a long file."""
    items.sort(key=lambda item: (_FIRST not in item.path.parts) + (_LAST in item.path.parts))
