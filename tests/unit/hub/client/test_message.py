import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.client.message import Message, NotAMessage, decode, encode

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


TIMES = st.integers(0, 2**53)


@given(st.text(), st.dictionaries(st.text(), JSON), TIMES, st.none() | st.text(min_size=1), st.none() | TIMES)
def test_what_is_encoded_comes_back(
    kind: str, payload: dict[str, Any], timestamp: int, message_id: str | None, valid_until: int | None
) -> None:
    expected = Message(kind, payload, timestamp, message_id, valid_until=valid_until)
    assert decode(encode(kind, payload, timestamp, message_id, valid_until)) == expected


def test_what_is_not_given_is_not_sent() -> None:
    assert json.loads(encode("heartbeat", {}, 5)) == {"type": "heartbeat", "payload": {}, "timestamp": 5}


@given(st.binary() | st.text())
def test_anything_else_is_not_a_message(text: str | bytes) -> None:
    with pytest.raises(NotAMessage):
        decode(text)


@pytest.mark.parametrize(
    "envelope",
    [
        [],
        {},
        {"type": "x", "payload": {}},
        {"type": "x", "payload": [], "timestamp": 1},
        {"type": 1, "payload": {}, "timestamp": 1},
        {"type": "x", "payload": {}, "timestamp": "1"},
    ],
)
def test_what_is_no_envelope(envelope: object) -> None:
    with pytest.raises(NotAMessage):
        decode(json.dumps(envelope))


def test_stamps_of_another_type_are_left_out() -> None:
    stamps = {"type": "x", "payload": {}, "timestamp": 1, "desktop_id": 5, "user_id": None, "offset": 3}
    for valid_until in ("5", 5.5, True, None):
        text = json.dumps(stamps | {"valid_until": valid_until})
        assert decode(text) == Message("x", {}, 1)


def test_the_hubs_stamps_are_read() -> None:
    text = json.dumps({"type": "x", "payload": {}, "timestamp": 1, "desktop_id": "d", "offset": "7-3"})
    assert decode(text) == Message("x", {}, 1, desktop_id="d", offset="7-3")


def test_a_message_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Message("x", {}, 1).type = "y"  # type: ignore[misc]
