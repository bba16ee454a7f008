"""The numbers out of the box are the contract's."""

from actors.policy import Policy


def test_the_defaults_are_the_contracts() -> None:
    policy = Policy()
    assert policy.heartbeat_interval_s == 30
    assert policy.heartbeat_timeout_s == 120
    assert policy.ping_interval_s == 25
    assert policy.offline_grace_s == 5
    assert policy.max_message_bytes == 1_048_576
    assert (policy.rate, policy.burst) == (200, 400)
    assert (policy.max_mobiles, policy.max_desktops) == (20, 50)


def test_a_client_that_never_reads_is_closed_within_ten_seconds_of_a_stalled_write() -> None:
    policy = Policy()
    assert policy.write_stall_s + min(policy.close_deadline_s, 1.0) < 10


def test_pings_stay_under_the_usual_idle_timeout_of_load_balancers() -> None:
    assert Policy().ping_interval_s < 30 < Policy().heartbeat_timeout_s
