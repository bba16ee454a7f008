"""Who is connected, and whose is what; an older epoch changes nothing."""

import pytest

from actors.ids import DesktopId, DeviceId, Epoch, NodeId, UserId
from actors.messages import KnownDesktop
from actors.nodes import HeldDesktop
from actors.registry import DesktopJoined, Registry, Standing
from actors.ring import Ring
from tests.support.actors import desktop_identity
from tests.support.peers import mobile_identity

U1, U2 = UserId("u1"), UserId("u2")
D1 = DesktopId("d1")
Hub = Registry[str, str]


@pytest.fixture
def hub() -> Hub:
    return Registry(max_desktops=2, max_mobiles=2, max_known=3)


def join(hub: Hub, connection: str, epoch: int, desktop: str = "d1", user: str = "u1", now: int = 0) -> bool:
    return hub.admit_desktop(desktop_identity(desktop, user), connection, Epoch(epoch), now) is not None


def joined(hub: Hub, connection: str, epoch: int, desktop: str = "d1", user: str = "u1") -> DesktopJoined[str, str]:
    found = hub.admit_desktop(desktop_identity(desktop, user), connection, Epoch(epoch), 0)
    assert found is not None
    return found


def leave(hub: Hub, epoch: int, desktop: str = "d1", now: int = 0, reason: str = "lost") -> None:
    """Part, and let the grace run out."""
    assert hub.part_desktop(DesktopId(desktop), Epoch(epoch), now) is not None
    assert hub.settle_desktop(DesktopId(desktop), Epoch(epoch), reason) is not None


def past(desktop: str, last_seen: int = 0) -> KnownDesktop:
    return KnownDesktop(DesktopId(desktop), last_seen, "Old", "mac", "closed")


def connection_of(hub: Hub, user: UserId, desktop: str = "d1") -> str | None:
    found = hub.find(user, DesktopId(desktop))
    return None if found is None else found.connection


# -- desktops: joining ---------------------------------------------------------------------------------------------


def test_a_desktop_that_comes_is_its_owners(hub: Hub) -> None:
    change = joined(hub, "a", 1)
    assert (change.superseded, change.previous, change.appeared, change.renamed) == (None, None, True, True)
    assert connection_of(hub, U1) == "a"
    assert [desktop.desktop_id for desktop in hub.present()] == [D1]


def test_another_users_desktop_is_as_good_as_unknown(hub: Hub) -> None:
    join(hub, "a", 1)
    assert hub.find(U2, D1) is None
    hub.admit_mobile(mobile_identity("u2"), "p")
    assert hub.find(U2, D1) is None


def test_the_newer_connection_of_a_desktop_takes_the_olders_place(hub: Hub) -> None:
    join(hub, "a", 1)
    change = joined(hub, "b", 2)
    assert (change.superseded, change.appeared, change.renamed) == ("a", False, False)
    assert connection_of(hub, U1) == "b"


@pytest.mark.parametrize("epoch", [1, 4, 5])
def test_a_connection_of_an_older_or_the_same_epoch_comes_too_late(hub: Hub, epoch: int) -> None:
    join(hub, "new", 5)
    assert not join(hub, "old", epoch)
    assert connection_of(hub, U1) == "new"


def test_a_desktop_is_online_since_it_appeared_not_since_it_was_superseded(hub: Hub) -> None:
    join(hub, "a", 1, now=10)
    join(hub, "b", 2, now=20)
    found = hub.find(U1, D1)
    assert found is not None
    assert (found.since, found.last_seen) == (10, 20)


def test_a_new_name_is_noticed_and_kept(hub: Hub) -> None:
    join(hub, "a", 1)
    change = hub.admit_desktop(desktop_identity(name="Other"), "b", Epoch(2), 0)
    assert change is not None
    assert (change.renamed, change.appeared, change.desktop.name) == (True, False, "Other")


# -- desktops: parting ---------------------------------------------------------------------------------------------


def test_a_parted_desktop_is_graced_and_still_to_be_seen(hub: Hub) -> None:
    join(hub, "a", 1)
    found = hub.part_desktop(D1, Epoch(1), 7)
    assert found is not None
    assert (found.standing, found.connection, found.last_seen) == (Standing.GRACED, None, 7)
    assert list(hub.present()) == [found]


def test_a_desktop_is_away_when_its_grace_is_over(hub: Hub) -> None:
    join(hub, "a", 1)
    hub.admit_mobile(mobile_identity(), "p")
    leave(hub, 1, reason="timeout")
    found = hub.find(U1, D1)
    assert found is not None
    assert (found.standing, found.reason) == (Standing.AWAY, "timeout")
    assert list(hub.present()) == []


