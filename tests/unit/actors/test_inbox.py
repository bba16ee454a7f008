"""An inbox: in order, bounded by count and by bytes, and three answers that are never mixed up."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from actors.inbox import Inbox, Offer


@dataclass
class Owner:
    """Remembers what its inbox told it."""

    told: list[str] = field(default_factory=list)

    def inbox(self, frames: int = 3, size: int = 100) -> Inbox:
        return Inbox(frames, size, lambda: self.told.append("wake"), lambda: self.told.append("overflow"))


def test_frames_come_out_in_the_order_in_which_they_were_offered() -> None:
    inbox = Owner().inbox()
    assert [inbox.offer(frame, 1.0) for frame in (b"a", b"b", b"c")] == [Offer.ACCEPTED] * 3
    assert inbox.take_all() == [b"a", b"b", b"c"]
    assert inbox.take_all() == []


def test_the_owner_is_woken_once_a_batch() -> None:
    owner = Owner()
    inbox = owner.inbox()
    inbox.offer(b"a", 1.0)
    inbox.offer(b"b", 1.0)
    assert owner.told == ["wake"]
    inbox.take_all()
    inbox.offer(b"c", 1.0)
    assert owner.told == ["wake", "wake"]


def test_no_more_frames_wait_than_allowed() -> None:
    owner = Owner()
    inbox = owner.inbox(frames=2)
    assert [inbox.offer(b"x", 1.0) for _ in range(3)] == [Offer.ACCEPTED, Offer.ACCEPTED, Offer.FULL]
    assert len(inbox) == 2
    assert owner.told == ["wake", "overflow"]


def test_no_more_bytes_wait_than_allowed() -> None:
    owner = Owner()
    inbox = owner.inbox(size=10)
    assert inbox.offer(b"x" * 10, 1.0) is Offer.ACCEPTED
    assert inbox.offer(b"x", 1.0) is Offer.FULL
    assert inbox.pending_bytes == 10
    assert owner.told == ["wake", "overflow"]


def test_a_frame_that_fits_alone_but_not_behind_the_others_is_refused() -> None:
    inbox = Owner().inbox(size=10)
    inbox.offer(b"x" * 6, 1.0)
    assert inbox.offer(b"y" * 5, 1.0) is Offer.FULL
    assert inbox.take_all() == [b"x" * 6]


def test_taking_makes_room() -> None:
    inbox = Owner().inbox(frames=1, size=10)
    for _ in range(5):
        assert inbox.offer(b"x" * 10, 1.0) is Offer.ACCEPTED
        assert inbox.take_all() == [b"x" * 10]
        assert inbox.pending_bytes == 0


@pytest.mark.parametrize(
    ("waiting", "frame", "room"), [([], 200, True), ([10], 90, True), ([10], 91, False), ([1] * 3, 1, False)]
)
def test_whether_there_is_room_can_be_asked_before(waiting: list[int], frame: int, room: bool) -> None:
    owner = Owner()
    inbox = owner.inbox()
    for size in waiting:
        inbox.offer(b"x" * size, 1.0)
    assert inbox.has_room(b"x" * frame) is room
    assert "overflow" not in owner.told


def test_a_closed_inbox_takes_nothing_and_is_not_full() -> None:
    owner = Owner()
    inbox = owner.inbox()
    inbox.offer(b"a", 1.0)
    assert inbox.close() == [b"a"]
    assert inbox.offer(b"b", 1.0) is Offer.CLOSED
    assert inbox.offer(b"", 1.0) is Offer.CLOSED
    assert owner.told == ["wake"]
    assert inbox.close() == []


def test_an_owner_that_closes_its_inbox_when_it_overflows_is_still_told_full() -> None:
    closing: list[Callable[[], object]] = []
    inbox = Inbox(1, 100, lambda: None, lambda: [close() for close in closing])
    closing.append(inbox.close)
    inbox.offer(b"a", 1.0)
    assert inbox.offer(b"b", 1.0) is Offer.FULL
    assert inbox.offer(b"c", 1.0) is Offer.CLOSED


def test_the_oldest_frames_time_is_kept() -> None:
    inbox = Owner().inbox()
    inbox.offer(b"a", 1.0)
    inbox.offer(b"b", 2.0)
    assert inbox.waiting_since == 1.0
    inbox.take_all()
    inbox.offer(b"c", 3.0)
    assert inbox.waiting_since == 3.0


@pytest.mark.parametrize("frames", [0, 1, 2])
def test_a_length_is_what_waits_and_an_empty_inbox_is_false(frames: int) -> None:
    inbox = Owner().inbox()
    for _ in range(frames):
        inbox.offer(b"x", 1.0)
    assert len(inbox) == frames
    assert bool(inbox) is (frames > 0)
