"""The supervisor: who is shown what, what is mirrored, and how the store's answers come in."""

from collections.abc import Iterable
from typing import Any

import pytest

from actors.ids import DesktopId, DeviceId, UserId
from actors.mail import Sender
from actors.messages import CameOnline, KnownDesktop, WentOffline
from actors.offsets import Offset
from actors.policy import Policy
from actors.routes import Route
from tests.support.actors import UPTIME_S, WALL_S, PlacingCodec
from tests.support.peers import Peer, World

NOW_MS = WALL_S * 1000


def past(desktop: str, last_seen: int = 1) -> KnownDesktop:
    return KnownDesktop(DesktopId(desktop), last_seen, "Old", "mac", "timeout")


def shown(peer: Peer) -> list[tuple[str, str]]:
    """Which desktops the phone was shown since the last look, and how."""
    return [
        (message["payload"]["desktop_id"], message["type"].removeprefix("Desktop"))
        for message in peer.heard()
        if message["type"].startswith("Desktop")
    ]


def payload_of(peer: Peer) -> dict[str, Any]:
    [message] = peer.heard()
    found: dict[str, Any] = message["payload"]
    return found


# -- what phones are shown -----------------------------------------------------------------------------------------


def test_a_phone_is_shown_every_known_desktop_of_its_user_when_it_connects() -> None:
    world = World()
    world.phone()
    world.mirror.answer([past("d3")])
    world.desktop("d1")
    world.desktop("d2").hang_up()
    world.desktop("d9", "u2")
    phone = world.phone_peer()
    phone.open()
    assert sorted(shown(phone)) == [("d1", "Online"), ("d2", "Offline"), ("d3", "Offline")]


def test_a_snapshot_comes_behind_the_welcome() -> None:
    world = World()
    world.desktop()
    phone = world.phone_peer()
    phone.open()
    assert phone.heard_types() == ["Welcome", "DesktopOnline"]


def test_desktop_online_tells_name_platform_and_times() -> None:
    world = World()
    phone = world.phone()
    world.advance(2)
    world.desktop()
    came = {"desktop_id": "d1", "name": "Desk", "platform": "linux", "since": NOW_MS + 2000}
    assert payload_of(phone) == {**came, "last_seen": NOW_MS + 2000}
    world.advance(3)
    later = world.phone_peer()
    later.open()
    assert later.heard()[1]["payload"] == {**came, "last_seen": NOW_MS + 5000}


def test_desktop_offline_tells_when_it_was_last_seen_not_when_the_grace_was_over() -> None:
    world = World()
    phone, desktop = world.phone(), world.desktop()
    phone.heard()
    world.advance(10)
    desktop.lose_link()
    world.advance(5)
    gone = {"desktop_id": "d1", "name": "Desk", "platform": "linux", "last_seen": NOW_MS + 10_000, "reason": "lost"}
    assert payload_of(phone) == gone


def test_a_graced_desktop_is_shown_online_to_a_phone_that_connects() -> None:
    world = World()
    desktop = world.desktop()
    world.phone()
    world.advance(10)
    desktop.lose_link()
    world.advance(2)
    phone = world.phone_peer()
    phone.open()
    online = phone.heard()[1]
    assert (online["type"], online["payload"]["last_seen"]) == ("DesktopOnline", NOW_MS + 10_000)
    world.advance(3)
    assert shown(phone) == [("d1", "Offline")]


def test_a_new_name_is_shown_and_a_mere_reconnection_is_not() -> None:
    world = World()
    phone = world.phone()
    world.desktop()
    phone.heard()
    world.desktop()
    assert phone.heard() == []
    world.desktop(name="Other")
    assert payload_of(phone)["name"] == "Other"


def test_a_desktop_that_comes_and_goes_is_shown_each_time_once() -> None:
    world = World()
    phone = world.phone()
    for _ in range(3):
        world.desktop().hang_up()
        world.advance(60)
        phone.say("heartbeat")
    assert shown(phone) == [("d1", "Online"), ("d1", "Offline")] * 3


