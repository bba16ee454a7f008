import pytest

from hub.client.backoff import Backoff
from hub.client.closing import Parting
from hub.client.errors import HubClosed
from hub.client.reconnection import STABLE_S, Plan, Reconnection


@pytest.fixture
def reconnection() -> Reconnection:
    return Reconnection(Backoff(chance=lambda: 1.0))


def test_failures_add_up(reconnection: Reconnection) -> None:
    assert [reconnection.plan(Parting(1006), None).delay_s for _ in range(3)] == [0.5, 1.0, 2.0]


def test_the_jitter_comes_on_top_of_what_the_hub_asks_for(reconnection: Reconnection) -> None:
    assert reconnection.plan(Parting(1012, retry_after_s=3.0), 1.0) == Plan(3.5)


def test_only_a_stable_connection_forgets_failures(reconnection: Reconnection) -> None:
    reconnection.plan(Parting(1006), None)
    assert reconnection.plan(Parting(1006), STABLE_S - 1).delay_s == 1.0
    assert reconnection.plan(Parting(1006), STABLE_S).delay_s == 0.5


def test_at_once_is_granted_once_a_stable_connection(reconnection: Reconnection) -> None:
    assert reconnection.plan(Parting(4202), 1.0) == Plan(0.0)
    assert reconnection.plan(Parting(4202), 1.0) == Plan(0.5)
    assert reconnection.plan(Parting(4202), STABLE_S) == Plan(0.0)


def test_a_refused_token_is_replaced_once_a_welcome(reconnection: Reconnection) -> None:
    assert reconnection.plan(Parting(401), None) == Plan(0.0, new_token=True)
    assert reconnection.plan(Parting(1006), 1.0) == Plan(0.5)
    assert reconnection.plan(Parting(401), None).new_token
    with pytest.raises(HubClosed, match="401"):
        reconnection.plan(Parting(401), None)


def test_an_expired_token_is_replaced_as_often_as_it_expires(reconnection: Reconnection) -> None:
    for _ in range(5):
        assert reconnection.plan(Parting(4201), 3600.0) == Plan(0.0, new_token=True)


def test_stop_is_final(reconnection: Reconnection) -> None:
    with pytest.raises(HubClosed) as caught:
        reconnection.plan(Parting(4001), 100.0)
    assert (caught.value.code, caught.value.name) == (4001, "token_invalid")
