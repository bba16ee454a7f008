"""What a phone may say, and what becomes of it."""

import pytest

from actors.closing import CloseReason
from actors.ids import DesktopId
from actors.messages import KnownDesktop
from actors.mobile import ADDRESSED, NOT_ALLOWED
from actors.policy import Policy
from actors.supervisor import MOST_AWAITING
from tests.support.peers import Peer, World


def past(desktop: str) -> KnownDesktop:
    return KnownDesktop(DesktopId(desktop), 1, "Desk", None, "closed")


def error_of(peer: Peer) -> dict[str, object]:
    [message] = peer.heard()
    assert message["type"] == "Fault"
    return {name: value for name, value in message["payload"].items() if name != "text" and value is not None}


@pytest.mark.parametrize("kind", sorted(ADDRESSED))
def test_a_message_reaches_the_desktop_it_names_stamped_with_its_senders_identity(kind: str) -> None:
    world = World()
    named, other = world.desktop("d1"), world.desktop("d2")
    phone = world.phone(device="x")
    phone.say(kind, {"desktop_id": "d1", "text": "hi"}, message_id="m", user_id="somebody else", device_id="fake")
    [message] = named.heard()
    assert message == {
        "type": kind,
        "payload": {"desktop_id": "d1", "text": "hi"},
        "timestamp": 1,
        "message_id": "m",
        "user_id": "u1",
        "device_id": "x",
    }
    assert other.heard() == []
    assert [receipt["payload"]["status"] for receipt in phone.heard()] == ["stored", "delivered"]
    assert world.tallies.relayed == {kind: 1}


def test_messages_of_several_phones_keep_each_ones_order() -> None:
    world = World()
    desktop, phones = world.desktop(), [world.phone(), world.phone()]
    for n in range(20):
        for name, phone in enumerate(phones):
            phone.say("user:message", {"desktop_id": "d1"}, message_id=f"{n}.{name}")
    assert [message["message_id"] for message in desktop.heard()] == [f"{n // 2}.{n % 2}" for n in range(40)]


@pytest.mark.parametrize("target", ["d1", "no-such-desktop"])
def test_whether_another_users_desktop_exists_can_not_be_told_from_the_answer(target: str) -> None:
    world = World()
    others = world.desktop("d1", "u2")
    phone = world.phone("u1")
    world.mirror.answer([])
    phone.say("user:message", {"desktop_id": target}, message_id="m")
    assert error_of(phone) == {"code": "desktop_not_found", "message_id": "m"}
    assert others.heard() == []


def test_a_message_waits_until_the_store_has_told_which_desktops_there_are() -> None:
    world = World()
    phone = world.phone()
    phone.say("user:message", {"desktop_id": "d1"}, message_id="a")
    phone.say("user:message", {"desktop_id": "nobody"}, message_id="b")
    assert phone.heard() == []
    world.mirror.answer([past("d1")])
    away, *answers = phone.heard()
    assert away["type"] == "DesktopOffline"
    assert sorted(
        (a["payload"]["message_id"], a["payload"].get("status", a["payload"].get("code"))) for a in answers
    ) == [
        ("a", "stored"),
        ("b", "desktop_not_found"),
    ]


def test_a_message_that_waited_reaches_the_desktop_that_came_meanwhile() -> None:
    world = World()
    phone = world.phone()
    phone.say("user:message", {"desktop_id": "d1"})
    desktop = world.desktop_peer("d1")
    desktop.open()
    assert desktop.heard_types() == ["Welcome", "user:message"]
    world.mirror.answer([])
    assert desktop.heard() == []


def test_a_message_that_waited_goes_before_those_that_are_sent_when_its_desktop_is_there() -> None:
    world = World()
    phone = world.phone()
    for name in ("first", "second"):
        phone.say("user:message", {"desktop_id": "d1"}, message_id=name)
    phone.say("user:message", {"desktop_id": "d2"}, message_id="other")
    desktop = world.desktop_peer("d1")
    desktop.open()
    phone.say("user:message", {"desktop_id": "d1"}, message_id="third")
    assert [message.get("message_id") for message in desktop.heard()] == [None, "first", "second", "third"]
    phone.heard()
    world.mirror.answer([past("d2")])
    _, answer = phone.heard()
    assert (answer["payload"]["message_id"], answer["payload"]["status"]) == ("other", "stored")


def test_while_the_store_can_not_be_asked_an_unknown_desktop_is_unavailable_not_denied() -> None:
    world = World()
    phone = world.phone()
    phone.say("user:message", {"desktop_id": "d1"})
    world.mirror.answer(None)
    assert error_of(phone) == {"code": "unavailable", "retry_after_ms": 500}
    phone.say("user:message", {"desktop_id": "d1"})
    assert error_of(phone) == {"code": "unavailable", "retry_after_ms": 500}
    assert world.tallies.outcomes["user:message", "unavailable"] == 2


def test_so_many_messages_may_wait_and_no_more() -> None:
    world = World()
    phone = world.phone()
    for _ in range(MOST_AWAITING):
        phone.say("user:message", {"desktop_id": "d1"})
    assert phone.heard() == []
    phone.say("user:message", {"desktop_id": "d1"})
    assert error_of(phone)["code"] == "unavailable"


def test_a_desktop_that_is_here_can_be_reached_while_the_store_is_away() -> None:
    world = World()
    phone, desktop = world.phone(), world.desktop()
    world.mirror.answer(None)
    phone.say("user:message", {"desktop_id": "d1"})
    assert desktop.heard_types() == ["user:message"]