def test_a_phone_of_the_old_owner_is_told_only_that_it_went() -> None:
    world = World()
    phone = world.phone("u1")
    world.desktop("d1", "u1").lose_link()
    phone.heard()
    world.desktop("d1", "u2")
    assert payload_of(phone)["reason"] == "superseded"
    world.advance(60)
    assert phone.heard() == []


# -- the store -----------------------------------------------------------------------------------------------------


def test_the_past_is_asked_for_once_and_shown_to_every_phone() -> None:
    world = World()
    phones = [world.phone(), world.phone()]
    assert len(world.mirror.asked) == 1
    world.mirror.answer([past("d1")])
    assert [shown(phone) for phone in phones] == [[("d1", "Offline")]] * 2
    world.phone()
    assert world.mirror.asked == []


def test_a_desktop_that_came_while_the_store_was_asked_stays_online() -> None:
    world = World()
    phone = world.phone()
    world.desktop("d1")
    world.mirror.answer([past("d1"), past("d2")])
    assert shown(phone) == [("d1", "Online"), ("d2", "Offline")]


def test_who_could_not_be_shown_the_past_is_shown_it_when_the_store_is_back() -> None:
    world = World()
    phone, other = world.phone("u1"), world.phone("u2")
    world.mirror.answer(None)
    world.mirror.answer([])
    world.supervisor.load_what_is_missing()
    [(user_id, _)] = world.mirror.asked
    assert user_id == "u1"
    world.mirror.answer([past("d1")])
    assert (shown(phone), shown(other)) == ([("d1", "Offline")], [])
    world.supervisor.load_what_is_missing()
    assert world.mirror.asked == []


def test_nothing_is_asked_again_for_who_has_left_meanwhile() -> None:
    world = World()
    world.desktop()
    phone = world.phone()
    phone.hang_up()
    world.mirror.answer(None)
    world.supervisor.load_what_is_missing()
    assert world.mirror.asked == []


def test_an_answer_for_a_user_who_is_gone_is_dropped() -> None:
    world = World()
    world.phone().hang_up()
    world.mirror.answer([past("d1")])
    phone = world.phone_peer()
    phone.open()
    assert phone.heard_types() == ["Welcome"]


# -- the mirror ----------------------------------------------------------------------------------------------------


def test_coming_and_going_is_mirrored_with_the_connections_epoch() -> None:
    world = World()
    desktop = world.desktop()
    world.advance(1)
    desktop.hang_up()
    came, went = world.mirror.changes
    assert isinstance(came, CameOnline)
    assert isinstance(went, WentOffline)
    assert came.announce
    record = came.record
    assert (record.connection_id, record.epoch, record.node_id, record.since) == ("c1", 1, "node/1", NOW_MS)
    assert (went.record, went.reason, went.at, went.forget) == (record, "closed", NOW_MS + 1000, False)


def test_a_reconnection_is_mirrored_but_not_announced() -> None:
    world = World()
    world.desktop()
    world.desktop()
    _, again = world.mirror.changes
    assert isinstance(again, CameOnline)
    assert (again.announce, again.record.epoch, again.record.since) == (False, 2, NOW_MS)


def test_a_new_owner_has_the_old_ones_record_forgotten_before_the_new_one_is_written() -> None:
    world = World()
    world.desktop("d1", "u1")
    world.desktop("d1", "u2")
    _, went, came = world.mirror.changes
    assert isinstance(went, WentOffline)
    assert isinstance(came, CameOnline)
    assert (went.forget, went.reason, went.record.user_id, went.record.epoch) == (True, "superseded", "u1", 1)
    assert (came.record.user_id, came.announce) == ("u2", True)


def test_a_refused_desktop_is_not_mirrored() -> None:
    world = World(Policy(max_desktops=1))
    world.desktop("d1")
    world.desktop("d2").lose_link()
    world.advance(60)
    assert len(world.mirror.changes) == 1


