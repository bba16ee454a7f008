"""The newest frames of a desktop, over its connections."""

import pytest

from actors.ids import Epoch
from actors.offsets import BEGINNING, Offset
from actors.ring import Ring

MANY, LARGE = 1000, 10**6


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the bounds at every frame, so that each test may be small."""
    monkeypatch.setattr("actors.ring._TRIMMED_EVERY", 1)


def said(epoch: int, seq: int) -> bytes:
    return f"{epoch}-{seq}".encode()


def ring_of(*spans: tuple[int, int], max_frames: int = MANY, max_bytes: int = LARGE) -> Ring:
    """A ring after connections of (epoch, messages)."""
    ring = Ring(max_frames, max_bytes)
    for epoch, messages in spans:
        ring.open(Epoch(epoch))
        for seq in range(1, messages + 1):
            ring.append(said(epoch, seq))
    return ring


def read_all(ring: Ring, after: Offset) -> list[bytes]:
    return ring.read(after, MANY, LARGE)[0]


def test_messages_are_numbered_from_one_in_every_connection() -> None:
    ring = ring_of((7, 2))
    assert (ring.seq, ring.head) == (2, Offset(7, 2))
    ring.open(Epoch(9))
    assert ring.head == Offset(9, 0)
    ring.append(b"x")
    assert ring.head == Offset(9, 1)


def test_what_lies_behind_an_offset_is_read_in_order_and_over_connections() -> None:
    ring = ring_of((7, 3), (9, 2))
    assert read_all(ring, Offset(7, 1)) == [said(7, 2), said(7, 3), said(9, 1), said(9, 2)]
    assert read_all(ring, Offset(7, 3)) == [said(9, 1), said(9, 2)]
    assert read_all(ring, Offset(9, 1)) == [said(9, 2)]
    assert read_all(ring, Offset(9, 2)) == []


def test_an_older_place_reads_all_and_a_place_ahead_nothing() -> None:
    ring = ring_of((7, 2), (9, 1))
    assert len(read_all(ring, BEGINNING)) == 3
    assert read_all(ring, Offset(8, 5)) == [said(9, 1)]
    assert read_all(ring, Offset(11, 0)) == []


def test_pieces_tell_how_far_they_go() -> None:
    ring = ring_of((7, 3), (9, 2))
    frames, reached = ring.read(Offset(7, 0), 2, LARGE)
    assert (frames, reached) == ([said(7, 1), said(7, 2)], Offset(7, 2))
    frames, reached = ring.read(reached, 2, LARGE)
    assert (frames, reached) == ([said(7, 3), said(9, 1)], Offset(9, 1))
    frames, reached = ring.read(reached, 2, LARGE)
    assert (frames, reached) == ([said(9, 2)], Offset(9, 2))
    assert ring.read(reached, 2, LARGE) == ([], Offset(9, 2))


def test_a_piece_is_bounded_by_bytes_but_never_empty() -> None:
    ring = ring_of((7, 5))
    assert ring.read(Offset(7, 0), MANY, 7)[0] == [said(7, 1), said(7, 2)]
    assert ring.read(Offset(7, 0), MANY, 1)[0] == [said(7, 1)]


def test_the_oldest_go_past_the_bound_of_frames() -> None:
    ring = ring_of((7, 5), max_frames=3)
    assert (len(ring), ring.start, ring.head) == (3, Offset(7, 2), Offset(7, 5))
    assert read_all(ring, BEGINNING) == [said(7, 3), said(7, 4), said(7, 5)]


def test_the_oldest_go_past_the_bound_of_bytes() -> None:
    ring = ring_of((7, 5), max_bytes=6)
    assert (len(ring), ring.bytes, ring.start) == (2, 6, Offset(7, 3))


def test_a_frame_greater_than_the_ring_is_counted_and_not_kept() -> None:
    ring = ring_of((7, 1), max_bytes=3)
    ring.append(b"four")
    assert (len(ring), ring.bytes, ring.start, ring.head) == (0, 0, Offset(7, 2), Offset(7, 2))
    ring.append(b"x")
    assert ring.read(Offset(7, 2), MANY, LARGE) == ([b"x"], Offset(7, 3))


def test_covered_is_every_place_behind_which_nothing_is_missing() -> None:
    ring = ring_of((7, 5), (9, 1), max_frames=4)
    assert ring.start == Offset(7, 2)
    for seq in (2, 3, 4, 5):
        assert ring.covers(Offset(7, seq))
    assert ring.covers(Offset(9, 0))
    assert ring.covers(Offset(9, 1))


def test_a_place_before_the_ring_or_that_never_was_is_not_covered() -> None:
    ring = ring_of((7, 5), (9, 1), max_frames=4)
    for place in (BEGINNING, Offset(7, 1), Offset(7, 6), Offset(8, 1), Offset(9, 2), Offset(10, 1)):
        assert not ring.covers(place)


def test_the_place_of_a_connection_that_said_nothing_is_covered() -> None:
    ring = ring_of((7, 5), (9, 1), max_frames=4)
    for place in (Offset(8, 0), Offset(10, 0)):
        assert ring.covers(place)
    for place in (Offset(6, 0), Offset(7, 0)):
        assert not ring.covers(place)
    ring = ring_of((7, 2), (9, 2), max_frames=2)
    assert ring.covers(Offset(8, 0)), "all that came behind it is here"
    assert read_all(ring, Offset(8, 0)) == [said(9, 1), said(9, 2)]


def test_the_end_of_a_connection_whose_frames_are_gone_is_covered_while_the_next_one_is_here_from_its_start() -> None:
    ring = ring_of((7, 2), (9, 2), max_frames=2)
    assert ring.start == Offset(9, 0)
    assert ring.covers(Offset(7, 2))
    assert not ring.covers(Offset(7, 1))
    assert read_all(ring, Offset(7, 2)) == [said(9, 1), said(9, 2)]
    ring.append(said(9, 3))
    assert not ring.covers(Offset(7, 2))


def test_a_ring_that_never_held_anything_covers_nothing() -> None:
    ring = Ring(MANY, LARGE)
    assert (ring.start, ring.head, len(ring)) == (BEGINNING, BEGINNING, 0)
    assert not ring.covers(BEGINNING)


def test_the_bounds_are_kept_now_and_then_and_at_large_frames_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    ring = ring_of((7, 63), max_frames=3)
    assert len(ring) == 63
    ring.append(said(7, 64))
    assert (len(ring), ring.start, ring.bytes) == (3, Offset(7, 61), 12)
    ring.append(said(7, 65))
    ring.append(b"x" * 5000)
    assert (len(ring), ring.start, ring.bytes) == (3, Offset(7, 63), 5008)
    ring.append(said(7, 67))
    ring.open(Epoch(9))
    assert (len(ring), ring.start) == (3, Offset(7, 64))


def test_what_connections_before_one_said_can_be_forgotten() -> None:
    ring = Ring(100, 10_000)
    for epoch in (3, 5, 8):
        ring.open(Epoch(epoch))
        for number in range(1, 4):
            ring.append(f"{epoch}-{number}".encode())
    ring.cut(Epoch(8))
    assert (ring.start, ring.head, len(ring)) == ((8, 0), (8, 3), 3)
    assert not ring.covers(Offset(5, 3))
    assert ring.read(Offset(8, 1), 10, 1000) == ([b"8-2", b"8-3"], (8, 3))


def test_who_has_heard_more_shows_that_something_is_missing_here() -> None:
    ring = Ring(100, 10_000)
    for epoch in (3, 8):
        ring.open(Epoch(epoch))
        ring.append(f"{epoch}-1".encode())
    ring.cut_behind(Offset(5, 2))
    assert ring.start == (8, 0)
    ring.cut_behind(Offset(2, 9))
    assert len(ring) == 1


def test_stretches_are_what_each_connection_said_behind_a_place() -> None:
    ring = Ring(100, 10_000)
    ring.open(Epoch(3), 4)
    for frame in (b"3-5", b"3-6"):
        ring.append(frame)
    ring.open(Epoch(8))
    ring.append(b"8-1")
    assert list(ring.stretches(ring.start)) == [(3, 5, [b"3-5", b"3-6"]), (8, 1, [b"8-1"])]
    assert list(ring.stretches(Offset(3, 5))) == [(3, 6, [b"3-6"]), (8, 1, [b"8-1"])]
    assert list(ring.stretches(ring.head)) == []


def test_the_end_of_a_connection_elsewhere_can_be_made_known() -> None:
    ring = Ring(100, 10_000)
    ring.open(Epoch(8))
    ring.append(b"8-1")
    assert not ring.covers(Offset(5, 7))
    ring.follow(Offset(5, 7))
    assert ring.covers(Offset(5, 7))
    assert not ring.covers(Offset(5, 6))
