"""Nothing is missing exactly when the evidence has no gap."""

from actors.chain import Chain
from actors.offsets import BEGINNING, Offset


def test_number_after_number_up_to_the_head_is_whole() -> None:
    chain = Chain(Offset(7, 2))
    chain.message(Offset(7, 3))
    chain.message(Offset(7, 4))
    chain.ends(Offset(7, 4))
    assert (chain.whole, chain.at) == (True, Offset(7, 4))


def test_a_number_left_out_is_a_gap() -> None:
    chain = Chain(Offset(7, 2))
    chain.message(Offset(7, 4))
    assert not chain.whole


def test_a_gap_is_not_mended_by_what_follows() -> None:
    chain = Chain(Offset(7, 2))
    chain.message(Offset(7, 4))
    chain.message(Offset(7, 5))
    chain.ends(Offset(7, 5))
    assert not chain.whole


def test_an_opening_that_names_where_we_stand_leads_into_the_next_epoch() -> None:
    chain = Chain(Offset(7, 2))
    chain.opening(Offset(9, 0), Offset(7, 2))
    chain.message(Offset(9, 1))
    chain.ends(Offset(9, 1))
    assert chain.whole


def test_an_opening_that_names_another_place_is_a_gap() -> None:
    chain = Chain(Offset(7, 2))
    chain.opening(Offset(9, 0), Offset(7, 3))
    assert not chain.whole


def test_an_opening_of_which_nobody_knows_what_was_before_is_a_gap() -> None:
    chain = Chain(Offset(7, 2))
    chain.opening(Offset(9, 0), None)
    assert not chain.whole


def test_a_message_of_an_epoch_whose_opening_is_missing_is_a_gap() -> None:
    chain = Chain(Offset(7, 2))
    chain.message(Offset(9, 1))
    assert not chain.whole


def test_the_first_connection_ever_follows_the_beginning() -> None:
    chain = Chain(BEGINNING)
    chain.opening(Offset(1, 0), BEGINNING)
    assert chain.whole


def test_a_head_further_on_is_a_gap_and_where_we_stand_from_then_on() -> None:
    chain = Chain(Offset(7, 2))
    chain.ends(Offset(7, 3))
    assert (chain.whole, chain.at) == (False, Offset(7, 3))


def test_a_head_that_nobody_knows_leaves_us_where_we_are_and_in_doubt() -> None:
    chain = Chain(Offset(7, 2))
    chain.ends(None)
    assert (chain.whole, chain.at) == (False, Offset(7, 2))


def test_a_stretch_without_a_gap_keeps_it_whole() -> None:
    chain = Chain(Offset(7, 2))
    chain.stretch(Offset(9, 5), gapless=True)
    assert (chain.whole, chain.at) == (True, Offset(9, 5))
    chain.stretch(Offset(9, 9), gapless=False)
    assert (chain.whole, chain.at) == (False, Offset(9, 9))
