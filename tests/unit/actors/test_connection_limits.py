"""What a client may not do to the hub: talk nonsense, talk too much, read too little, or take others along."""

import logging

import pytest

from actors.closing import CloseReason
from actors.connection import MAX_FAULTS
from actors.ids import DesktopId
from actors.messages import CameOnline
from actors.offsets import Offset
from actors.policy import Policy
from tests.support.actors import PlainCodec
from tests.support.peers import Peer, World

UNLIMITED = Policy(rate=None)


def codes(peer: Peer) -> list[str]:
    return [message["payload"]["code"] for message in peer.heard() if message["type"] == "Fault"]


# -- bad messages --------------------------------------------------------------------------------------------------


def test_a_bad_message_is_answered_counted_and_ends_nothing() -> None:
    world = World()
    phone = world.phone()
    phone.say_text("nonsense")
    assert codes(phone) == ["bad_envelope"]
    assert phone.closed() is None
    assert world.tallies.outcomes == {("-", "bad_envelope"): 1}


def test_a_binary_message_is_answered_like_any_bad_one() -> None:
    world = World()
    phone = world.phone()
    phone.connection.receive_binary(b"{}")
    world.scheduler.settle()
    assert codes(phone) == ["bad_envelope"]


def test_60_bad_messages_within_10_seconds_are_borne_and_one_more_ends_it_with_4006() -> None:
    world = World(UNLIMITED)
    phone = world.phone()
    for _ in range(60):
        phone.say_text("nonsense")
    assert phone.closed() is None
    phone.say_text("nonsense")
    assert phone.closed() is CloseReason.PROTOCOL_ABUSE
    assert len(codes(phone)) == 61


def test_60_bad_messages_every_ten_seconds_are_borne_for_ever() -> None:
    world = World(UNLIMITED)
    phone = world.phone()
    for _ in range(5):
        for _ in range(60):
            phone.say_text("nonsense")
        world.advance(10.001)
    assert phone.closed() is None


def test_61_bad_messages_spread_over_almost_ten_seconds_are_too_many() -> None:
    world = World(UNLIMITED)
    phone = world.phone()
    for _ in range(61):
        assert phone.closed() is None
        phone.say_text("nonsense")
        world.advance(9.9 / 60)
    assert phone.closed() is CloseReason.PROTOCOL_ABUSE


def test_bad_messages_of_every_kind_count_together() -> None:
    world = World(UNLIMITED)
    phone = world.phone()
    for _ in range(20):
        phone.say_text("nonsense")
        phone.say("no:such:type")
        phone.say("agent:stream")
    phone.connection.receive_binary(b"x")
    assert phone.closed() is CloseReason.PROTOCOL_ABUSE


def test_good_messages_are_no_abuse_however_many() -> None:
    world = World(UNLIMITED)
    phone = world.phone()
    for _ in range(500):
        phone.say("heartbeat")
    assert phone.closed() is None


# -- the rate ------------------------------------------------------------------------------------------------------


def test_over_the_rate_a_message_is_dropped_and_its_sender_told_when_to_send_it_again() -> None:
    world = World(Policy(rate=10, burst=2))
    desktop, phone = world.desktop(), world.phone()
    for n in range(3):
        desktop.say("agent:response", message_id=f"m{n}")
    assert [message["message_id"] for message in phone.heard()] == ["m0", "m1"]
    [error] = desktop.heard()
    assert error["payload"]["code"] == "rate_limited"
    assert error["payload"]["message_id"] == "m2"
    world.advance(error["payload"]["retry_after_ms"] / 1000)
    desktop.say("agent:response", message_id="m2")
    assert [message["message_id"] for message in phone.heard()] == ["m2"]


def test_bad_messages_are_rated_too_and_then_not_counted_as_abuse() -> None:
    world = World(Policy(rate=10, burst=10))
    phone = world.phone()
    for _ in range(MAX_FAULTS + 10):
        phone.say_text("nonsense")
    assert codes(phone) == ["bad_envelope"] * 10 + ["rate_limited"] * 60
    assert phone.closed() is None


def test_far_over_the_rate_a_connection_ends_with_4101() -> None:
    world = World(Policy(rate=10, burst=10))
    phone = world.phone()
    sent = 0
    while phone.closed() is None and sent < 1000:
        phone.say("heartbeat")
        sent += 1
    assert phone.closed() is CloseReason.RATE_LIMITED
    assert sent == 10 + 10 * 10 + 1


