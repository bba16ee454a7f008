import json

import pytest

from actors.offsets import Offset
from hub.events import entries

ENTRY = {"desktop_id": "d", "user_id": "u", "state": "offline", "reason": "sleep", "at": "1700"}


def flat(fields: dict[str, str]) -> list[bytes]:
    return [text.encode() for pair in fields.items() for text in pair]


def test_an_entry_as_an_event() -> None:
    lines = entries.presence("17-4", flat(ENTRY)).decode().split("\n")
    assert lines[:2] == ["id: 17-4", "event: presence"]
    assert json.loads(lines[2].removeprefix("data: ")) == {**ENTRY, "at": 1700}
    assert lines[3:] == ["", ""]


def test_what_a_client_says_as_its_reason_breaks_no_line() -> None:
    text = entries.presence("17-4", flat({**ENTRY, "reason": 'a\n\nid: 9-9\r\n"'})).decode()
    assert text.count("\n") == 4
    assert "\r" not in text


@pytest.mark.parametrize(
    "damage",
    [{"state": "gone"}, {"at": "soon"}, {"reason": None}, {"desktop_id": None}],
    ids=lambda damage: next(iter(damage)),
)
def test_what_is_not_whole_is_no_event(damage: dict[str, str | None]) -> None:
    fields = {name: text for name, text in {**ENTRY, **damage}.items() if text is not None}
    assert entries.presence("17-4", flat(fields)) == b""


def test_other_bytes_are_no_event() -> None:
    assert entries.presence("17-4", [b"\xff", b"\xfe"]) == b""
    assert entries.presence("17-4", []) == b""


def test_a_gap_and_a_place() -> None:
    assert entries.gap(Offset(17, 4)) == b'event: gap\ndata: {"after":"17-4"}\n\n'
    assert entries.place(Offset(17, 4)) == b"id: 17-4\n\n"
