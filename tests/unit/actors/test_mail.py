"""Letters and their keys."""

import pytest

from actors.mail import message_id_of, message_key, nameless_key


@pytest.mark.parametrize("name", ["m", "x:1", "m:1", "é", " "])
def test_a_message_is_remembered_by_its_senders_name_for_it(name: str) -> None:
    assert message_id_of(message_key(name)) == name


def test_a_nameless_letter_can_not_be_mistaken_for_one_with_a_name() -> None:
    assert message_id_of(nameless_key("1")) is None
    assert nameless_key("1") != message_key("1")