def test_who_is_a_little_over_the_rate_for_long_is_only_slowed_down() -> None:
    world = World(Policy(rate=10, burst=10))
    phone = world.phone()
    for _ in range(600):
        phone.say("heartbeat")
        world.advance(1 / 15)
    assert phone.closed() is None
    assert world.tallies.outcomes["heartbeat", "accepted"] == pytest.approx(410, abs=5)


def test_each_connection_has_a_rate_of_its_own() -> None:
    world = World(Policy(rate=10, burst=1))
    loud, quiet = world.phone(), world.phone()
    for _ in range(5):
        loud.say("heartbeat")
    quiet.say("heartbeat")
    assert quiet.heard_types() == ["HeartbeatAck"]


def test_the_rate_can_be_switched_off() -> None:
    world = World(UNLIMITED)
    phone = world.phone()
    for _ in range(10_000):
        phone.say("heartbeat")
    assert world.tallies.outcomes == {("heartbeat", "accepted"): 10_000}


# -- slow readers --------------------------------------------------------------------------------------------------


def test_frames_of_one_turn_leave_in_one_write() -> None:
    world = World()
    phone, desktop = world.phone(), world.desktop()
    phone.socket.batches.clear()
    world.turns.reading = True
    for n in range(3):
        desktop.connection.receive(f'{{"type":"agent:stream","payload":{{}},"timestamp":{n}}}')
    assert phone.socket.batches == []
    world.turns.run()
    assert [len(batch) for batch in phone.socket.batches] == [3]


def test_the_time_from_arrival_to_hand_over_is_counted_for_each_message() -> None:
    world = World()
    desktop = world.desktop()
    world.phone()
    before = sum(world.tallies.handover.buckets)
    for _ in range(3):
        desktop.connection.receive('{"type":"agent:stream","payload":{},"timestamp":1}')
    world.clock.passed_s += 0.75
    world.scheduler.settle()
    assert sum(world.tallies.handover.buckets) == before + 3
    assert world.tallies.handover.total_s == pytest.approx(3 * 0.75)


def test_nothing_is_written_while_the_peer_reads_too_slowly_and_all_of_it_when_it_reads_again() -> None:
    world = World()
    phone, desktop = world.phone(), world.desktop()
    phone.heard()
    stall(phone, 100)
    for n in range(3):
        desktop.say("agent:stream", message_id=f"m{n}")
    assert phone.heard() == []
    assert phone.connection.waiting[0] == 3
    assert phone.connection.waiting[1] > 0
    phone.socket.writable = True
    phone.connection.writable_again()
    assert [message["message_id"] for message in phone.heard()] == ["m0", "m1", "m2"]
    assert phone.connection.waiting == (0, 0)
    assert world.scheduler.pending == 2, "one alarm each, and none for the stall"


def stall(peer: Peer, unsent: int) -> None:
    peer.socket.writable = False
    peer.socket.unsent_bytes = unsent
    peer.connection.write_stalled()


@pytest.mark.parametrize("policy", [Policy(inbox_frames=16), Policy(inbox_bytes=2000)])
def test_a_full_inbox_ends_its_connection_with_4102_and_nobody_elses(policy: Policy) -> None:
    world = World(policy)
    slow, quick, desktop = world.phone(), world.phone(), world.desktop()
    quick.heard()
    stall(slow, 100)
    for _ in range(30):
        desktop.say("agent:response", {"text": "x" * 60})
    assert slow.closed() is CloseReason.SLOW_CONSUMER
    assert quick.closed() is None
    assert len(quick.heard()) == 30


def test_a_peer_that_takes_nothing_for_five_seconds_is_closed_with_4102_and_a_short_deadline() -> None:
    world = World()
    phone = world.phone()
    written = len(phone.socket.batches)
    stall(phone, 100)
    world.advance(4.9)
    assert phone.closed() is None
    world.advance(0.1)
    assert phone.closed() is CloseReason.SLOW_CONSUMER
    assert phone.socket.deadlines == [1.0]
    assert len(phone.socket.batches) == written


def test_a_peer_that_takes_a_little_is_given_time_again() -> None:
    world = World()
    phone = world.phone()
    stall(phone, 100)
    for left in (90, 80, 70):
        world.advance(4.9)
        phone.socket.unsent_bytes = left
        world.advance(0.1)
        assert phone.closed() is None
    world.advance(5)
    assert phone.closed() is CloseReason.SLOW_CONSUMER