def test_a_desktop_that_is_back_within_the_grace_was_never_away(hub: Hub) -> None:
    join(hub, "a", 1)
    hub.part_desktop(D1, Epoch(1), 0)
    assert not joined(hub, "b", 2).appeared
    assert hub.settle_desktop(D1, Epoch(1), "lost") is None
    assert connection_of(hub, U1) == "b"


def test_a_late_goodbye_of_an_older_epoch_changes_nothing(hub: Hub) -> None:
    join(hub, "a", 1)
    join(hub, "b", 2)
    assert hub.part_desktop(D1, Epoch(1), 9) is None
    assert hub.settle_desktop(D1, Epoch(1), "lost") is None
    found = hub.find(U1, D1)
    assert found is not None
    assert (found.connection, found.standing, found.last_seen) == ("b", Standing.CONNECTED, 0)


def test_the_grace_of_an_older_epoch_does_not_end_a_newer_ones(hub: Hub) -> None:
    join(hub, "a", 1)
    hub.part_desktop(D1, Epoch(1), 0)
    join(hub, "b", 2)
    hub.part_desktop(D1, Epoch(2), 0)
    assert hub.settle_desktop(D1, Epoch(1), "lost") is None
    assert [desktop.standing for desktop in hub.present()] == [Standing.GRACED]


def test_parting_and_settling_happen_once(hub: Hub) -> None:
    join(hub, "a", 1)
    hub.admit_mobile(mobile_identity(), "p")
    leave(hub, 1)
    assert hub.part_desktop(D1, Epoch(1), 9) is None
    assert hub.settle_desktop(D1, Epoch(1), "closed") is None


def test_nothing_parts_or_settles_a_desktop_that_nobody_knows(hub: Hub) -> None:
    assert hub.part_desktop(D1, Epoch(1), 0) is None
    assert hub.settle_desktop(D1, Epoch(1), "lost") is None


def test_a_connected_desktop_is_not_settled_before_it_parts(hub: Hub) -> None:
    join(hub, "a", 1)
    assert hub.settle_desktop(D1, Epoch(1), "lost") is None
    assert connection_of(hub, U1) == "a"


# -- desktops: owners ----------------------------------------------------------------------------------------------


def test_a_desktop_belongs_to_the_user_whom_its_newest_token_names(hub: Hub) -> None:
    join(hub, "a", 1)
    change = joined(hub, "b", 2, user="u2")
    assert change.superseded == "a"
    assert change.previous is not None
    assert (change.previous.owner, change.previous.connection) == (U1, None)
    assert change.appeared
    assert hub.find(U1, D1) is None
    assert connection_of(hub, U2) == "b"


def test_the_old_owners_late_goodbye_does_not_touch_the_new_owners_desktop(hub: Hub) -> None:
    join(hub, "a", 1)
    join(hub, "b", 2, user="u2")
    assert hub.part_desktop(D1, Epoch(1), 0) is None
    assert hub.settle_desktop(D1, Epoch(1), "lost") is None
    assert connection_of(hub, U2) == "b"


def test_an_old_owner_of_whom_nobody_is_connected_is_forgotten(hub: Hub) -> None:
    join(hub, "a", 1)
    join(hub, "b", 2, user="u2")
    assert set(hub.users) == {U2}


def test_a_new_owner_who_has_too_many_takes_nothing_from_the_old_one(hub: Hub) -> None:
    join(hub, "a", 1)
    join(hub, "x", 2, "d2", "u2")
    join(hub, "y", 3, "d3", "u2")
    assert not join(hub, "b", 4, "d1", "u2")
    assert connection_of(hub, U1) == "a"


# -- desktops: limits and memory -----------------------------------------------------------------------------------


def test_a_user_has_no_more_desktops_connected_than_allowed(hub: Hub) -> None:
    assert join(hub, "a", 1, "d1")
    assert join(hub, "b", 2, "d2")
    assert not join(hub, "c", 3, "d3")
    assert join(hub, "c", 3, "d3", "u2")


def test_a_connected_desktop_may_be_superseded_at_the_limit(hub: Hub) -> None:
    join(hub, "a", 1, "d1")
    join(hub, "b", 2, "d2")
    assert join(hub, "c", 3, "d1")


def test_a_graced_desktop_holds_no_place_and_comes_back_only_if_there_is_one(hub: Hub) -> None:
    join(hub, "a", 1, "d1")
    join(hub, "b", 2, "d2")
    hub.part_desktop(D1, Epoch(1), 0)
    assert join(hub, "c", 3, "d3")
    assert not join(hub, "d", 4, "d1")