def test_what_is_to_be_seen_online_is_renewed_with_the_time_of_now() -> None:
    world = World()
    world.desktop("d1")
    world.desktop("d2").lose_link()
    world.desktop("d3").hang_up()
    world.advance(3)
    records = list(world.supervisor.present_records())
    assert [(record.desktop_id, record.last_seen) for record in records] == [
        ("d1", NOW_MS + 3000),
        ("d2", NOW_MS + 3000),
    ]
    world.advance(2)
    assert [record.desktop_id for record in world.supervisor.present_records()] == ["d1"]


def test_records_may_change_while_they_are_renewed() -> None:
    world = World()
    first, second = world.desktop("d1"), world.desktop("d2")
    renewed = []
    for record in world.supervisor.present_records():
        renewed.append(record.desktop_id)
        first.hang_up()
        second.hang_up()
    assert renewed == ["d1"]


# -- the node's view -----------------------------------------------------------------------------------------------


def test_open_sockets_are_listed_by_kind_in_the_order_of_coming() -> None:
    world = World()
    phone, desktop, other = world.phone(), world.desktop(), world.phone()
    assert world.supervisor.open_routes() == [phone.connection, desktop.connection, other.connection]
    assert world.supervisor.open_routes("mobile") == [phone.connection, other.connection]
    assert world.supervisor.open_routes("desktop") == [desktop.connection]
    phone.hang_up()
    assert world.supervisor.open_count == 2


def test_turning_shows_that_the_loop_turns() -> None:
    world = World()
    world.advance(3)
    assert world.supervisor.turned_at == UPTIME_S
    world.supervisor.turn()
    assert world.supervisor.turned_at == UPTIME_S + 3


@pytest.mark.parametrize("phones", [1, 2, 5])
def test_phones_that_overflow_while_they_are_served_take_nobody_along(phones: int) -> None:
    world = World(Policy(inbox_frames=1))
    slow = [world.phone() for _ in range(phones)]
    desktop = world.desktop()
    for phone in slow:
        phone.socket.writable = False
    desktop.say("agent:stream")
    desktop.say("agent:stream")
    assert desktop.closed() is None
    assert all(phone.closed() for phone in slow)
    desktop.say("agent:stream")
    assert world.tallies.unheard["agent:stream"] == 1


# -- who is where --------------------------------------------------------------------------------------------------


def ids(routes: Iterable[Route | None]) -> list[str | None]:
    return [None if route is None else route.connection_id for route in routes]


def ids_of(*peers: Peer) -> list[str]:
    return [peer.connection.connection_id for peer in peers]


def sender(device: str | None, user: str = "u1") -> Sender:
    return Sender(UserId(user), None if device is None else DeviceId(device))


def test_a_device_is_found_by_its_newest_connection() -> None:
    world = World()
    world.phone(device="x")
    newest = world.phone(device="x")
    world.phone(device="y")
    world.phone("u2", device="x")
    assert ids(world.supervisor.phones_of(sender("x"))) == ids_of(newest)


def test_without_a_device_all_phones_without_one_are_meant_and_no_other() -> None:
    world = World()
    plain = [world.phone(), world.phone()]
    world.phone(device="x")
    world.phone("u2")
    assert ids(world.supervisor.phones_of(sender(None))) == ids_of(*plain)


@pytest.mark.parametrize("device", ["x", None])
def test_a_phone_that_has_left_is_not_found(device: str | None) -> None:
    world = World()
    world.phone(device="other")
    world.phone(device=device).hang_up()
    assert ids(world.supervisor.phones_of(sender(device))) == []
    assert ids(world.supervisor.phones_of(sender(device, "nobody"))) == []


def test_connected_desktops_are_those_that_have_a_connection() -> None:
    world = World()
    world.phone()
    here = [world.desktop("d1"), world.desktop("d2", "u2")]
    world.desktop("graced").lose_link()
    world.desktop("gone").hang_up()
    assert ids(world.supervisor.connected_desktops()) == ids_of(*here)
    newest = world.desktop("d1")
    assert ids(world.supervisor.connected_desktops()) == ids_of(newest, here[1])