def test_a_peer_that_takes_a_little_at_a_time_lives() -> None:
    world = World()
    phone = world.phone()
    stall(phone, 1000)
    for left in range(999, 959, -1):
        phone.socket.unsent_bytes = left
        world.advance(5)
    assert phone.closed() is None
    phone.socket.writable = True
    phone.connection.writable_again()
    world.advance(119)
    assert phone.closed() is None
    world.advance(1)
    assert phone.closed() is CloseReason.HEARTBEAT_TIMEOUT


def test_what_waits_goes_out_before_the_close_frame() -> None:
    world = World()
    phone, desktop = world.phone(), world.desktop()
    phone.heard()
    desktop.connection.receive('{"type":"agent:stream","payload":{},"timestamp":1}')
    phone.connection.close(CloseReason.RESTARTING)
    assert phone.heard_types() == ["agent:stream"]


def test_nothing_more_is_written_to_a_peer_that_does_not_read() -> None:
    world = World(Policy(inbox_frames=1))
    phone = world.phone()
    desktop = world.desktop()
    phone.heard()
    stall(phone, 1)
    desktop.say("agent:stream")
    desktop.say("agent:stream")
    assert phone.closed() is CloseReason.SLOW_CONSUMER
    assert phone.heard() == []


# -- bugs ----------------------------------------------------------------------------------------------------------


def test_a_connection_that_fails_in_its_turn_is_closed_with_1011_and_nobody_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    broken, fine, desktop = world.phone(), world.phone(), world.desktop()
    fine.heard()
    broken.socket.broken = True
    with caplog.at_level(logging.ERROR):
        desktop.say("agent:stream")
    assert broken.closed() is CloseReason.HUB_FAULT
    assert fine.heard_types() == ["agent:stream"]
    assert (fine.closed(), desktop.closed()) == (None, None)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    desktop.say("agent:stream")
    assert fine.heard_types() == ["agent:stream"], "the registry is whole: the broken one is out of it"
    assert world.tallies.relayed["agent:stream"] == 3


def test_a_connection_whose_alarm_fails_is_closed_with_1011(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    phone, other = world.phone(), world.phone()

    def fail() -> None:
        raise RuntimeError("injected: pinging fails")

    monkeypatch.setattr(phone.socket, "ping", fail)
    world.advance(25)
    assert phone.closed() is CloseReason.HUB_FAULT
    assert other.closed() is None
    assert [record.levelname for record in caplog.records if record.levelno >= logging.ERROR] == ["ERROR"]
    assert "c1" in caplog.records[-1].getMessage() or "c1" in caplog.text


def test_a_connection_whose_leaving_fails_is_closed_all_the_same(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    old = world.desktop()

    def fail(*_: object) -> None:
        raise RuntimeError("injected: parting fails")

    monkeypatch.setattr(type(old.connection), "_part", fail)
    new = world.desktop()
    assert old.closed() is CloseReason.SUPERSEDED
    assert new.closed() is None
    assert [record.levelname for record in caplog.records if record.levelno >= logging.ERROR] == ["ERROR"]


class NoPresence(PlainCodec):
    """Fails where a desktop's coming is told, after it was entered."""

    def notice(self, notice: object, offset: Offset | None = None) -> bytes:
        if type(notice).__name__ == "DesktopOnline":
            raise RuntimeError("injected: encoding fails")
        return super().notice(notice, offset)  # type: ignore[arg-type]


def test_a_desktop_that_fails_while_it_joins_is_not_left_in_the_registry() -> None:
    world = World(Policy(offline_grace_s=0), codec=NoPresence())
    phone = world.phone()
    desktop = world.desktop_peer()
    with pytest.raises(RuntimeError, match="injected"):
        desktop.open()
    desktop.lose_link()
    assert list(world.supervisor.present_records()) == []
    assert world.supervisor.open_routes() == [phone.connection]
    phone.say("user:message", {"desktop_id": "d1"}, message_id="m")
    assert [message["payload"].get("status") for message in phone.heard()][-1] == "stored"
    assert desktop.heard() == [], "nothing is handed to a connection that never joined"


def test_a_records_desktop_is_the_one_that_came() -> None:
    world = World()
    world.desktop()
    [change] = world.mirror.changes
    assert isinstance(change, CameOnline)
    assert change.record.desktop_id == DesktopId("d1")
