"""What becomes of a phone's message to a desktop, and who is told of it (docs/protocol.md, "Receipts")."""

from collections.abc import Callable

import pytest

from actors.ids import DesktopId, DeviceId, UserId
from actors.mail import Letter, NotStored, Receipt, Sender, Status, StoreAnswer
from actors.policy import Policy
from actors.post import PostOffice
from hub.mail.limits import MailLimits
from tests.support.actors import WALL_S
from tests.support.memory_mailroom import MemoryMailroom
from tests.support.peers import Peer, World

NOW_MS = WALL_S * 1000
KINDS = ["user:message", "session:create"]
OFF = Policy(mailbox=False)
MESSAGE_A = '{"type":"user:message","payload":{"desktop_id":"d1"},"timestamp":1,"message_id":"a"}'


def send(phone: Peer, name: str | None, kind: str = "user:message", text: str = "", **members: object) -> None:
    named = {} if name is None else {"message_id": name}
    phone.say(kind, {"desktop_id": "d1", "text": text}, **named, **members)


def answers(phone: Peer) -> list[tuple[str | None, str]]:
    """Receipts and errors that came since the last look: of which message, and what they say."""
    return [
        (message["payload"]["message_id"], message["payload"].get("status") or message["payload"]["code"])
        for message in phone.heard()
        if message["type"] in {"Receipt", "Fault"}
    ]


def mail(desktop: Peer) -> list[str | None]:
    return [message.get("message_id") for message in desktop.heard() if message["type"] in KINDS]


def away_desktop(world: World) -> None:
    """Make d1 known, and away; somebody of u1 has to be there."""
    world.desktop().hang_up()


def limit(world: World, limits: MailLimits) -> None:
    """Give the world a mailroom with other bounds."""
    world.mailroom = MemoryMailroom(world.clock, world.scheduler, limits)
    world.post = PostOffice(world.around, world.supervisor, world.mailroom)


# -- receipts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_to_a_desktop_that_is_here_is_stored_and_then_delivered(kind: str) -> None:
    world = World()
    desktop, phone = world.desktop(), world.phone()
    send(phone, "a", kind)
    assert mail(desktop) == ["a"]
    assert phone.heard() == [
        {
            "type": "Receipt",
            "payload": {"message_id": "a", "desktop_id": "d1", "status": status, "latest": None},
        }
        for status in ("stored", "delivered")
    ]
    assert world.tallies.receipts == {"stored": 1, "delivered": 1}
    assert world.tallies.relayed == {kind: 1}


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_to_a_desktop_that_is_away_is_stored_and_delivered_when_it_comes(kind: str) -> None:
    world = World()
    phone = world.phone()
    away_desktop(world)
    send(phone, "a", kind)
    assert answers(phone) == [("a", "stored")]
    back = world.desktop_peer()
    back.open()
    assert [message["type"] for message in back.heard()] == ["Welcome", kind]
    assert answers(phone) == [("a", "delivered")]


def test_stored_is_not_said_before_the_store_has_answered() -> None:
    world = World()
    phone = world.phone()
    away_desktop(world)
    phone.heard()
    phone.connection.receive(MESSAGE_A)
    assert phone.connection.waiting == (0, 0)
    assert answers(phone) == [("a", "stored")]


def test_a_message_without_an_id_is_kept_too_and_gets_no_receipt() -> None:
    world = World()
    phone = world.phone()
    away_desktop(world)
    send(phone, None, text="one")
    send(phone, None, text="one")
    assert answers(phone) == []
    back = world.desktop_peer()
    back.open()
    assert mail(back) == [None, None]
    assert answers(phone) == []
    assert not world.tallies.receipts


def test_a_message_that_comes_again_is_a_duplicate_and_tells_what_became_of_the_first() -> None:
    world = World()
    phone = world.phone()
    away_desktop(world)

    def again() -> tuple[str, str]:
        send(phone, "a")
        [message] = phone.heard()
        return message["payload"]["status"], message["payload"]["latest"]

    send(phone, "a")
    phone.heard()
    assert again() == ("duplicate", "stored")
    desktop = world.desktop_peer()
    desktop.open()
    assert mail(desktop) == ["a"]
    assert answers(phone)[-1] == ("a", "delivered")
    assert again() == ("duplicate", "delivered")
    assert mail(desktop) == []


