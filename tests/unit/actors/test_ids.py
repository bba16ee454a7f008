"""Ids: what may stand in a Redis key, a log line and a JSON string without escaping."""

import pytest

from actors.ids import is_id


@pytest.mark.parametrize("text", ["a", "A9", "user@example.org", "desk:1", "a.b-c_d", "x" * 128])
def test_letters_digits_and_a_few_marks_are_an_id(text: str) -> None:
    assert is_id(text)


@pytest.mark.parametrize("text", ["", "x" * 129, "a b", "a/b", "{u}", 'a"b', "a\\b", "é", "\uff11", "a\n", "\x00"])
def test_anything_that_needs_escaping_or_is_too_long_is_not(text: str) -> None:
    assert not is_id(text)


@pytest.mark.parametrize("value", [None, 5, b"a", ["a"], True])
def test_only_text_can_be_an_id(value: object) -> None:
    assert not is_id(value)
