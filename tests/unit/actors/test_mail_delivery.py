"""How a desktop gets its mail: in order, as fast as it reads, without loss when links, readers or the store fail."""

import logging

import pytest

from actors.closing import CloseReason
from actors.desktop import MOST_UNACKNOWLEDGED, DesktopConnection
from actors.ids import DesktopId, DeviceId, UserId
from actors.mail import Receipt, Sender, Status
from actors.messages import ErrorCode
from actors.policy import Policy
from tests.support.peers import Peer, World

KINDS = ["user:message", "session:create"]


def send(phone: Peer, *names: str, text: str = "", **members: object) -> None:
    for name in names:
        phone.say("user:message", {"desktop_id": "d1", "text": text}, message_id=name, **members)


def send_at_once(phone: Peer, *names: str) -> None:
    """Send without anybody having a turn."""
    for name in names:
        phone.connection.receive(
            f'{{"type":"user:message","payload":{{"desktop_id":"d1"}},"timestamp":1,"message_id":"{name}"}}'
        )


def in_hand(world: World, phone: Peer, desktop: Peer) -> None:
    """Have the letter `a` in the desktop's inbox, not written yet."""
    send_at_once(phone, "a")
    while not desktop.connection.waiting[0]:
        take_one_round(world)


def take_one_round(world: World) -> None:
    """Call what is due, and not what that asks to be called."""
    due, world.scheduler._soon = world.scheduler._soon, []
    assert due, "nothing more will happen"
    for callback in due:
        callback()


def answers(phone: Peer) -> list[tuple[str, str]]:
    """Receipts and errors that came since the last look: of which message, and what they say."""
    return [
        (message["payload"]["message_id"], message["payload"].get("status") or message["payload"]["code"])
        for message in phone.heard()
        if message["type"] in {"Receipt", "Fault"}
    ]


def mail(desktop: Peer) -> list[str]:
    return [message["message_id"] for message in desktop.heard() if message["type"] in KINDS]


def come_back(world: World, *, acks: bool = False) -> tuple[Peer, list[str]]:
    """Connect d1 again, and return it with the mail that it got."""
    desktop = world.desktop_peer(acks=acks)
    desktop.open()
    return desktop, mail(desktop)


def stop_reading(peer: Peer) -> None:
    peer.socket.writable = False
    peer.socket.unsent_bytes = 100
    peer.connection.write_stalled()


def read_again(peer: Peer) -> None:
    peer.socket.writable = True
    peer.connection.writable_again()
    peer.world.scheduler.settle()


def letters_in_the_mailbox(world: World) -> int:
    return sum(len(mailbox.letters) for mailbox in world.mailroom.mailboxes.values())


# -- order -----------------------------------------------------------------------------------------------------------


def test_what_waits_comes_in_order_and_before_anything_newer() -> None:
    world = World()
    phone = world.phone()
    world.desktop().hang_up()
    waiting = [f"m{n}" for n in range(300)]
    send(phone, *waiting)
    desktop = world.desktop_peer()
    desktop.connection.start(desktop.socket)
    send(phone, "newest")
    assert mail(desktop) == [*waiting, "newest"]
    assert letters_in_the_mailbox(world) == 0


def test_messages_of_one_turn_leave_in_one_write() -> None:
    world = World()
    desktop, phone = world.desktop(), world.phone()
    written = len(desktop.socket.batches)
    send_at_once(phone, *"abc")
    assert mail(desktop) == ["a", "b", "c"]
    assert [len(batch) for batch in desktop.socket.batches[written:]] == [3]


def test_more_mail_than_an_inbox_holds_ends_no_desktop_that_reads() -> None:
    world = World(Policy(inbox_frames=4))
    phone = world.phone()
    world.desktop().hang_up()
    waiting = [f"m{n}" for n in range(30)]
    send(phone, *waiting)
    desktop, got = come_back(world)
    assert got == waiting
    assert desktop.closed() is None


def test_a_burst_that_is_larger_than_an_inbox_ends_no_desktop_that_reads() -> None:
    world = World(Policy(inbox_bytes=1500))
    desktop, phone = world.desktop(), world.phone()
    burst = [f"m{n}" for n in range(30)]
    send_at_once(phone, *burst)
    assert mail(desktop) == burst
    assert desktop.closed() is None


def test_mail_that_finds_no_room_behind_other_frames_is_read_once_they_are_written() -> None:
    world = World(Policy(inbox_frames=2))
    phone = world.phone()
    world.desktop().hang_up()
    send(phone, "a")
    desktop = world.desktop_peer()
    desktop.socket.writable = False
    desktop.open()
    desktop.socket.writable = True
    desktop.connection.writable_again()  # Now the mailbox is asked for.
    for _ in range(2):
        desktop.connection.receive('{"type":"heartbeat","payload":{},"timestamp":1}')
    assert desktop.heard_types() == ["Welcome", "HeartbeatAck", "HeartbeatAck", "user:message"]
    assert desktop.closed() is None


