"""What a desktop may say, and what becomes of it."""

import pytest

from actors.closing import CloseReason
from actors.desktop import NOT_ALLOWED, RELAYED
from actors.messages import CameOnline, WentOffline
from actors.policy import Policy
from tests.support.peers import World


@pytest.mark.parametrize("kind", sorted(RELAYED))
def test_what_an_agent_says_reaches_all_phones_of_its_owner_and_nobody_else(kind: str) -> None:
    world = World()
    mine = [world.phone(), world.phone()]
    others = world.phone("u2")
    desktop = world.desktop()
    for phone in mine:
        phone.heard()
    desktop.say(kind, {"text": "hello"}, message_id="m")
    for phone in mine:
        assert phone.heard() == [
            {
                "type": kind,
                "payload": {"text": "hello"},
                "timestamp": 1,
                "message_id": "m",
                "desktop_id": "d1",
                "offset": "1-1",
            }
        ]
    assert others.heard() == []
    assert world.tallies.relayed[kind] == 2


def test_messages_keep_their_order() -> None:
    world = World()
    phone, desktop = world.phone(), world.desktop()
    phone.heard()
    for n in range(50):
        desktop.say("agent:stream", message_id=str(n))
    assert [message["message_id"] for message in phone.heard()] == [str(n) for n in range(50)]


def test_what_nobody_hears_is_counted_and_no_error() -> None:
    world = World()
    desktop = world.desktop()
    desktop.say("agent:status")
    assert desktop.heard() == []
    assert world.tallies.unheard == {"agent:status": 1}
    assert not world.tallies.relayed


@pytest.mark.parametrize("kind", sorted(NOT_ALLOWED))
def test_a_type_of_the_other_sides_is_not_allowed(kind: str) -> None:
    world = World()
    phone, desktop = world.phone(), world.desktop()
    phone.heard()
    desktop.say(kind, {"desktop_id": "d1"}, message_id="m")
    [error] = desktop.heard()
    assert (error["payload"]["code"], error["payload"]["message_id"]) == ("type_not_allowed", "m")
    assert phone.heard() == []
    assert world.tallies.outcomes == {(kind, "type_not_allowed"): 1}


def test_an_unknown_type_is_answered_and_never_becomes_a_metrics_label() -> None:
    world = World()
    desktop = world.desktop()
    desktop.say("x" * 1000, message_id="m")
    [error] = desktop.heard()
    assert (error["payload"]["code"], error["payload"]["message_id"]) == ("unknown_type", "m")
    assert world.tallies.outcomes == {("-", "unknown_type"): 1}


def test_nobody_speaks_as_another_desktop() -> None:
    world = World()
    phone, desktop = world.phone(), world.desktop("d1")
    phone.heard()
    desktop.say("agent:stream", desktop_id="d2")
    assert [message["desktop_id"] for message in phone.heard()] == ["d1"]


def test_a_newer_connection_of_the_desktop_ends_the_older_one_with_4005() -> None:
    world = World()
    phone = world.phone()
    old = world.desktop()
    phone.heard()
    new = world.desktop()
    assert old.closed() is CloseReason.SUPERSEDED
    assert new.closed() is None
    old.lose_link()
    world.advance(10)
    assert phone.heard() == [], "for the phones it was there all the time"
    phone.say("user:message", {"desktop_id": "d1"})
    assert new.heard_types() == ["user:message"]


def test_a_superseded_connection_relays_nothing_any_more() -> None:
    world = World()
    phone, old = world.phone(), world.desktop()
    world.desktop()
    phone.heard()
    old.say("agent:stream")
    assert phone.heard() == []


def test_a_connection_under_a_new_owner_takes_the_place_of_the_old_one() -> None:
    world = World()
    old_owner, new_owner = world.phone("u1"), world.phone("u2")
    old = world.desktop("d1", "u1")
    old_owner.heard()
    new = world.desktop("d1", "u2")
    assert old.closed() is CloseReason.SUPERSEDED
    [gone] = old_owner.heard()
    assert (gone["type"], gone["payload"]["reason"]) == ("DesktopOffline", "superseded")
    assert new_owner.heard_types() == ["DesktopOnline"]
    new.say("agent:stream")
    assert (old_owner.heard(), new_owner.heard_types()) == ([], ["agent:stream"])


@pytest.mark.parametrize(
    ("policy", "end", "reason", "after_s"),
    [
        (Policy(), "hang_up", "closed", 0),
        (Policy(), "lose_link", "lost", 5),
        (Policy(offline_grace_s=0), "lose_link", "lost", 0),
        (Policy(heartbeat_timeout_s=60), "silence", "timeout", 60),
    ],
)
def test_phones_are_told_why_a_desktop_is_gone_and_when_it_is_sure(
    policy: Policy, end: str, reason: str, after_s: float
) -> None:
    world = World(policy)
    phone, desktop = world.phone(), world.desktop()
    phone.heard()
    if end != "silence":
        getattr(desktop, end)()
    if after_s:
        world.advance(after_s / 2)
        phone.say("heartbeat")
        assert phone.heard_types() == ["HeartbeatAck"]
        world.advance(after_s / 2)
    [gone] = phone.heard()
    assert (gone["type"], gone["payload"]["reason"]) == ("DesktopOffline", reason)


