import pytest

from actors.messages import CameOnline, PresenceChange, WentOffline
from hub.presence import pending
from hub.presence.pending import PendingChanges, key_of
from tests.support.presence import NOW, make_record


def online(desktop: str = "d1", epoch: int = 1, *, user: str = "u1", announce: bool = True) -> CameOnline:
    return CameOnline(make_record(desktop, user, epoch), announce=announce)


def offline(desktop: str = "d1", epoch: int = 1, reason: str = "closed") -> WentOffline:
    return WentOffline(make_record(desktop, epoch=epoch), reason, NOW)


def queue_of(*changes: PresenceChange) -> PendingChanges:
    queue = PendingChanges()
    for now, change in enumerate(changes):
        queue.add(change, float(now))
    return queue


def waiting(queue: PendingChanges) -> list[PresenceChange]:
    return queue.take(1000)


def test_nothing_waits_at_first() -> None:
    queue = PendingChanges()
    assert not queue
    assert queue.waiting_since is None
    assert not queue.take(10)


def test_every_change_that_the_stream_may_be_told_of_stays_in_order() -> None:
    changes: list[PresenceChange] = [
        online(epoch=1),
        offline(epoch=1),
        online("d2"),
        online(epoch=2),
        offline(epoch=2),
        offline(epoch=2),
    ]
    assert waiting(queue_of(*changes)) == changes


@pytest.mark.parametrize("later", [online(epoch=2), online(epoch=2, announce=False), offline(epoch=2)])
def test_one_that_is_not_announced_gives_way_to_the_next(later: PresenceChange) -> None:
    assert waiting(queue_of(online(announce=False), later)) == [later]


def test_an_announcement_stays_before_a_renewal() -> None:
    changes = [online(announce=True), online(announce=False)]
    assert waiting(queue_of(*changes)) == changes


def test_the_late_end_of_an_older_connection_changes_nothing() -> None:
    assert waiting(queue_of(online(epoch=2), offline(epoch=1))) == [online(epoch=2)]


def test_it_says_whether_a_desktop_waits() -> None:
    queue = queue_of(online("d1"), offline("d1"))
    key = key_of(make_record("d1"))
    assert key in queue
    assert key_of(make_record("d1", "u2")) not in queue
    waiting(queue)
    assert key not in queue


def test_desktops_are_apart_and_so_are_owners() -> None:
    changes = [online("d1"), online("d2"), online("d1", user="u2")]
    assert waiting(queue_of(*changes)) == changes


def test_waiting_since_the_oldest() -> None:
    queue = queue_of(online("d1"), online("d2"), offline("d1"))
    assert queue.waiting_since == 0.0
    queue.take(1)
    assert queue.waiting_since == 0.0
    queue.settle()
    assert queue.waiting_since == 1.0
    queue.take(10)
    queue.settle()
    assert queue.waiting_since is None


def test_what_could_not_be_written_waits_in_its_old_place() -> None:
    queue = queue_of(online("d1", 1), online("d2"))
    queue.take(10)
    queue.add(offline("d1", 1), 5.0)
    queue.add(online("d3"), 6.0)
    queue.restore()
    assert queue.waiting_since == 0.0
    assert waiting(queue) == [online("d1", 1), online("d2"), offline("d1", 1), online("d3")]


def test_what_was_tried_does_not_give_way() -> None:
    queue = queue_of(online(announce=False))
    queue.take(10)
    queue.restore()
    queue.add(offline(), 5.0)
    assert waiting(queue) == [online(announce=False), offline()]


def test_restoring_nothing_changes_nothing() -> None:
    queue = queue_of(online())
    queue.restore()
    assert waiting(queue) == [online()]


def test_at_most_so_many_are_taken_oldest_first() -> None:
    queue = queue_of(*(online(f"d{number}") for number in range(5)))
    assert queue.take(2) == [online("d0"), online("d1")]


def test_both_are_bounded_and_the_loss_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "MOST_DESKTOPS", 3)
    monkeypatch.setattr(pending, "MOST_EARLIER", 2)
    queue = queue_of(*(online("d0", epoch) for epoch in range(4)), *(online(f"d{number}") for number in range(1, 5)))
    assert (queue.dropped_changes, queue.dropped_entries) == (2, 3)
    assert queue.take(10) == [online("d2"), online("d3"), online("d4")]
    queue.add(online("d5"), 9.0)
    queue.restore()
    assert queue.dropped_changes == 3
    assert queue.take(10) == [online("d3"), online("d4"), online("d5")]


def test_earlier_changes_go_before_the_last_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "MOST_EARLIER", 1)
    queue = queue_of(online("d1", 1), online("d2"), online("d1", 2), online("d1", 3))
    assert queue.take(10) == [online("d2"), online("d1", 2), online("d1", 3)]