def test_desktops_of_the_past_are_taken_in_as_away(hub: Hub) -> None:
    hub.admit_mobile(mobile_identity(), "p")
    [added] = hub.remember(U1, [past("d1", 5)])
    assert (added.standing, added.last_seen, added.reason, added.name) == (Standing.AWAY, 5, "closed", "Old")
    assert hub.users[U1].known_loaded
    assert list(hub.present()) == []


def test_a_desktop_that_is_here_is_not_overwritten_by_its_past(hub: Hub) -> None:
    join(hub, "a", 1)
    assert hub.remember(U1, [past("d1")]) == []
    assert connection_of(hub, U1) == "a"


def test_a_desktop_that_is_another_users_now_is_not_taken_in_again(hub: Hub) -> None:
    join(hub, "a", 1, user="u2")
    hub.admit_mobile(mobile_identity("u1"), "p")
    assert hub.remember(U1, [past("d1")]) == []
    assert connection_of(hub, U2) == "a"


def test_the_past_of_a_user_who_is_gone_is_dropped(hub: Hub) -> None:
    assert hub.remember(U1, [past("d1")]) == []
    assert not hub.users


def test_no_more_desktops_of_the_past_are_kept_than_allowed(hub: Hub) -> None:
    hub.admit_mobile(mobile_identity(), "p")
    added = hub.remember(U1, [past(f"d{n}") for n in range(9)])
    assert [desktop.desktop_id for desktop in added] == ["d0", "d1", "d2"]


def test_who_was_away_for_longest_is_forgotten_when_there_are_too_many(hub: Hub) -> None:
    hub.admit_mobile(mobile_identity(), "p")
    hub.remember(U1, [past("d7", 7), past("d5", 5), past("d6", 6)])
    join(hub, "a", 1, "d1")
    leave(hub, 1, now=9)
    assert set(hub.users[U1].desktops) == {"d7", "d6", "d1"}
    assert hub.find(U1, DesktopId("d5")) is None
    assert not joined(hub, "b", 2, "d5", "u2").previous, "it is in no other index either"


# -- phones --------------------------------------------------------------------------------------------------------


def test_phones_without_a_device_id_stand_beside_each_other(hub: Hub) -> None:
    for phone in ("p", "q"):
        change = hub.admit_mobile(mobile_identity(), phone)
        assert change is not None
        assert change.superseded is None
    assert list(hub.users[U1].mobiles) == ["p", "q"]


def test_the_newer_connection_of_a_device_takes_the_olders_place(hub: Hub) -> None:
    hub.admit_mobile(mobile_identity(device="x"), "p")
    change = hub.admit_mobile(mobile_identity(device="x"), "q")
    assert change is not None
    assert change.superseded == "p"
    assert hub.users[U1].mobiles == {"q": "x"}
    assert hub.users[U1].devices == {DeviceId("x"): "q"}


def test_a_device_is_one_users_device(hub: Hub) -> None:
    hub.admit_mobile(mobile_identity("u1", device="x"), "p")
    change = hub.admit_mobile(mobile_identity("u2", device="x"), "q")
    assert change is not None
    assert change.superseded is None


def test_a_superseded_phones_goodbye_does_not_take_the_newer_one_along(hub: Hub) -> None:
    hub.admit_mobile(mobile_identity(device="x"), "p")
    hub.admit_mobile(mobile_identity(device="x"), "q")
    assert not hub.part_mobile(U1, "p")
    assert hub.users[U1].devices == {DeviceId("x"): "q"}


def test_a_user_has_no_more_phones_than_allowed(hub: Hub) -> None:
    hub.admit_mobile(mobile_identity(), "p")
    hub.admit_mobile(mobile_identity(device="x"), "q")
    assert hub.admit_mobile(mobile_identity(), "r") is None
    assert hub.admit_mobile(mobile_identity(device="y"), "r") is None
    assert hub.admit_mobile(mobile_identity("u2"), "r") is not None


def test_a_device_may_come_again_at_the_limit(hub: Hub) -> None:
    hub.admit_mobile(mobile_identity(), "p")
    hub.admit_mobile(mobile_identity(device="x"), "q")
    assert hub.admit_mobile(mobile_identity(device="x"), "r") is not None


def test_a_phone_parts_once(hub: Hub) -> None:
    hub.admit_mobile(mobile_identity(device="x"), "p")
    assert hub.part_mobile(U1, "p")
    assert not hub.part_mobile(U1, "p")
    assert not hub.part_mobile(U2, "p")


