"""Going through all shares."""

from actors.ids import UserId
from actors.nodes import Share
from hub.cluster.renewals import Renewals

USERS = [UserId(f"u{number}") for number in range(10)]


def test_all_are_taken_once_spread_over_the_rounds_time() -> None:
    renewals = Renewals((user_id, Share(1)) for user_id in USERS)
    parts = [renewals.take(part) for part in (0.0, 0.25, 0.3, 0.875, 1.0, 1.0)]
    assert [len(part) for part in parts] == [0, 3, 0, 6, 1, 0]
    assert sorted(user_id for part in parts for user_id, _ in part) == USERS


def test_who_left_is_not_taken() -> None:
    renewals = Renewals((user_id, Share(1)) for user_id in USERS)
    for user_id in (*USERS[:9], UserId("another")):
        renewals.leave(user_id)
    assert renewals.take(0.85) == []
    assert renewals.take(1.0) == [(USERS[9], Share(1))]


def test_without_shares_nothing_is_due() -> None:
    assert Renewals(()).take(1.0) == []