def test_a_desktop_is_found_by_its_own_user_only_and_also_while_it_is_away() -> None:
    world = World()
    world.phone("u1")
    world.phone("u2")
    desktop = world.desktop("d1", "u1")
    u1, u2, d1 = UserId("u1"), UserId("u2"), DesktopId("d1")
    found = world.supervisor.desktop_of(u1, d1)
    assert found is not None
    assert ids([found.connection]) == ids_of(desktop)
    assert world.supervisor.desktop_of(u2, d1) is None
    desktop.hang_up()
    assert world.supervisor.desktop_of(u1, d1) is found
    assert ids([found.connection]) == [None]
    world.desktop("d1", "u2")
    assert world.supervisor.desktop_of(u1, d1) is None


def test_whether_a_desktop_is_nobodys_is_known_once_the_store_has_told() -> None:
    world = World()
    u1 = UserId("u1")
    assert not world.supervisor.knows_desktops_of(u1)
    phone = world.phone()
    assert not world.supervisor.knows_desktops_of(u1)
    world.mirror.answer(None)
    assert not world.supervisor.knows_desktops_of(u1)
    world.supervisor.load_what_is_missing()
    world.mirror.answer([])
    assert world.supervisor.knows_desktops_of(u1)
    phone.hang_up()
    assert not world.supervisor.knows_desktops_of(u1)


# -- where desktops stand ------------------------------------------------------------------------------------------


def places(world: World, user: str = "u1") -> dict[str, str | None]:
    """Where a phone that connects is told that each desktop stands."""
    phone = world.phone_peer(user)
    phone.open()
    found = {m["payload"]["desktop_id"]: m["offset"] for m in phone.heard() if m["type"].startswith("Desktop")}
    phone.hang_up()
    return found


def test_a_phone_is_told_where_each_desktop_stands() -> None:
    world = World(codec=PlacingCodec())
    world.phone()
    talks, leaves, _silent = world.desktop("d1"), world.desktop("d2"), world.desktop("d3")
    for desktop in (talks, talks, leaves):
        desktop.say("agent:stream")
    leaves.hang_up()
    assert places(world) == {"d1": "1-2", "d2": "2-1", "d3": "3-0"}


def test_a_newer_connection_stands_at_its_own_beginning() -> None:
    world = World(codec=PlacingCodec())
    world.desktop().say("agent:stream")
    world.desktop()
    assert places(world) == {"d1": "2-0"}


def test_of_a_desktop_of_the_past_nobody_knows_where_it_stands() -> None:
    world = World(codec=PlacingCodec())
    phone = world.phone()
    world.mirror.answer([past("d1")])
    assert [message["offset"] for message in phone.heard()] == [None]
    assert places(world) == {"d1": None}


def test_coming_and_going_is_told_with_the_place() -> None:
    world = World(codec=PlacingCodec())
    phone, desktop = world.phone(), world.desktop()
    desktop.say("agent:stream")
    desktop.hang_up()
    told = [(message["type"], message["offset"]) for message in phone.heard()]
    assert told == [("DesktopOnline", "1-0"), ("agent:stream", "1-1"), ("DesktopOffline", "1-1")]


def test_the_old_owner_is_told_where_the_desktop_stood_and_the_new_one_not() -> None:
    world = World(codec=PlacingCodec())
    old, new = world.phone("u1"), world.phone("u2")
    world.desktop("d1", "u1").say("agent:stream")
    old.heard()
    world.desktop("d1", "u2")
    assert [message["offset"] for message in old.heard()] == ["1-1"]
    assert [message["offset"] for message in new.heard()] == ["2-0"]


def test_where_a_desktop_stands_can_be_asked_by_its_owner_only() -> None:
    world = World()
    world.desktop("d1", "u1")
    supervisor = world.supervisor
    assert supervisor.silent_behind(UserId("u1"), DesktopId("d1"), Offset(1, 0))
    assert not supervisor.silent_behind(UserId("u2"), DesktopId("d1"), Offset(1, 0))
