"""Turns: once for a whole read, at its end; for anything else when the loop comes round."""

from actors.turns import Turns
from tests.support.actors import HandClock, HandScheduler


def _turns() -> tuple[Turns, HandScheduler, list[str]]:
    scheduler = HandScheduler(HandClock())
    return Turns(scheduler), scheduler, []


def test_who_is_woken_by_anything_but_a_read_has_its_turn_when_the_loop_comes_round() -> None:
    turns, scheduler, called = _turns()
    turns.wake(lambda: called.append("a"))
    assert called == []
    scheduler.settle()
    assert called == ["a"]


def test_all_who_are_woken_share_one_round_in_the_order_of_waking() -> None:
    turns, scheduler, called = _turns()
    for name in "abc":
        turns.wake(lambda name=name: called.append(name))  # type: ignore[misc]
    assert len(scheduler._soon) == 1
    scheduler.settle()
    assert called == ["a", "b", "c"]


def test_who_is_woken_by_a_read_has_its_turn_at_the_end_of_the_read_without_the_loop() -> None:
    turns, scheduler, called = _turns()
    turns.reading = True
    turns.wake(lambda: called.append("a"))
    assert called == []
    turns.run()
    assert called == ["a"]
    assert scheduler._soon == []


def test_a_turn_is_taken_once() -> None:
    turns, scheduler, called = _turns()
    turns.wake(lambda: called.append("a"))
    turns.run()
    scheduler.settle()
    assert called == ["a"]


def test_who_is_woken_in_anothers_turn_has_the_next_one() -> None:
    turns, scheduler, called = _turns()
    turns.reading = True
    turns.wake(lambda: turns.wake(lambda: called.append("b")))
    turns.run()
    assert called == []
    scheduler.settle()
    assert called == ["b"]


def test_a_read_that_woke_nobody_ends_quietly_and_the_next_waking_goes_through_the_loop() -> None:
    turns, scheduler, called = _turns()
    turns.reading = True
    turns.run()
    turns.wake(lambda: called.append("a"))
    scheduler.settle()
    assert called == ["a"]