@pytest.mark.parametrize(("kind", "text"), [("user:message", "other"), ("session:create", "")])
def test_an_id_that_was_used_for_another_message_is_a_bad_payload(kind: str, text: str) -> None:
    world = World()
    desktop, phone = world.desktop(), world.phone()
    send(phone, "a")
    phone.heard()
    send(phone, "a", kind, text)
    assert answers(phone) == [("a", "bad_payload")]
    assert mail(desktop) == ["a"]
    assert world.tallies.outcomes == {(kind, "bad_payload"): 1}


def test_an_id_used_again_and_again_for_other_messages_is_abuse() -> None:
    world = World(Policy(rate=None))
    world.desktop()
    phone = world.phone()
    for n in range(62):
        send(phone, "a", text=str(n))
    assert phone.closed() is not None


def test_the_same_id_for_another_desktop_is_another_message() -> None:
    world = World()
    desktops = world.desktop("d1"), world.desktop("d2")
    phone = world.phone()
    for name in ("d1", "d2"):
        phone.say("user:message", {"desktop_id": name}, message_id="a")
    assert [mail(desktop) for desktop in desktops] == [["a"], ["a"]]
    assert answers(phone) == [("a", "stored"), ("a", "delivered")] * 2


def test_a_message_over_the_users_pace_is_refused_and_may_be_sent_again() -> None:
    world = World()
    limit(world, MailLimits(rate=2, burst=1))
    desktop, phone, tablet = world.desktop(), world.phone(device="p"), world.phone(device="t")
    send(phone, "a")
    assert answers(phone) == [("a", "stored"), ("a", "delivered")]
    for _ in range(100):
        send(tablet, "b")
    faults = [message["payload"] for message in tablet.heard()]
    assert {(fault["message_id"], fault["code"]) for fault in faults} == {("b", "rate_limited")}
    assert 0 < faults[0]["retry_after_ms"] <= 500
    assert tablet.closed() is None
    world.advance(faults[0]["retry_after_ms"] / 1000)
    send(tablet, "b")
    assert answers(tablet) == [("b", "stored"), ("b", "delivered")]
    assert mail(desktop) == ["a", "b"]


def test_a_full_mailbox_refuses_and_says_when_to_send_again() -> None:
    world = World()
    limit(world, MailLimits(messages=2))
    phone = world.phone()
    away_desktop(world)
    for name in "abc":
        send(phone, name)
    assert answers(phone) == [("a", "stored"), ("b", "stored"), ("c", "queue_full")]
    desktop = world.desktop()
    send(phone, "c")
    told = [message["payload"] for message in phone.heard()]
    assert [payload.get("status") for payload in told][-2:] == ["stored", "delivered"]
    assert mail(desktop) == ["c"]
    assert world.tallies.outcomes == {("user:message", "queue_full"): 1}


def test_queue_full_is_no_abuse_and_names_a_time() -> None:
    world = World(Policy(rate=None))
    limit(world, MailLimits(messages=1))
    phone = world.phone()
    away_desktop(world)
    for n in range(100):
        send(phone, str(n))
    *_, last = phone.heard()
    assert (last["payload"]["code"], last["payload"]["retry_after_ms"]) == ("queue_full", 1000)
    assert phone.closed() is None


# -- valid_until -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [Policy(), OFF])
def test_a_message_whose_time_is_over_is_expired_at_once(policy: Policy) -> None:
    world = World(policy)
    desktop, phone = world.desktop(), world.phone()
    send(phone, "old", valid_until=NOW_MS - 1)
    send(phone, "just", valid_until=NOW_MS)
    assert answers(phone)[0] == ("old", "expired")
    assert mail(desktop) == ["just"]


def test_a_message_whose_time_is_over_is_not_handed_over_directly_either() -> None:
    world = World()
    desktop, phone = world.desktop(), world.phone()
    world.mailroom.away = True
    send(phone, "old", valid_until=NOW_MS - 1)
    send(phone, "just", valid_until=NOW_MS)
    assert answers(phone) == [("old", "expired"), ("just", "delivered")]
    assert mail(desktop) == ["just"]


def test_a_message_whose_time_runs_out_while_it_waits_is_not_handed_over_and_its_sender_is_told() -> None:
    world = World()
    phone = world.phone(device="x")
    away_desktop(world)
    send(phone, "a", valid_until=NOW_MS + 1000)
    send(phone, "b")
    assert answers(phone) == [("a", "stored"), ("b", "stored")]
    world.advance(2)
    back = world.desktop_peer()
    back.open()
    assert mail(back) == ["b"]
    assert answers(phone) == [("a", "expired"), ("b", "delivered")]