# -- desktops that don't read ----------------------------------------------------------------------------------------


def test_letters_for_a_desktop_that_does_not_read_stay_in_its_mailbox_until_it_does() -> None:
    world = World()
    desktop, phone = world.desktop(), world.phone()
    stop_reading(desktop)
    send(phone, "a", "b")
    assert mail(desktop) == []
    assert desktop.connection.waiting == (0, 0)
    assert answers(phone) == [("a", "stored"), ("b", "stored")]
    read_again(desktop)
    assert mail(desktop) == ["a", "b"]
    assert answers(phone) == [("a", "delivered"), ("b", "delivered")]
    assert letters_in_the_mailbox(world) == 0


def test_a_desktop_that_reads_nothing_is_closed_with_4102_and_its_mail_waits_for_the_next_one() -> None:
    world = World()
    desktop, phone = world.desktop(), world.phone()
    stop_reading(desktop)
    send(phone, "a", "b")
    world.advance(5)
    assert desktop.closed() is CloseReason.SLOW_CONSUMER
    assert answers(phone) == [("a", "stored"), ("b", "stored")]
    _, got = come_back(world)
    assert got == ["a", "b"]


def test_a_letter_in_the_inbox_of_a_desktop_that_is_closed_with_4102_is_read_by_the_next_one() -> None:
    world = World()
    desktop, phone = world.desktop(), world.phone()
    in_hand(world, phone, desktop)
    stop_reading(desktop)
    world.advance(5)
    assert desktop.closed() is CloseReason.SLOW_CONSUMER
    assert (mail(desktop), answers(phone)) == ([], [("a", "stored")])
    assert come_back(world)[1] == ["a"]
    assert answers(phone) == [("a", "delivered")]


# -- ends ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["lose_link", "hang_up"])
def test_a_letter_in_hand_when_the_link_ends_is_handed_over_by_the_next_connection(end: str) -> None:
    world = World()
    desktop, phone = world.desktop(), world.phone()
    in_hand(world, phone, desktop)
    getattr(desktop, end)()
    assert answers(phone) == [("a", "stored")]
    assert come_back(world)[1] == ["a"]
    assert answers(phone) == [("a", "delivered")]
    assert mail(desktop) == []


def test_letters_in_hand_when_a_connection_is_superseded_are_settled_before_the_new_one_reads() -> None:
    world = World()
    old, phone = world.desktop(), world.phone()
    in_hand(world, phone, old)
    new, got = come_back(world)
    assert old.closed() is CloseReason.SUPERSEDED
    assert (mail(old), got) == (["a"], [])
    assert answers(phone) == [("a", "stored"), ("a", "delivered")]
    send(phone, "b")
    assert mail(new) == ["b"]


def test_a_page_that_comes_for_a_superseded_connection_is_the_new_ones() -> None:
    world = World()
    phone = world.phone()
    world.desktop().hang_up()
    send(phone, "a")
    old = world.desktop_peer()
    old.connection.start(old.socket)
    _, got = come_back(world)
    assert (mail(old), got) == ([], ["a"])
    assert answers(phone) == [("a", "stored"), ("a", "delivered")]


def test_a_letter_whose_write_failed_is_not_delivered_and_waits_for_the_next_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    desktop, phone = world.desktop(), world.phone()
    desktop.socket.broken = True
    with caplog.at_level(logging.ERROR):
        send(phone, "a")
    assert desktop.closed() is CloseReason.HUB_FAULT
    assert answers(phone) == [("a", "stored")]
    assert come_back(world)[1] == ["a"]


def test_while_the_hub_restarts_letters_in_hand_go_out_before_the_close() -> None:
    world = World()
    desktop, phone = world.desktop(), world.phone()
    in_hand(world, phone, desktop)
    desktop.connection.close(CloseReason.RESTARTING)
    assert mail(desktop) == ["a"]
    send(phone, "b")
    assert mail(desktop) == []
    assert answers(phone) == [("a", "stored"), ("a", "delivered"), ("b", "stored")]


def test_a_new_owner_gets_no_mail_of_the_old_one() -> None:
    world = World()
    phone = world.phone("u1")
    world.desktop("d1", "u1").hang_up()
    send(phone, "secret")
    foreign = world.desktop_peer("d1", "u2")
    foreign.open()
    assert mail(foreign) == []


def test_a_desktop_too_many_gets_no_mail() -> None:
    world = World(Policy(max_desktops=1))
    phone = world.phone()
    world.desktop("d1").hang_up()
    send(phone, "a")
    world.desktop("d2")
    assert come_back(world)[1] == []
    assert answers(phone) == [("a", "stored")]


