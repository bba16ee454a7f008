"""The watchdog: silence for the whole timeout is death, any frame is life, pings are due regularly."""

import pytest

from actors.heartbeat import Dead, Probe, Wait, Watchdog

TIMEOUT, EVERY = 120.0, 25.0


def test_a_peer_that_speaks_by_itself_is_only_waited_for() -> None:
    dog = Watchdog(TIMEOUT, None, 0.0)
    assert dog.check(0.0) == Wait(120.0)
    assert dog.check(119.0) == Wait(1.0)


def test_silence_for_the_whole_timeout_is_death() -> None:
    dog = Watchdog(TIMEOUT, None, 0.0)
    assert dog.check(119.999) != Dead()
    assert dog.check(120.0) == Dead()
    assert dog.check(500.0) == Dead()


def test_any_frame_proves_life_for_another_timeout() -> None:
    dog = Watchdog(TIMEOUT, None, 0.0)
    dog.last_heard = 100.0
    assert dog.check(120.0) == Wait(100.0)
    assert dog.check(219.9) != Dead()
    assert dog.check(220.0) == Dead()


def test_a_ping_is_due_every_interval() -> None:
    dog = Watchdog(TIMEOUT, EVERY, 0.0)
    assert dog.check(0.0) == Wait(25.0)
    assert dog.check(25.0) == Probe(25.0)
    assert dog.check(25.0) == Wait(25.0)
    assert dog.check(49.0) == Wait(1.0)
    assert dog.check(50.0) == Probe(25.0)


def test_a_late_look_sends_one_ping_not_all_that_were_missed() -> None:
    dog = Watchdog(TIMEOUT, EVERY, 0.0)
    assert isinstance(dog.check(110.0), Probe)
    assert isinstance(dog.check(110.0), Wait)


def test_pings_do_not_prove_life() -> None:
    dog = Watchdog(TIMEOUT, EVERY, 0.0)
    for now in (25.0, 50.0, 75.0, 100.0):
        assert isinstance(dog.check(now), Probe)
    assert dog.check(120.0) == Dead()


def test_the_next_look_is_never_after_the_deadline() -> None:
    dog = Watchdog(TIMEOUT, EVERY, 0.0)
    assert dog.check(110.0) == Probe(10.0)
    assert dog.check(112.0) == Wait(8.0)


@pytest.mark.parametrize("heard", [0.0, 1.5, 77.25])
def test_following_the_verdicts_finds_death_at_the_deadline_exactly(heard: float) -> None:
    dog = Watchdog(TIMEOUT, EVERY, 0.0)
    now = dog.last_heard = heard
    for _ in range(20):
        verdict = dog.check(now)
        if isinstance(verdict, Dead):
            break
        now += verdict.seconds
    assert now == heard + TIMEOUT