def test_the_reason_of_its_own_goodbye_is_what_phones_are_told() -> None:
    world = World()
    phone, desktop = world.phone(), world.desktop()
    phone.heard()
    desktop.say("goodbye", {"reason": "sleeping"})
    [gone] = phone.heard()
    assert gone["payload"]["reason"] == "sleeping"


def test_a_desktop_that_is_back_within_the_grace_was_never_away() -> None:
    world = World()
    phone, desktop = world.phone(), world.desktop()
    phone.heard()
    desktop.lose_link()
    world.advance(4.9)
    back = world.desktop()
    world.advance(60)
    assert phone.heard() == []
    assert back.closed() is None
    assert [type(change) for change in world.mirror.changes] == [CameOnline, CameOnline]


def test_a_late_end_of_the_older_connection_changes_nothing_in_the_mirror() -> None:
    world = World()
    old = world.desktop()
    world.desktop()
    old.hang_up()
    world.advance(60)
    assert not [change for change in world.mirror.changes if isinstance(change, WentOffline)]


def test_while_the_hub_restarts_what_a_desktop_sent_before_it_saw_the_close_still_arrives() -> None:
    world = World()
    phone, desktop = world.phone(), world.desktop()
    phone.heard()
    desktop.connection.close(CloseReason.RESTARTING)
    phone.heard()
    desktop.say("agent:response", message_id="last")
    assert [message.get("message_id") for message in phone.heard()] == ["last"]


@pytest.mark.parametrize("reason", [r for r in CloseReason if r is not CloseReason.RESTARTING])
def test_after_any_other_close_nothing_is_relayed(reason: CloseReason) -> None:
    world = World()
    phone, desktop = world.phone(), world.desktop()
    desktop.connection.close(reason)
    phone.heard()
    desktop.say("agent:response")
    assert phone.heard() == []


def test_a_log_line_says_which_desktop_and_whose(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "hub.connection")
    World().desktop().hang_up()
    connected, closed = caplog.records
    assert (vars(connected)["desktop_id"], vars(connected)["user_id"]) == ("d1", "u1")
    assert (vars(closed)["code"], vars(closed)["reason"]) == (1000, "closed")


# -- acks ----------------------------------------------------------------------------------------------------------


def test_a_desktop_that_did_not_ask_for_acks_may_not_send_one() -> None:
    world = World()
    phone, desktop = world.phone(), world.desktop()
    phone.say("user:message", {"desktop_id": "d1"}, message_id="m")
    desktop.heard()
    phone.heard()
    desktop.say("ack", {"message_id": "m"}, message_id="a")
    [error] = desktop.heard()
    assert (error["payload"]["code"], error["payload"]["message_id"]) == ("type_not_allowed", "a")
    assert phone.heard() == []
    assert world.tallies.outcomes == {("ack", "type_not_allowed"): 1}


def test_acks_nobody_asked_for_are_bad_messages() -> None:
    world = World(Policy(rate=None))
    desktop = world.desktop()
    for _ in range(61):
        desktop.say("ack", {"message_id": "m"})
    assert desktop.closed() is CloseReason.PROTOCOL_ABUSE


def test_an_ack_is_counted_and_not_answered() -> None:
    world = World()
    phone, desktop = world.phone(), world.desktop(acks=True)
    phone.say("user:message", {"desktop_id": "d1"}, message_id="m")
    desktop.heard()
    desktop.say("ack", {"message_id": "m"})
    assert desktop.heard() == []
    assert world.tallies.outcomes == {("ack", "accepted"): 1}


def test_an_ack_that_names_no_message_is_a_bad_payload() -> None:
    world = World()
    desktop = world.desktop(acks=True)
    desktop.say("ack", message_id="a")
    [error] = desktop.heard()
    assert (error["payload"]["code"], error["payload"]["message_id"]) == ("bad_payload", "a")
    assert world.tallies.outcomes == {("ack", "bad_payload"): 1}


# -- durable messages faster than they are written down ------------------------------------------------------------


def test_a_desktop_waits_while_the_journal_is_crowded_and_goes_on_when_there_is_room() -> None:
    world = World()
    phone, desktop = world.phone(), world.desktop()
    world.journal.crowded = True
    held = []
    for kind in ("agent:stream", "agent:response", "agent:response"):  # The last one was read before the pause.
        desktop.say(kind)
        held.append(desktop.socket.held)
    world.journal.relieve()
    world.scheduler.settle()
    held.append(desktop.socket.held)
    assert held == [False, True, True, False], "only what is durable has to be written down"
    assert [message["type"] for message in phone.heard()][-3:] == ["agent:stream", "agent:response", "agent:response"]


def test_silence_while_it_waits_is_not_held_against_a_desktop() -> None:
    world = World(Policy(heartbeat_timeout_s=60))
    desktop = world.desktop()
    world.journal.crowded = True
    desktop.say("agent:response")
    world.advance(59)
    world.journal.relieve()
    world.advance(30)
    assert desktop.closed() is None


def test_a_message_too_large_to_be_kept_is_counted_all_the_same() -> None:
    world = World(Policy(ring_bytes=1024))
    phone, desktop = world.phone(), world.desktop()
    phone.heard()
    for text in ("small", "x" * 5000, "small", "small"):
        desktop.say("agent:response", {"text": text})
    assert [message["offset"] for message in phone.heard()] == ["1-1", "1-2", "1-3", "1-4"]