def test_a_sender_learns_that_a_message_expired_even_if_the_desktop_never_comes() -> None:
    world = World()
    phone = world.phone(device="x")
    away_desktop(world)
    send(phone, "a", valid_until=NOW_MS + 1000)
    phone.heard()
    world.advance(2)
    world.mailroom.sweep()
    assert answers(phone) == [("a", "expired")]


# -- the store away --------------------------------------------------------------------------------------------------


def test_while_the_store_is_away_a_desktop_that_is_here_gets_it_directly_and_stored_is_not_said() -> None:
    world = World()
    desktop, phone = world.desktop(), world.phone()
    world.mailroom.away = True
    send(phone, "a")
    assert mail(desktop) == ["a"]
    assert answers(phone) == [("a", "delivered")]


def test_while_the_store_is_away_a_message_to_an_absent_desktop_is_unavailable_at_once() -> None:
    world = World()
    phone = world.phone()
    away_desktop(world)
    world.mailroom.away = True
    phone.heard()
    send(phone, "a")
    [error] = phone.heard()
    assert error["payload"]["code"] == "unavailable"
    assert (error["payload"]["message_id"], error["payload"]["retry_after_ms"]) == ("a", 500)


def test_what_was_delivered_while_the_store_was_away_is_known_when_it_is_back() -> None:
    world = World()
    desktop, phone = world.desktop(), world.phone()
    world.mailroom.away = True
    send(phone, "a")
    phone.heard()
    world.mailroom.away = False
    send(phone, "a")
    [again] = phone.heard()
    assert (again["payload"]["status"], again["payload"]["latest"]) == ("duplicate", "delivered")
    assert mail(desktop) == ["a"]


def test_a_copy_that_the_store_took_without_our_knowing_is_not_handed_over_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    desktop, phone = world.desktop(), world.phone()

    def take_and_not_tell(letter: Letter, answer: Callable[[StoreAnswer], None]) -> None:
        world.mailroom._store(letter)
        world.scheduler.call_soon(answer, NotStored.AWAY)

    monkeypatch.setattr(world.mailroom, "store", take_and_not_tell)
    send(phone, "a")
    assert mail(desktop) == ["a"]
    assert answers(phone) == [("a", "delivered")]
    back = world.desktop_peer()
    back.open()
    assert mail(back) == []


# -- without a mailbox -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_mailbox_a_message_is_delivered_and_never_stored(kind: str) -> None:
    world = World(OFF)
    desktop, phone = world.desktop(), world.phone()
    send(phone, "a", kind)
    send(phone, "a", kind)
    assert mail(desktop) == ["a", "a"]
    assert answers(phone) == [("a", "delivered")] * 2


def test_without_a_mailbox_an_absent_desktop_is_offline() -> None:
    world = World(OFF)
    phone = world.phone(device="x")
    away_desktop(world)
    send(phone, "a")
    assert answers(phone) == [("a", "desktop_offline")]
    world.desktop()
    phone.heard()
    send(phone, "a")
    assert answers(phone) == [("a", "delivered")]


