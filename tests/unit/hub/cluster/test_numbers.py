"""Noticing what other nodes said and didn't come."""

import pytest

from actors.ids import NodeId
from hub.cluster import numbers
from hub.cluster.numbers import Numbers

A, B, C = NodeId("a"), NodeId("b"), NodeId("c")


@pytest.mark.parametrize(
    ("batches", "new", "gap"),
    [
        ([1], True, False),
        ([1, 2], True, False),
        ([2], True, True),
        ([1, 3], True, True),
        ([1, 3, 4], True, False),
        ([1, 1], False, False),
        ([1, 2, 3, 2], False, False),
    ],
)
def test_batches(batches: list[int], new: bool, gap: bool) -> None:
    heard = Numbers()
    for number in batches[:-1]:
        heard.take(A, number, pulse=False)
    assert heard.take(A, batches[-1], pulse=False) == (new, gap)


@pytest.mark.parametrize(
    ("batches", "pulse", "gap"), [([], 1, True), ([1], 1, False), ([1, 2], 3, True), ([2], 1, False)]
)
def test_pulses(batches: list[int], pulse: int, gap: bool) -> None:
    heard = Numbers()
    for number in batches:
        heard.take(A, number, pulse=False)
    assert heard.take(A, pulse, pulse=True) == (False, gap)
    assert heard.take(A, max(pulse, *batches, 0) + 1, pulse=False) == (True, False)


def test_each_node_is_counted_by_itself_and_one_that_is_forgotten_from_the_beginning() -> None:
    heard = Numbers()
    assert heard.take(A, 1, pulse=False).new
    assert heard.take(B, 1, pulse=False) == (True, False)
    heard.forget(A)
    heard.forget(C)
    assert heard.take(A, 2, pulse=False) == (True, True)
    assert heard.take(B, 2, pulse=False) == (True, False)


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "MOST", 2)
    heard = Numbers()
    for node_id in (A, B, A, C):
        heard.take(node_id, 9, pulse=False)
    assert heard.take(A, 10, pulse=False) == (True, False)
    assert heard.take(B, 10, pulse=False) == (True, True)