def test_a_device_whose_phone_has_left_supersedes_nobody_when_it_comes_again(hub: Hub) -> None:
    hub.admit_mobile(mobile_identity(), "p")
    hub.admit_mobile(mobile_identity(device="x"), "q")
    hub.part_mobile(U1, "q")
    change = hub.admit_mobile(mobile_identity(device="x"), "r")
    assert change is not None
    assert change.superseded is None


def test_a_user_of_whom_nobody_is_connected_is_forgotten_with_all_desktops(hub: Hub) -> None:
    hub.admit_mobile(mobile_identity(), "p")
    hub.remember(U1, [past("d1")])
    join(hub, "a", 1, "d2")
    leave(hub, 1, "d2")
    assert set(hub.users) == {U1}
    hub.part_mobile(U1, "p")
    assert not hub.users
    assert list(hub.present()) == []
    hub.admit_mobile(mobile_identity("u2"), "q")
    assert [desktop.desktop_id for desktop in hub.remember(U2, [past("d1"), past("d2")])] == ["d1", "d2"]


def test_a_user_is_remembered_while_a_desktop_is_graced(hub: Hub) -> None:
    join(hub, "a", 1)
    hub.part_desktop(D1, Epoch(1), 0)
    hub.admit_mobile(mobile_identity(), "p")
    hub.part_mobile(U1, "p")
    assert set(hub.users) == {U1}
    hub.settle_desktop(D1, Epoch(1), "lost")
    assert not hub.users


# -- who hears whom ------------------------------------------------------------------------------------------------


def listeners(hub: Hub, desktop: str = "d1", user: UserId = U1) -> tuple[str, ...]:
    found = hub.find(user, DesktopId(desktop))
    assert found is not None
    return tuple(phone for phone in found.listeners if isinstance(phone, str))


def test_a_desktop_is_heard_by_all_phones_of_its_owner_whoever_came_first(hub: Hub) -> None:
    hub.admit_mobile(mobile_identity(), "p")
    join(hub, "a", 1)
    hub.admit_mobile(mobile_identity(), "q")
    hub.admit_mobile(mobile_identity("u2"), "r")
    assert listeners(hub) == ("p", "q")
    hub.part_mobile(U1, "p")
    assert listeners(hub) == ("q",)


def test_a_phone_that_is_behind_hears_the_desktop_when_it_has_caught_up(hub: Hub) -> None:
    join(hub, "a", 1, "d1")
    join(hub, "b", 2, "d2")
    hub.admit_mobile(mobile_identity(), "p")
    hub.admit_mobile(mobile_identity(), "q", [D1])
    assert (listeners(hub, "d1"), listeners(hub, "d2")) == (("p",), ("p", "q"))
    assert hub.users[U1].listeners == ("p", "q"), "presence is for everybody"
    hub.catch_up(U1, "q", D1)
    assert listeners(hub, "d1") == ("p", "q")
    assert hub.users[U1].behind == {}


def test_one_phone_that_catches_up_does_not_take_another_one_along(hub: Hub) -> None:
    join(hub, "a", 1)
    hub.admit_mobile(mobile_identity(), "p", [D1])
    hub.admit_mobile(mobile_identity(), "q", [D1])
    hub.catch_up(U1, "p", D1)
    assert listeners(hub) == ("p",)


def test_a_phone_may_be_behind_a_desktop_that_nobody_knows_yet(hub: Hub) -> None:
    hub.admit_mobile(mobile_identity(), "p", [D1])
    join(hub, "a", 1)
    assert listeners(hub) == ()
    hub.catch_up(U1, "p", D1)
    assert listeners(hub) == ("p",)


def test_a_phone_catches_up_with_a_desktop_that_never_came(hub: Hub) -> None:
    hub.admit_mobile(mobile_identity(), "p", [D1])
    hub.catch_up(U1, "p", D1)
    assert hub.users[U1].behind == {}
    join(hub, "a", 1)
    assert listeners(hub) == ("p",)


def test_a_phone_stays_behind_while_its_desktop_comes_back_or_changes_hands(hub: Hub) -> None:
    join(hub, "a", 1)
    hub.admit_mobile(mobile_identity(), "p", [D1])
    join(hub, "b", 2)
    assert listeners(hub) == ()
    join(hub, "c", 3, user="u2")
    join(hub, "d", 4)
    assert listeners(hub) == ()
    hub.catch_up(U1, "p", D1)
    assert listeners(hub) == ("p",)


def test_a_phone_that_parts_or_is_superseded_is_behind_nothing_any_more(hub: Hub) -> None:
    join(hub, "a", 1)
    hub.admit_mobile(mobile_identity(device="x"), "p", [D1])
    hub.admit_mobile(mobile_identity(device="x"), "q", [D1])
    assert hub.users[U1].behind == {D1: {"q"}}
    hub.part_mobile(U1, "q")
    assert hub.users[U1].behind == {}
    assert listeners(hub) == ()


