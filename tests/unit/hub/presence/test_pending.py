import pytest

from actors.messages import CameOnline, PresenceChange, WentOffline
from hub.presence import pending
from hub.presence.pending import PendingChanges
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


def latest(queue: PendingChanges) -> list[PresenceChange]:
    return [change for _, change in queue.take(1000).changes.values()]


def test_nothing_waits_at_first() -> None:
    queue = PendingChanges()
    assert not queue
    assert queue.waiting_since is None
    assert not queue.take(10)


def test_the_latest_state_stays_and_every_entry() -> None:
    queue = queue_of(online(epoch=1), offline(epoch=1), online(epoch=2))
    batch = queue.take(10)
    assert [change for _, change in batch.changes.values()] == [online(epoch=2)]
    assert [entry.state for _, entry in batch.entries] == ["online", "offline", "online"]


def test_a_renewal_is_no_entry() -> None:
    assert queue_of(online(announce=False)).take(10).entries == []


def test_an_announcement_outlives_a_renewal_that_takes_its_place() -> None:
    assert latest(queue_of(online(announce=True), online(announce=False))) == [online(announce=True)]


def test_the_late_end_of_an_older_connection_changes_nothing() -> None:
    assert latest(queue_of(online(epoch=2), offline(epoch=1))) == [online(epoch=2)]


def test_desktops_are_apart_and_so_are_owners() -> None:
    changes = [online("d1"), online("d2"), online("d1", user="u2")]
    assert latest(queue_of(*changes)) == changes


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
    batch = queue.take(10)
    assert [change for _, change in batch.changes.values()] == [offline("d1", 1), online("d2"), online("d3")]
    assert [entry.desktop_id for _, entry in batch.entries] == ["d1", "d2", "d1", "d3"]


def test_restoring_nothing_changes_nothing() -> None:
    queue = queue_of(online())
    queue.restore()
    assert latest(queue) == [online()]


def test_at_most_so_many_are_taken_oldest_first() -> None:
    queue = queue_of(*(online(f"d{number}") for number in range(5)))
    assert [key[1] for key in queue.take(2).changes] == ["d0", "d1"]


def test_both_are_bounded_and_the_loss_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "MOST_CHANGES", 3)
    monkeypatch.setattr(pending, "MOST_ENTRIES", 2)
    queue = queue_of(*(online(f"d{number}") for number in range(5)))
    assert (queue.dropped_changes, queue.dropped_entries) == (2, 3)
    batch = queue.take(10)
    assert [key[1] for key in batch.changes] == ["d2", "d3", "d4"]
    assert [entry.desktop_id for _, entry in batch.entries] == ["d3", "d4"]
    queue.add(online("d5"), 9.0)
    queue.restore()
    assert queue.dropped_changes == 3
