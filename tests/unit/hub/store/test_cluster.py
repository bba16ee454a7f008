"""What is sent on, and in which order; the rest is shown on a real cluster (tests/integration/test_cluster_*.py)."""

from dataclasses import replace

from hub.redis_url import Address
from hub.store.cluster import _Errand, _in_order, _preceded
from hub.store.script import Script

A, B = Address("h", 1), Address("h", 2)
GET = _Errand(0, ("GET", "k"), 7, A)
SCRIPT = Script("return 1")


def test_what_goes_elsewhere_holds_back_what_follows_it_in_its_slot() -> None:
    first, second, third = GET, replace(GET, index=1, at=B, asking=True), replace(GET, index=2)
    other = replace(GET, index=3, slot=8, at=B)
    assert _in_order([first, second, third, other]) == ([first, other], [second, third])


def test_one_that_is_asked_for_holds_back_one_that_has_moved_there() -> None:
    first, second = replace(GET, at=B, asking=True), replace(GET, index=1, at=B)
    assert _in_order([first, second]) == ([first], [second])


def test_what_has_no_slot_holds_back_nothing() -> None:
    every = [replace(GET, slot=None, at=A), replace(GET, slot=None, at=B)]
    assert _in_order(every) == (every, [])


def test_scripts_are_loaded_once_and_asking_stands_right_before_its_command() -> None:
    first = replace(GET, asking=True, loads=True)
    commands, places = _preceded([first, replace(GET, loads=True), GET], [SCRIPT])
    assert commands == [("SCRIPT", "LOAD", "return 1"), ("ASKING",), GET.command, GET.command, GET.command]
    assert places == [2, 3, 4]
    assert _preceded([GET], [SCRIPT]) == ([GET.command], [0])