def test_nothing_happens_to_who_is_gone_when_it_would_have_caught_up(hub: Hub) -> None:
    hub.catch_up(U1, "p", D1)
    assert not hub.users
    join(hub, "a", 1)
    hub.catch_up(U1, "p", D1)
    assert listeners(hub) == ()


def test_what_a_desktop_said_outlives_its_connections_but_not_its_owner(hub: Hub) -> None:
    ring = Ring(10, 1000)
    join(hub, "a", 1)
    hub.admit_mobile(mobile_identity(), "p")
    joined(hub, "b", 2).desktop.ring = ring
    leave(hub, 2)
    assert joined(hub, "c", 3).desktop.ring is ring
    assert joined(hub, "d", 4, user="u2").desktop.ring is None
    assert joined(hub, "e", 5).desktop.ring is None


# -- desktops on other nodes ---------------------------------------------------------------------------------------


def held(epoch: int, desktop: str = "d1", name: str | None = "Desk") -> HeldDesktop:
    return HeldDesktop(DesktopId(desktop), Epoch(epoch), name, "linux", since=5, last_seen=9)


def elsewhere(hub: Hub, epoch: int, node: str = "n1", user: UserId = U1) -> DesktopJoined[str, str] | None:
    return hub.hold_elsewhere(user, NodeId(node), held(epoch))


def test_a_desktop_of_another_node_is_there_for_who_has_phones_here(hub: Hub) -> None:
    assert elsewhere(hub, 3) is None, "nobody of the user is here"
    hub.admit_mobile(mobile_identity(), "p")
    change = elsewhere(hub, 3)
    assert change is not None
    assert (change.appeared, change.superseded, change.desktop.holder, change.desktop.connected) == (
        True,
        None,
        "n1",
        True,
    )
    assert list(hub.present()) == [], "another node mirrors it"


def test_a_connection_here_gives_way_to_a_newer_one_elsewhere_and_to_no_older_one(hub: Hub) -> None:
    hub.admit_mobile(mobile_identity(), "p")
    join(hub, "a", 5)
    assert elsewhere(hub, 4) is None
    change = elsewhere(hub, 6)
    assert change is not None
    assert (change.superseded, change.appeared) == ("a", False)
    assert hub.part_desktop(D1, Epoch(5), 0) is None
    back = joined(hub, "b", 7)
    assert (back.desktop.holder, back.appeared, back.superseded) == (None, False, None)


def test_a_user_whose_last_desktop_is_elsewhere_now_is_forgotten(hub: Hub) -> None:
    join(hub, "a", 5)
    elsewhere(hub, 6)
    assert not hub.users


def test_desktops_on_all_nodes_count_and_one_that_moves_counts_once(hub: Hub) -> None:
    hub.admit_mobile(mobile_identity(), "p")
    elsewhere(hub, 3)
    join(hub, "b", 4, "d2")
    assert not join(hub, "c", 5, "d3")
    assert join(hub, "a", 6, "d1")


def test_a_desktop_that_left_another_node_is_away(hub: Hub) -> None:
    hub.admit_mobile(mobile_identity(), "p")
    change = elsewhere(hub, 3)
    assert change is not None
    hub.leave_elsewhere(change.desktop, 20, "node_lost")
    away = change.desktop
    assert (away.standing, away.holder, away.reason, away.last_seen) == (Standing.AWAY, None, "node_lost", 20)


def test_another_owner_elsewhere_takes_the_desktop_from_the_one_here(hub: Hub) -> None:
    hub.admit_mobile(mobile_identity("u2"), "p")
    join(hub, "a", 5)
    change = elsewhere(hub, 6, user=U2)
    assert change is not None
    assert change.previous is not None
    assert (change.previous.owner, change.superseded, change.desktop.owner) == (U1, "a", U2)
    assert hub.find(U1, D1) is None


def test_a_phone_that_fell_behind_hears_nothing_until_it_has_caught_up(hub: Hub) -> None:
    join(hub, "a", 1)
    hub.admit_mobile(mobile_identity(), "p")
    desktop = hub.find(U1, D1)
    assert desktop is not None
    assert hub.fall_behind(desktop, "p")
    assert listeners(hub) == ()
    assert not hub.fall_behind(desktop, "p"), "it is behind already"
    hub.catch_up(U1, "p", D1)
    assert listeners(hub) == ("p",)
    assert not hub.fall_behind(desktop, "nobody")
