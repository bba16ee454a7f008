"""A worker that served for a while is started again at once; one that fails again and again waits longer each time."""

from hub.workers.restarts import SETTLED_S, Restarts


def test_the_first_restart_is_at_once_and_the_rest_wait_twice_as_long_each() -> None:
    restarts = Restarts()
    delays = [restarts.delay_s(0.0) for _ in range(9)]
    assert delays == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_worker_that_served_for_a_while_is_started_at_once_again() -> None:
    restarts = Restarts()
    for _ in range(5):
        restarts.delay_s(SETTLED_S - 0.01)
    assert restarts.delay_s(SETTLED_S) == 0.0
    assert restarts.delay_s(1.0) == 0.1
