"""What waits to be said to other nodes."""

import pytest

from actors.ids import NodeId
from hub.cluster import outbox
from hub.cluster.outbox import Outbox, Parcel
from hub.cluster.words import decode_batch, encode_word
from tests.support.cluster import number_of, word

A, B, C = NodeId("a"), NodeId("b"), NodeId("c")


def filled(*numbers: int, node_id: NodeId = B) -> Outbox:
    box = Outbox(A)
    for number in numbers:
        box.add(node_id, encode_word(word(number)))
    return box


def told(parcels: list[Parcel]) -> list[tuple[NodeId, int, list[int]]]:
    """To whom, the batch's number, and its words."""
    found = []
    for parcel in parcels:
        batch = decode_batch(parcel.payload)
        assert batch is not None
        assert batch.sender == A
        assert parcel.words == len(batch.words)
        found.append((parcel.node_id, batch.number, [number_of(each) for each in batch.words]))
    return found


def test_words_for_one_node_go_together_and_batches_are_numbered_for_each() -> None:
    box = filled(1, 2)
    box.add(C, encode_word(word(3)))
    assert box
    assert told(box.take()) == [(B, 1, [1, 2]), (C, 1, [3])]
    assert not box
    box.add(B, encode_word(word(4)))
    assert told(box.take()) == [(B, 2, [4])]
    assert box.take() == []


def test_a_pulse_has_the_number_of_the_last_batch_and_comes_once() -> None:
    box = filled(1)
    box.take()
    assert told(box.take_pulses()) == [(B, 1, [])]
    assert box.take_pulses() == []


def test_a_pulse_waits_behind_words() -> None:
    box = filled(1)
    box.take()
    box.add(B, encode_word(word(2)))
    assert box.take_pulses() == []
    box.take()
    assert told(box.take_pulses()) == [(B, 2, [])]


def test_past_the_bound_of_words_what_waited_is_dropped_and_uses_up_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST_WORDS", 3)
    box = filled(1, 2, 3, 4)
    assert box.dropped == 3
    assert told(box.take()) == [(B, 2, [4])]


def test_past_the_bound_of_bytes_too_but_a_large_word_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST_BYTES", 10)
    box = filled(1)
    assert told(box.take()) == [(B, 1, [1])]
    box = filled(1, 2)
    assert box.dropped == 1
    assert told(box.take()) == [(B, 2, [2])]


def test_what_is_dropped_or_refused_shows_in_the_next_number_and_in_the_pulse() -> None:
    box = filled(1, 2)
    box.drop_all()
    box.refuse(C)
    assert (box.dropped, bool(box)) == (3, False)
    assert sorted(told(box.take_pulses())) == [(B, 1, []), (C, 1, [])]
    box.add(B, encode_word(word(3)))
    assert told(box.take()) == [(B, 2, [3])]


def test_one_round_trip_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "TRIP_BYTES", 10)
    box = filled(1)
    box.add(C, encode_word(word(2)))
    assert [told(box.take()), told(box.take())] == [[(B, 1, [1])], [(C, 1, [2])]]


def test_numbers_of_nodes_that_were_not_spoken_to_for_longest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST_NUMBERED", 2)
    box = Outbox(A)
    for node_id in (A, B, A, C):
        box.refuse(node_id)
    assert sorted(told(box.take_pulses())) == [(A, 2, []), (C, 1, [])]