def test_a_message_that_was_not_delivered_is_no_bad_message() -> None:
    world = World(Policy(rate=None))
    phone = world.phone()
    world.mirror.answer([])
    for _ in range(200):
        phone.say("user:message", {"desktop_id": "d1"})
    assert phone.closed() is None


@pytest.mark.parametrize("kind", sorted(ADDRESSED))
def test_a_message_that_names_no_desktop_is_a_bad_payload(kind: str) -> None:
    world = World()
    phone = world.phone()
    phone.say(kind, message_id="m")
    assert error_of(phone) == {"code": "bad_payload", "message_id": "m"}
    assert world.tallies.outcomes == {(kind, "bad_payload"): 1}


@pytest.mark.parametrize("kind", sorted(ADDRESSED))
def test_a_message_to_a_known_desktop_that_is_away_waits_for_it(kind: str) -> None:
    world = World()
    phone = world.phone()
    world.mirror.answer([past("d1")])
    phone.heard()
    phone.say(kind, {"desktop_id": "d1"}, message_id="m")
    assert [receipt["payload"]["status"] for receipt in phone.heard()] == ["stored"]
    desktop = world.desktop_peer()
    desktop.open()
    assert desktop.heard_types() == ["Welcome", kind]


def test_a_message_to_a_desktop_within_its_grace_waits_for_it() -> None:
    world = World()
    phone = world.phone()
    world.desktop().lose_link()
    phone.heard()
    phone.say("user:message", {"desktop_id": "d1"}, message_id="m")
    assert [receipt["payload"]["status"] for receipt in phone.heard()] == ["stored"]
    desktop = world.desktop_peer()
    desktop.open()
    assert desktop.heard_types() == ["Welcome", "user:message"]


def test_a_message_of_a_phone_that_has_gone_is_kept_all_the_same() -> None:
    world = World()
    world.phone()
    phone = world.phone()
    phone.say("user:message", {"desktop_id": "d1"}, message_id="m")
    phone.hang_up()
    world.mirror.answer([past("d1")])
    desktop = world.desktop_peer()
    desktop.open()
    assert desktop.heard_types() == ["Welcome", "user:message"]


@pytest.mark.parametrize("kind", sorted(NOT_ALLOWED))
def test_a_type_of_the_other_sides_is_not_allowed(kind: str) -> None:
    world = World()
    other, phone = world.phone(), world.phone()
    other.heard()
    phone.say(kind, {"desktop_id": "d1"}, message_id="m")
    assert error_of(phone) == {"code": "type_not_allowed", "message_id": "m"}
    assert other.heard() == []


def test_an_unknown_type_is_answered_and_never_becomes_a_metrics_label() -> None:
    world = World()
    phone = world.phone()
    phone.say("x" * 1000)
    assert error_of(phone) == {"code": "unknown_type"}
    assert world.tallies.outcomes == {("-", "unknown_type"): 1}


def test_a_newer_connection_of_the_device_ends_the_older_one_with_4005() -> None:
    world = World()
    desktop = world.desktop()
    old = world.phone(device="x")
    new = world.phone(device="x")
    assert old.closed() is CloseReason.SUPERSEDED
    old.lose_link()
    desktop.say("agent:stream")
    assert new.heard_types() == ["agent:stream"]
    assert world.tallies.relayed == {"agent:stream": 1}


def test_a_phone_that_leaves_is_told_nothing_more() -> None:
    world = World()
    leaves, stays, desktop = world.phone(), world.phone(), world.desktop()
    leaves.heard()
    stays.heard()
    leaves.hang_up()
    desktop.say("agent:stream")
    assert (leaves.heard(), stays.heard_types()) == ([], ["agent:stream"])


def test_a_log_line_says_which_device_and_whose(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "hub.connection")
    World().phone(device="x").hang_up()
    assert {(vars(record)["device_id"], vars(record)["user_id"]) for record in caplog.records} == {("x", "u1")}


# -- a phone that sends faster than the mailroom answers -----------------------------------------------------------


def flood(phone: Peer, size: int) -> None:
    text = "x" * size
    phone.connection.receive(f'{{"type":"user:message","payload":{{"desktop_id":"d1","text":"{text}"}},"timestamp":1}}')


@pytest.mark.parametrize(("size", "least", "most"), [(600_000, 2, 2), (10, 500, 1024)])
def test_a_phone_that_floods_is_not_read_from_until_the_mailroom_has_answered(size: int, least: int, most: int) -> None:
    world = World(Policy(rate=None))
    world.desktop()
    flooding, other = world.phone(), world.phone()
    letters = 0
    while not flooding.socket.held:
        flood(flooding, size)
        letters += 1
    assert least <= letters <= most
    assert not other.socket.held
    world.scheduler.settle()
    assert not flooding.socket.held


def test_what_was_read_before_still_arrives_in_order() -> None:
    world = World(Policy(rate=None))
    desktop, phone = world.desktop(), world.phone()
    for name in "abc":
        text = "x" * 900_000
        members = f'"timestamp":1,"message_id":"{name}"'
        phone.connection.receive(f'{{"type":"user:message","payload":{{"desktop_id":"d1","text":"{text}"}},{members}}}')
    assert [message["message_id"] for message in desktop.heard()] == ["a", "b", "c"]
