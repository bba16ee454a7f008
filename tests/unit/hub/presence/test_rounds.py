from hub.presence.pending import key_of
from hub.presence.rounds import Round
from tests.support.presence import make_record

RECORDS = [make_record(f"d{number}") for number in range(10)]


def test_an_empty_round_has_nothing_due() -> None:
    assert not Round(())
    assert Round(()).due(1.0) == 0


def test_the_due_ones_grow_with_time() -> None:
    going = Round(RECORDS)
    assert [going.due(share) for share in (0.0, 0.25, 0.5, 1.0)] == [0, 3, 5, 10]
    going.take(5)
    assert [going.due(share) for share in (0.0, 0.5, 0.6, 1.0)] == [0, 0, 1, 5]


def test_each_is_taken_once_in_a_steady_order() -> None:
    first, second = Round(RECORDS), Round(RECORDS)
    order = [*first.take(4), *first.take(100)]
    assert sorted(record.desktop_id for record in order) == sorted(record.desktop_id for record in RECORDS)
    assert not first
    assert order == second.take(10)


def test_a_desktop_that_changed_leaves() -> None:
    going = Round(RECORDS)
    going.leave(key_of(RECORDS[3]))
    going.leave(key_of(make_record("stranger")))
    assert RECORDS[3] not in going.take(100)
