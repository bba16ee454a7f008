import pytest

from actors.messages import KnownDesktop
from hub.presence import fields
from tests.support.presence import NOW, make_record

WHOLE = {
    b"desktop_id": b"d1",
    b"user_id": b"u1",
    b"node_id": b"n/1",
    b"connection_id": b"c1",
    b"epoch": b"7",
    b"name": b"",
    b"platform": b"mac",
    b"since": b"5",
    b"last_seen": b"6",
}


def test_a_whole_record() -> None:
    record = fields.read_record(WHOLE)
    assert record is not None
    assert (record.epoch, record.name, record.platform, record.since, record.last_seen) == (7, None, "mac", 5, 6)


@pytest.mark.parametrize("field", [b"desktop_id", b"user_id", b"node_id", b"connection_id", b"epoch", b"since"])
def test_a_record_with_a_field_missing_counts_as_absent(field: bytes) -> None:
    assert fields.read_record({name: value for name, value in WHOLE.items() if name != field}) is None


def test_bytes_that_are_no_text_do_not_raise() -> None:
    assert fields.read_record(WHOLE | {b"\xff": b"\xff", b"since": b"\xff"}) is None


def test_a_known_entry_there_and_back() -> None:
    entry = fields.known_entry(fields.known_text(make_record(name="Bü\n"), "lost").encode())
    assert entry == fields.KnownEntry("Bü\n", "linux", "lost")


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b'{"name": 1}', b"\xff"])
def test_a_damaged_known_entry_is_a_forgotten_one(value: bytes | None) -> None:
    assert fields.known_entry(value) is fields.FORGOTTEN


def test_a_known_desktop_without_a_reason_was_lost_with_its_node() -> None:
    value = fields.known_text(make_record(), "").encode()
    expected = KnownDesktop(make_record().desktop_id, NOW, "Desk", "linux", "node_lost")
    assert fields.known_desktop(b"d1", b"%d" % NOW, value) == expected


def test_scores_are_doubles() -> None:
    assert fields.milliseconds(b"1.7e+12") == 1_700_000_000_000


def test_pairs() -> None:
    assert fields.pairs([b"a", b"1", b"b", b"2"]) == {b"a": b"1", b"b": b"2"}