# -- acks ------------------------------------------------------------------------------------------------------------


def test_with_acks_what_is_not_acknowledged_is_handed_over_on_every_connection() -> None:
    world = World()
    phone = world.phone()
    desktop = world.desktop(acks=True)
    send(phone, "a", "b", "c")
    assert mail(desktop) == ["a", "b", "c"]
    desktop.say("ack", {"message_id": "b"})
    for _ in range(2):
        desktop.lose_link()
        desktop, got = come_back(world, acks=True)
        assert got == ["a", "c"]
    for name in "ac":
        desktop.say("ack", {"message_id": name})
    assert come_back(world, acks=True)[1] == []
    assert [answer for answer in answers(phone) if answer[1] == "acknowledged"] == [
        (name, "acknowledged") for name in "bac"
    ]


def test_with_acks_a_connection_that_lives_gets_each_message_once() -> None:
    world = World()
    phone = world.phone()
    desktop = world.desktop(acks=True)
    send(phone, "a")
    stop_reading(desktop)
    send(phone, "b")
    read_again(desktop)
    send(phone, "c")
    assert mail(desktop) == ["a", "b", "c"]


@pytest.mark.parametrize("away", [True, False])
def test_an_ack_of_what_nobody_knows_changes_nothing(away: bool) -> None:
    world = World()
    phone = world.phone()
    desktop = world.desktop(acks=True)
    phone.heard()
    world.mailroom.away = away
    desktop.say("ack", {"message_id": "never seen"})
    world.mailroom.away = False
    assert (desktop.heard(), phone.heard()) == ([], [])
    assert world.tallies.outcomes == {("ack", "accepted"): 1}


def test_a_second_ack_tells_nobody_anything() -> None:
    world = World()
    phone = world.phone()
    desktop = world.desktop(acks=True)
    send(phone, "a")
    for _ in range(2):
        desktop.say("ack", {"message_id": "a"})
    assert answers(phone) == [("a", "stored"), ("a", "delivered"), ("a", "acknowledged")]


def test_with_acks_a_message_without_an_id_leaves_the_mailbox_when_it_is_written() -> None:
    world = World()
    phone = world.phone()
    desktop = world.desktop(acks=True)
    phone.say("user:message", {"desktop_id": "d1"})
    assert desktop.heard_types() == ["user:message"]
    assert letters_in_the_mailbox(world) == 0


def test_an_ack_is_of_its_own_desktops_messages_only() -> None:
    world = World()
    phone = world.phone()
    other = world.desktop("d2", acks=True)
    world.desktop("d1", acks=True)
    send(phone, "a")
    phone.heard()
    other.say("ack", {"message_id": "a"})
    assert answers(phone) == []
    assert come_back(world, acks=True)[1] == ["a"]


def test_a_desktop_that_expired_mail_reaches_no_more_may_still_acknowledge_what_it_has() -> None:
    world = World()
    phone = world.phone(device="x")
    desktop = world.desktop(acks=True)
    send(phone, "a", valid_until=world.clock.wall_ms() + 1000)
    world.advance(2)
    world.mailroom.sweep()
    desktop.say("ack", {"message_id": "a"})
    assert [status for _, status in answers(phone)] == ["stored", "delivered", "expired", "acknowledged"]


# -- the store away and back -----------------------------------------------------------------------------------------


def test_the_store_coming_back_makes_desktops_read_on() -> None:
    world = World()
    phone = world.phone()
    world.desktop().hang_up()
    send(phone, "a")
    world.mailroom.away = True
    desktop, got = come_back(world)
    send(phone, "b")
    assert got == []
    assert mail(desktop) == ["b"]
    world.mailroom.away = False
    assert mail(desktop) == ["a"]
    send(phone, "c")
    assert mail(desktop) == ["c"]


def test_a_return_of_the_store_before_a_desktop_knew_of_its_absence_is_not_missed() -> None:
    world = World()
    phone = world.phone()
    world.desktop().hang_up()
    send(phone, "a")
    desktop = world.desktop_peer()
    answer_late = world.mailroom.read
    pending = []
    world.mailroom.read = lambda *asked: pending.append(asked)  # type: ignore[method-assign]
    desktop.open()
    world.mailroom.read = answer_late  # type: ignore[method-assign]
    world.post.store_is_back()
    [(*_, answer)] = pending
    answer(None)
    assert mail(desktop) == ["a"]


