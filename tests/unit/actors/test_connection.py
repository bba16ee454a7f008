"""A connection's life by the clock: welcome, two minutes of silence, pings, tokens that run out, and how it ends."""

import pytest

from actors.closing import CloseReason
from actors.messages import ErrorCode, Fault
from actors.policy import Policy
from tests.support.actors import UPTIME_S, WALL_S
from tests.support.peers import Peer, World, mobile_identity

KINDS = ["desktop", "mobile"]


def connect(world: World, kind: str, lasts_s: float = 3600.0) -> Peer:
    """Connect somebody of u1."""
    return world.desktop(lasts_s=lasts_s) if kind == "desktop" else world.phone(lasts_s=lasts_s)


# -- welcome -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_welcome_comes_first_and_tells_the_rules(kind: str) -> None:
    world = World()
    world.desktop("other")
    peer = world.desktop_peer() if kind == "desktop" else world.phone_peer()
    peer.open()
    first = peer.heard()[0]
    assert first["type"] == "Welcome"
    assert first["payload"] == {
        "connection_id": peer.connection.connection_id,
        "node_id": "node/1",
        "server_time": WALL_S * 1000,
        "heartbeat_ms": 30_000,
        "timeout_ms": 120_000,
        "max_bytes": 1_048_576,
        "token_expires_at": (WALL_S + 3600) * 1000,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_too_many_is_welcomed_and_closed_with_4007(kind: str) -> None:
    world = World(Policy(max_desktops=1, max_mobiles=1))
    first = connect(world, kind)
    second = world.desktop_peer("d2") if kind == "desktop" else world.phone_peer()
    second.open()
    assert second.heard_types() == ["Welcome"]
    assert second.closed() is CloseReason.CONNECTION_LIMIT
    assert first.closed() is None
    assert world.tallies.closes == {(kind, "connection_limit"): 1}


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_connection_sets_no_alarm(kind: str) -> None:
    world = World(Policy(max_desktops=0, max_mobiles=0))
    peer = connect(world, kind)
    assert peer.closed() is CloseReason.CONNECTION_LIMIT
    assert world.scheduler.pending == 0


# -- the two-minute rules ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_120_seconds_of_silence_end_a_connection_with_4103(kind: str) -> None:
    world = World()
    peer = connect(world, kind)
    world.advance(119.9)
    assert peer.closed() is None
    world.advance(0.1)
    assert peer.closed() is CloseReason.HEARTBEAT_TIMEOUT
    assert world.tallies.closes[kind, "heartbeat_timeout"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_heartbeat_every_30_seconds_keeps_it_alive(kind: str) -> None:
    world = World()
    peer = connect(world, kind)
    for _ in range(20):
        world.advance(30)
        peer.say("heartbeat")
    assert peer.closed() is None
    world.advance(120)
    assert peer.closed() is CloseReason.HEARTBEAT_TIMEOUT


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frame", ["bad text", "binary", "pong"])
def test_any_frame_proves_life(kind: str, frame: str) -> None:
    world = World()
    peer = connect(world, kind)
    world.advance(119)
    if frame == "bad text":
        peer.say_text("{")
    elif frame == "binary":
        peer.connection.receive_binary(b"x")
    else:
        peer.connection.heard()
    world.advance(119)
    assert peer.closed() is None
    world.advance(1)
    assert peer.closed() is CloseReason.HEARTBEAT_TIMEOUT


def test_a_phone_is_pinged_every_25_seconds() -> None:
    world = World()
    phone = world.phone()
    world.advance(110)
    assert [at - UPTIME_S for at in phone.socket.pings] == [25, 50, 75, 100]


def test_a_desktop_is_not_pinged_since_it_speaks_by_itself() -> None:
    world = World()
    desktop = world.desktop()
    world.advance(119)
    assert desktop.socket.pings == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_heartbeat_is_answered_with_the_time_and_when_the_next_is_due(kind: str) -> None:
    world = World()
    peer = connect(world, kind)
    world.advance(7)
    peer.say("heartbeat")
    [ack] = peer.heard()
    assert ack == {"type": "HeartbeatAck", "payload": {"server_time": (WALL_S + 7) * 1000, "next_ms": 30_000}}
    assert world.tallies.outcomes["heartbeat", "accepted"] == 1


# -- tokens --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_that_runs_out_ends_the_connection_with_an_error_and_4201(kind: str) -> None:
    world = World()
    peer = connect(world, kind, lasts_s=60)
    world.advance(59.9)
    peer.heard()
    assert peer.closed() is None
    world.advance(0.1)
    assert peer.closed() is CloseReason.TOKEN_EXPIRED
    [error] = peer.heard()
    assert error["payload"]["code"] == "token_expired"


def test_a_connection_outlives_its_token_by_the_grace() -> None:
    world = World(Policy(token_grace_s=10))
    phone = world.phone(lasts_s=60)
    world.advance(69.9)
    assert phone.closed() is None
    world.advance(0.1)
    assert phone.closed() is CloseReason.TOKEN_EXPIRED


def test_a_token_that_has_run_out_already_is_told_so_at_once() -> None:
    phone = World().phone_peer(lasts_s=-1)
    phone.open()
    assert phone.heard_types() == ["Welcome", "Fault"]
    assert phone.closed() is CloseReason.TOKEN_EXPIRED


def test_a_new_token_lets_the_connection_live_on() -> None:
    world = World()
    phone = world.phone(lasts_s=60)
    world.advance(50)
    phone.say("auth:refresh", {"token": "new"})
    current, token, _ = world.auth.asked[0]
    assert (current, token) == (phone.connection.identity, "new")
    renewed = mobile_identity(lasts_s=110)
    world.auth.answer(renewed)
    assert phone.connection.identity is renewed
    world.advance(59)
    assert phone.closed() is None
    world.advance(1)
    assert phone.closed() is CloseReason.TOKEN_EXPIRED
    assert world.tallies.outcomes["auth:refresh", "accepted"] == 1


def test_a_bad_new_token_changes_nothing_and_is_answered() -> None:
    world = World()
    phone = world.phone(lasts_s=60)
    phone.say("auth:refresh", {"token": "bad"}, message_id="m")
    world.auth.answer(Fault(ErrorCode.TOKEN_INVALID, "no"))
    [error] = phone.heard()
    assert (error["payload"]["code"], error["payload"]["message_id"]) == ("token_invalid", "m")
    world.advance(60)
    assert phone.closed() is CloseReason.TOKEN_EXPIRED


def test_a_refresh_without_a_token_is_a_bad_payload_and_asks_nobody() -> None:
    world = World()
    phone = world.phone()
    phone.say("auth:refresh", message_id="m")
    [error] = phone.heard()
    assert (error["payload"]["code"], error["payload"]["message_id"]) == ("bad_payload", "m")
    assert world.auth.asked == []


@pytest.mark.parametrize("answer", [mobile_identity(), Fault(ErrorCode.FORBIDDEN, "no")])
def test_an_answer_that_comes_after_the_end_changes_nothing(answer: Fault) -> None:
    world = World()
    phone = world.phone()
    before = phone.connection.identity
    phone.say("auth:refresh", {"token": "new"})
    phone.connection.close(CloseReason.RESTARTING)
    world.auth.answer(answer)
    assert phone.connection.identity is before
    assert world.scheduler.pending == 0
    assert phone.heard() == []


def test_one_alarm_is_set_however_often_the_token_is_renewed() -> None:
    world = World()
    phone = world.phone()
    for _ in range(5):
        phone.say("auth:refresh", {"token": "new"})
        world.auth.answer(mobile_identity())
    assert world.scheduler.pending == 1


# -- the end -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("said", "code"), [("hang_up", "closed"), ("lose_link", "lost")])
def test_the_end_is_counted_once_and_leaves_no_alarm(kind: str, said: str, code: str) -> None:
    world = World(Policy(offline_grace_s=0))
    peer = connect(world, kind)
    getattr(peer, said)()
    assert world.tallies.closes == {(kind, code): 1}
    assert world.scheduler.pending == 0
    assert world.supervisor.open_count == 0


def test_a_connection_closes_once_and_says_why_it_is_ending() -> None:
    world = World()
    phone = world.phone()
    phone.connection.close(CloseReason.RESTARTING)
    phone.connection.close(CloseReason.HUB_FAULT)
    assert phone.connection.closing is CloseReason.RESTARTING
    assert phone.socket.deadlines == [Policy().close_deadline_s]
    phone.lose_link()
    assert world.tallies.closes == {("mobile", "restarting"): 1}


def test_a_closing_connection_is_hastened_by_a_new_deadline() -> None:
    phone = World().phone()
    phone.connection.close(CloseReason.RESTARTING, deadline_s=3)
    phone.connection.close(CloseReason.RESTARTING, deadline_s=0.5)
    assert phone.socket.deadlines == [3, 0.5]


def test_its_socket_counts_as_open_until_it_is_gone() -> None:
    world = World()
    phone = world.phone()
    phone.connection.close(CloseReason.RESTARTING)
    assert world.supervisor.open_count == 1
    phone.lose_link()
    assert world.supervisor.open_count == 0


def test_a_connection_that_is_closing_answers_no_message() -> None:
    world = World()
    phone = world.phone()
    phone.connection.close(CloseReason.RESTARTING)
    phone.say("heartbeat")
    phone.connection.receive_binary(b"x")
    assert phone.heard() == []
    assert not world.tallies.outcomes


def test_goodbye_tells_a_client_when_to_come_back() -> None:
    world = World()
    phone = world.phone()
    phone.connection.say_goodbye(1234)
    world.scheduler.settle()
    assert phone.heard() == [{"type": "Goodbye", "payload": {"reason": "restarting", "retry_after_ms": 1234}}]


@pytest.mark.parametrize("kind", KINDS)
def test_a_clients_goodbye_closes_its_connection_with_1000(kind: str) -> None:
    world = World()
    peer = connect(world, kind)
    peer.say("goodbye", {"reason": "sleeping"})
    assert peer.closed() is CloseReason.PEER_CLOSED
    assert world.tallies.outcomes["goodbye", "accepted"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_goodbye_without_a_reason_is_a_bad_payload_and_closes_nothing(kind: str) -> None:
    peer = connect(World(), kind)
    peer.say("goodbye")
    assert [error["payload"]["code"] for error in peer.heard()] == ["bad_payload"]
    assert peer.closed() is None


# -- what is done once it is written ---------------------------------------------------------------------------------


def watch(peer: Peer) -> list[tuple[bool, int]]:
    """Return where `after_write` will tell how it ended, and how many writes there were by then."""
    told: list[tuple[bool, int]] = []
    peer.connection.after_write(lambda written: told.append((written, len(peer.socket.batches))))
    return told


def offer(peer: Peer) -> None:
    peer.connection.offer(b"{}", peer.world.clock.monotonic())


@pytest.mark.parametrize("kind", KINDS)
def test_after_write_is_told_once_right_behind_the_write(kind: str) -> None:
    world = World()
    peer = connect(world, kind)
    before = len(peer.socket.batches)
    offer(peer)
    first, second = watch(peer), watch(peer)
    assert (first, second) == ([], [])
    world.scheduler.settle()
    offer(peer)
    world.scheduler.settle()
    peer.lose_link()
    assert first == second == [(True, before + 1)]


def test_after_write_waits_for_a_peer_that_does_not_read() -> None:
    world = World()
    phone = world.phone()
    phone.socket.writable = False
    offer(phone)
    told = watch(phone)
    world.advance(1)
    assert told == []
    phone.socket.writable = True
    phone.connection.writable_again()
    assert [written for written, _ in told] == [True]


@pytest.mark.parametrize("end", ["lose_link", "hang_up"])
def test_after_write_is_told_when_the_link_ends_before_the_write(end: str) -> None:
    phone = World().phone()
    offer(phone)
    told = watch(phone)
    getattr(phone, end)()
    assert [written for written, _ in told] == [False]


@pytest.mark.parametrize(
    ("reason", "written"),
    [(CloseReason.SUPERSEDED, True), (CloseReason.RESTARTING, True), (CloseReason.SLOW_CONSUMER, False)],
)
def test_after_write_is_told_at_a_close_whether_what_waited_went_out(reason: CloseReason, written: bool) -> None:
    phone = World().phone()
    before = len(phone.socket.batches)
    offer(phone)
    told = watch(phone)
    phone.connection.close(reason)
    assert told == [(written, before + written)]
    phone.lose_link()
    assert len(told) == 1


@pytest.mark.parametrize("end", ["lose_link", "hang_up", "close"])
def test_after_the_end_after_write_is_told_so_at_once(end: str) -> None:
    phone = World().phone()
    if end == "close":
        phone.connection.close(CloseReason.RESTARTING)
    else:
        getattr(phone, end)()
    assert [written for written, _ in watch(phone)] == [False]


def test_after_write_is_told_that_a_write_failed(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    phone = world.phone()
    phone.socket.broken = True
    offer(phone)
    told = watch(phone)
    world.scheduler.settle()
    assert [written for written, _ in told] == [False]
    assert phone.closed() is CloseReason.HUB_FAULT
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_what_is_asked_for_while_others_are_told_is_told_after_the_next_write() -> None:
    world = World()
    phone = world.phone()
    offer(phone)
    before = len(phone.socket.batches)
    told: list[tuple[bool, int]] = []

    def go_on(_written: bool) -> None:
        offer(phone)
        phone.connection.after_write(lambda written: told.append((written, len(phone.socket.batches))))

    phone.connection.after_write(go_on)
    world.scheduler.settle()
    assert told == [(True, before + 2)]
