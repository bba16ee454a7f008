"""Workers read each other's counts on a board."""

import os
from collections.abc import Callable, Iterator

import pytest

from hub.workers.board import Board, new_board

NewBoard = Callable[[int], Board]


@pytest.fixture
def as_seen_by() -> Iterator[NewBoard]:
    """Makes the board as the worker of that number sees it; there is room for five."""
    with new_board(5) as board:
        yield lambda number: Board(os.dup(board.fileno()), number)


def test_all_see_the_same_and_find_the_emptiest(as_seen_by: NewBoard) -> None:
    boards = [as_seen_by(number) for number in range(3)]
    for board, count in zip(boards, (7, 4, 5), strict=True):
        board.write(count)
    assert [board.emptier() for board in boards] == [1, None, None]


@pytest.mark.parametrize(
    ("own", "least", "fuller"),
    [
        (0, 0, False),
        (1, 0, False),
        (2, 0, True),
        (12, 10, True),
        (41, 38, False),
        (9450, 9000, False),
        (9500, 9000, True),
    ],
)
def test_a_little_more_is_no_matter_and_of_many_a_twentieth_is_little(
    as_seen_by: NewBoard, own: int, least: int, *, fuller: bool
) -> None:
    one, other = as_seen_by(0), as_seen_by(4)
    one.write(own)
    other.write(least)
    assert one.emptier() == (4 if fuller else None)
    assert other.emptier() is None


def test_one_that_moves_is_counted_at_once(as_seen_by: NewBoard) -> None:
    one, other = as_seen_by(0), as_seen_by(1)
    one.write(5)
    other.write(2)
    one.moved(1)
    assert one.emptier() is None
    other.moved(0)
    other.moved(0)
    assert one.emptier() == 1


def test_who_is_not_there_is_not_the_emptiest(as_seen_by: NewBoard) -> None:
    one, other, third = (as_seen_by(number) for number in range(3))
    one.write(100)
    assert one.emptier() is None
    other.write(1)
    third.write(2)
    other.leave()
    assert one.emptier() == 2
    one.strike(2)
    assert one.emptier() is None
    other.write(0)
    assert one.emptier() == 1