def test_without_acks_what_was_written_while_the_store_was_away_is_not_handed_over_again() -> None:
    world = World()
    desktop, phone = world.desktop(), world.phone()
    in_hand(world, phone, desktop)
    world.mailroom.away = True
    assert mail(desktop) == ["a"]
    _, got = come_back(world)
    assert got == []
    world.mailroom.away = False
    assert come_back(world)[1] == []


def test_a_letter_handed_over_directly_and_not_written_is_unavailable() -> None:
    world = World()
    desktop, phone = world.desktop(), world.phone()
    world.mailroom.away = True
    stop_reading(desktop)
    send(phone, "a")
    assert answers(phone) == []
    desktop.lose_link()
    [error] = [message for message in phone.heard() if message["type"] == "Fault"]
    assert (error["payload"]["code"], error["payload"]["message_id"]) == (ErrorCode.UNAVAILABLE, "a")
    assert error["payload"]["retry_after_ms"] == 500
    assert world.tallies.outcomes == {("user:message", "unavailable"): 1}


@pytest.mark.parametrize("policy", [Policy(inbox_bytes=2500), Policy(inbox_bytes=2500, mailbox=False)])
def test_direct_letters_that_do_not_fit_get_an_error_each(policy: Policy) -> None:
    world = World(policy)
    desktop, phone = world.desktop(), world.phone()
    world.mailroom.away = True
    stop_reading(desktop)
    send(phone, *"abcd", text="x" * 500)
    assert desktop.closed() is CloseReason.SLOW_CONSUMER
    assert sorted(answers(phone)) == [
        ("a", "unavailable"),
        ("b", "unavailable"),
        ("c", "unavailable"),
        ("d", "queue_full"),
    ]


def test_an_ack_of_a_message_that_went_past_the_mailbox_is_told_and_recorded() -> None:
    world = World()
    phone = world.phone()
    desktop = world.desktop(acks=True)
    world.mailroom.away = True
    send(phone, "a")
    desktop.say("ack", {"message_id": "a"})
    desktop.say("ack", {"message_id": "a"})
    assert answers(phone) == [("a", "delivered"), ("a", "acknowledged")]
    world.mailroom.away = False
    send(phone, "a")
    [again] = phone.heard()
    assert (again["payload"]["status"], again["payload"]["latest"]) == ("duplicate", "acknowledged")


def test_an_ack_while_the_store_is_away_is_recorded_when_it_is_back() -> None:
    world = World()
    phone = world.phone()
    desktop = world.desktop(acks=True)
    send(phone, "a")
    world.mailroom.away = True
    desktop.say("ack", {"message_id": "a"})
    world.mailroom.away = False
    world.scheduler.settle()
    assert come_back(world, acks=True)[1] == []


def test_what_is_never_acknowledged_takes_so_much_memory_and_no_more() -> None:
    world = World(Policy(mailbox=False, rate=None))
    phone = world.phone()
    desktop = world.desktop(acks=True)
    send(phone, *(str(n) for n in range(MOST_UNACKNOWLEDGED + 1)))
    assert isinstance(desktop.connection, DesktopConnection)
    assert len(desktop.connection._unacknowledged or ()) == MOST_UNACKNOWLEDGED
    phone.heard()
    for name in ("0", "1"):
        desktop.say("ack", {"message_id": name})
    assert answers(phone) == [("1", "acknowledged")], "the oldest one is forgotten"


def test_acknowledged_letters_are_not_held_on_to() -> None:
    world = World(Policy(mailbox=False, rate=None))
    phone = world.phone()
    desktop = world.desktop(acks=True)
    for n in range(10):
        send(phone, str(n))
        desktop.say("ack", {"message_id": str(n)})
    assert isinstance(desktop.connection, DesktopConnection)
    assert not desktop.connection._unacknowledged


def test_a_desktop_that_does_not_read_keeps_its_mail_when_a_newer_connection_takes_its_place() -> None:
    world = World()
    asleep, phone = world.desktop(), world.phone()
    in_hand(world, phone, asleep)
    asleep.socket.writable = False
    _, got = come_back(world)
    assert (mail(asleep), got) == ([], ["a"])
    assert answers(phone) == [("a", "stored"), ("a", "delivered")]


def test_a_phone_that_came_while_the_store_was_away_gets_its_receipts_when_it_is_back() -> None:
    world = World()
    sender = world.phone(device="x")
    world.desktop()
    world.mailroom.keep(Sender(UserId("u1"), DeviceId("x")), Receipt("m", DesktopId("d1"), Status.EXPIRED))
    world.scheduler.settle()
    sender.lose_link()
    world.mailroom.away = True
    back, gone = world.phone(device="x"), world.phone(device="y")
    gone.lose_link()
    assert back.heard() == []
    world.mailroom.away = False
    [receipt] = back.heard()
    assert (receipt["payload"]["message_id"], receipt["payload"]["status"]) == ("m", "expired")
