"""Places in a stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.offsets import BEGINNING, Offset, parse_offset

numbers = st.integers(0, 2**64 - 1)


@given(numbers, numbers)
def test_the_text_of_an_offset_reads_back(epoch: int, seq: int) -> None:
    assert parse_offset(str(Offset(epoch, seq))) == Offset(epoch, seq)


@given(st.tuples(numbers, numbers), st.tuples(numbers, numbers))
def test_offsets_compare_by_epoch_and_then_by_number(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (Offset(*one) < Offset(*other)) == (one < other)


@pytest.mark.parametrize(
    "text",
    ["", "-", "1", "1-", "-1", "1-2-3", "a-1", "1-b", " 1-2", "1-2\n", "+1-2", "1--2", "\N{ARABIC-INDIC DIGIT ONE}-2"],
)
def test_anything_else_is_no_offset(text: str) -> None:
    assert parse_offset(text) is None


@pytest.mark.parametrize("text", [f"{2**64}-0", f"0-{2**64}", f"{'9' * 21}-1"])
def test_more_than_64_bits_are_no_offset(text: str) -> None:
    assert parse_offset(text) is None


def test_the_beginning_is_before_everything() -> None:
    assert Offset(0, 1) > BEGINNING
    assert str(BEGINNING) == "0-0"