class Untouched:
    """A mailroom that nobody may ask."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"the mailroom is asked to {name}")


@pytest.mark.parametrize("acks", [True, False])
def test_without_a_mailbox_the_mailroom_is_asked_for_nothing(acks: bool) -> None:
    world = World(OFF)
    world.mailroom = Untouched()  # type: ignore[assignment]
    world.post = PostOffice(world.around, world.supervisor, world.mailroom)
    phone = world.phone(device="x")
    desktop = world.desktop(acks=acks)
    send(phone, "a")
    send(phone, None)
    phone.hang_up()
    if acks:
        desktop.say("ack", {"message_id": "a"})
        desktop.say("ack", {"message_id": "never seen"})
    desktop.connection.writable_again()
    world.post.store_is_back()
    world.phone(device="x")
    world.scheduler.settle()
    assert mail(desktop) == ["a", None]
    assert desktop.closed() is None


# -- who is told -----------------------------------------------------------------------------------------------------


def test_receipts_go_to_the_device_that_sent_it_and_to_no_other() -> None:
    world = World()
    world.desktop()
    sender, other, plain = world.phone(device="x"), world.phone(device="y"), world.phone()
    send(sender, "a")
    assert answers(sender) == [("a", "stored"), ("a", "delivered")]
    assert (answers(other), answers(plain)) == ([], [])


def test_a_device_that_has_come_back_gets_the_receipts_on_its_new_connection() -> None:
    world = World()
    old = world.phone(device="x")
    away_desktop(world)
    send(old, "a")
    new = world.phone(device="x")
    world.desktop()
    assert answers(new) == [("a", "delivered")]
    assert answers(old) == [("a", "stored")]


def test_receipts_of_a_phone_without_a_device_go_to_the_connection_that_sent_it() -> None:
    world = World()
    world.desktop()
    sender, other, device = world.phone(), world.phone(), world.phone(device="x")
    send(sender, "a")
    assert answers(sender) == [("a", "stored"), ("a", "delivered")]
    assert (answers(other), answers(device)) == ([], [])


def test_when_that_connection_is_gone_all_of_the_users_phones_without_a_device_are_told() -> None:
    world = World()
    sender, other, device, foreign = world.phone(), world.phone(), world.phone(device="x"), world.phone("u2")
    away_desktop(world)
    send(sender, "a")
    sender.hang_up()
    world.desktop()
    assert answers(other) == [("a", "delivered")]
    assert (answers(device), answers(foreign)) == ([], [])


@pytest.mark.parametrize("device", ["x", None])
def test_receipts_are_kept_for_a_sender_that_is_away_and_told_once(device: str | None) -> None:
    world = World()
    keeps = world.phone(device="other")
    phone = world.phone(device=device)
    away_desktop(world)
    send(phone, "a")
    phone.hang_up()
    desktop = world.desktop(acks=True)
    desktop.say("ack", {"message_id": "a"})
    back = world.phone_peer(device=device)
    back.open()
    assert answers(back) == [("a", "delivered"), ("a", "acknowledged")]
    back.hang_up()
    again = world.phone_peer(device=device)
    again.open()
    assert answers(again) == []
    assert answers(keeps) == []


def test_a_receipt_that_says_nothing_new_is_not_kept() -> None:
    world = World()
    world.phone(device="other")
    phone = world.phone(device="x")
    away_desktop(world)
    for _ in range(2):
        phone.connection.receive(MESSAGE_A)
    phone.hang_up()
    assert world.tallies.receipts == {"stored": 1, "duplicate": 1}
    back = world.phone_peer(device="x")
    back.open()
    assert answers(back) == [], "stored and duplicate: it sends again what it has no receipt of"


def test_kept_receipts_that_could_not_be_written_are_told_at_the_next_connection() -> None:
    world = World()
    tell(world, "x", "a", "b")
    unlucky = world.phone_peer(device="x")
    unlucky.socket.writable = False
    unlucky.open()
    assert unlucky.heard() == []
    unlucky.lose_link()
    back = world.phone_peer(device="x")
    back.open()
    assert answers(back) == [("a", "delivered"), ("b", "delivered")]


def test_what_is_kept_while_others_are_written_is_not_forgotten_with_them() -> None:
    world = World()
    tell(world, "x", "a")
    phone = world.phone_peer(device="x")
    phone.socket.writable = False
    phone.open()
    phone.connection.peer_closed()
    tell(world, "x", "b")
    back = world.phone_peer(device="x")
    back.open()
    assert answers(back) == [("a", "delivered"), ("b", "delivered")]


def tell(world: World, device: str, *names: str) -> None:
    for name in names:
        sender = Sender(UserId("u1"), DeviceId(device))
        world.post.tell(sender, Receipt(name, DesktopId("d1"), Status.DELIVERED))
    world.scheduler.settle()


def test_what_is_kept_for_one_device_is_told_to_no_other() -> None:
    world = World()
    tell(world, "x", "a")
    others: list[Callable[[], Peer]] = [
        lambda: world.phone_peer(device="y"),
        world.phone_peer,
        lambda: world.phone_peer("u2", device="x"),
    ]
    for make in others:
        other = make()
        other.open()
        assert answers(other) == []
    mine = world.phone_peer(device="x")
    mine.open()
    assert answers(mine) == [("a", "delivered")]


def test_every_receipt_is_counted_also_those_that_are_kept() -> None:
    world = World()
    tell(world, "x", "a", "b")
    assert world.tallies.receipts == {"delivered": 2}
