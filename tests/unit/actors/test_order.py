"""What belies that one connection came behind another, and when."""

from hypothesis import given
from hypothesis import strategies as st

from actors.order import REMEMBERED, Order


def test_another_one_in_between_belies_what_was_heard() -> None:
    order = Order()
    assert not order.followed(1, 4)
    assert order.there_was(3) == 4


def test_so_it_does_when_it_was_known_before() -> None:
    order = Order()
    assert order.there_was(3) is None
    assert order.followed(1, 4)


def test_those_that_were_heard_themselves_belie_nothing() -> None:
    order = Order()
    order.followed(1, 4)
    assert [order.there_was(epoch) for epoch in (1, 4, 5)] == [None] * 3
    assert not order.followed(4, 5)


def test_it_is_said_once() -> None:
    order = Order()
    order.followed(1, 4)
    order.there_was(2)
    assert order.there_was(3) is None


def test_of_several_that_are_belied_the_newest_is_named() -> None:
    order = Order()
    order.followed(1, 4)
    order.followed(2, 6)
    order.followed(6, 7)
    assert order.there_was(3) == 6


def test_what_a_phone_was_told_by_the_journal_is_belied_only_by_what_comes_later() -> None:
    order = Order()
    order.there_was(3)
    order.seems_to_follow(1, 4)
    assert order.there_was(2) == 4


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40), st.integers(1, 40)), max_size=40))
def test_as_long_as_it_remembers_the_order_of_proof_and_belief_is_all_one(
    steps: list[tuple[bool, int, int]],
) -> None:
    order, pairs, known = Order(), set[tuple[int, int]](), set[int]()
    for believes, first, second in steps:
        if believes and first < second and len(pairs) < REMEMBERED:
            assert order.followed(first, second) == any(first < epoch < second for epoch in known)
            if not any(first < epoch < second for epoch in known):
                pairs.add((first, second))
        elif not believes and len(known) < REMEMBERED:
            known.add(first)
            belied = {pair for pair in pairs if pair[0] < first < pair[1]}
            assert order.there_was(first) == max((behind for _, behind in belied), default=None)
            pairs -= belied
