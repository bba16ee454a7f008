"""The queue of the journal: in order, bounded, and it knows where an opening went missing."""

import pytest

from actors.ids import DesktopId, Epoch, UserId
from actors.offsets import BEGINNING, Offset
from hub.journal.asked import Append, Asked, Open, Read
from hub.journal.pending import BATCH, BATCH_BYTES, MOST_BYTES, MOST_READS, MOST_WRITES, Pending
from hub.journal.scripts import PAGE_BYTES
from tests.support.journal import D1, U1, frame


def append(seq: int, size: int = 1) -> Append:
    return Append(U1, D1, Offset(5, seq), b"x" * size, 0.0)


def opening(epoch: int, desktop: str = "d1") -> Open:
    return Open(UserId("u1"), DesktopId(desktop), Epoch(epoch), 0.0, lambda _: None)


def read() -> Read:
    return Read(U1, D1, BEGINNING, lambda _: None, None)


def filled(*asked: Asked) -> Pending:
    pending = Pending()
    for each in asked:
        assert pending.add(each) == []
    return pending


def test_what_is_taken_is_the_oldest_in_order() -> None:
    asked: list[Asked] = [append(1), read(), append(2)]
    pending = filled(*asked)
    assert pending
    assert pending.take() == asked
    assert not pending
    assert pending.take() == []


def test_a_round_trip_is_bounded_by_count() -> None:
    pending = filled(*(append(seq) for seq in range(BATCH + 1)))
    assert len(pending.take()) == BATCH
    assert len(pending.take()) == 1


def test_a_round_trip_is_bounded_by_bytes_and_takes_one_at_least() -> None:
    pending = filled(append(1, BATCH_BYTES + 1), append(2, BATCH_BYTES - 1), append(3), append(4))
    assert [len(pending.take()) for _ in range(3)] == [1, 2, 1]


def test_a_round_trip_is_bounded_by_what_its_reads_may_bring() -> None:
    pending = filled(*(read() for _ in range(20)))
    assert len(pending.take()) == BATCH_BYTES // PAGE_BYTES


def test_what_is_put_back_comes_first_again() -> None:
    first, second, third = append(1), append(2), append(3)
    pending = filled(first, second)
    taken = [each for each in pending.take() if isinstance(each, Append)]
    pending.add(third)
    assert pending.put_back(taken) == []
    assert pending.take() == [first, second, third]


def test_a_read_is_urgent_and_so_is_a_full_batch() -> None:
    assert not filled(append(1)).urgent
    assert filled(append(1), read()).urgent
    assert filled(*(append(seq) for seq in range(BATCH))).urgent
    assert filled(append(1, BATCH_BYTES)).urgent
    emptied = filled(append(1), read())
    emptied.take()
    assert not emptied.urgent


def test_reads_can_be_taken_out() -> None:
    one, two = read(), append(1)
    pending = filled(one, two)
    assert pending.take_reads() == [one]
    assert not pending.urgent
    assert pending.take() == [two]


def test_reads_are_bounded() -> None:
    pending = filled(*(read() for _ in range(MOST_READS - 1)))
    assert not pending.reads_full
    pending.add(read())
    assert pending.reads_full


def test_past_the_bound_of_writes_the_oldest_goes() -> None:
    pending = filled(*(append(seq) for seq in range(MOST_WRITES)))
    assert pending.add(append(MOST_WRITES)) == [append(0)]
    assert pending.put_back([append(0)]) == [append(0)]
    assert pending.take()[0] == append(1)


def test_past_the_bound_of_bytes_the_oldest_go() -> None:
    pending = filled(append(1), append(2), append(3, MOST_BYTES - 2))
    assert pending.add(append(4, 2)) == [append(1), append(2)]
    assert list(pending) == [append(3, MOST_BYTES - 2), append(4, 2)]


@pytest.mark.parametrize(("lost", "certain"), [(opening(5), False), (opening(5, "d2"), True), (append(1), True)])
def test_an_opening_behind_a_lost_one_is_not_certain(lost: Asked, certain: bool) -> None:
    pending = Pending()
    pending.lost(lost)
    pending.add(opening(6))
    pending.add(opening(7))
    assert [each.certain for each in pending.take() if isinstance(each, Open)] == [certain, True]


def test_what_is_remembered_of_lost_openings_is_bounded() -> None:
    pending = Pending()
    for number in range(MOST_WRITES + 1):
        pending.lost(opening(5, f"d{number}"))
    pending.add(opening(6, "d0"))
    pending.add(opening(6, "d1"))
    assert [each.certain for each in pending.take() if isinstance(each, Open)] == [True, False]


def test_sizes_are_those_of_the_frames() -> None:
    assert Append(U1, D1, Offset(5, 1), frame("12345"), 0.0).size == 7
