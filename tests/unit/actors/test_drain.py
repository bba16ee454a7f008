"""Leaving without loss: goodbye to all, everything still relayed, the desktops closed, then the phones."""

from collections.abc import Iterator
from itertools import cycle

import pytest

from actors.closing import CloseReason
from actors.drain import BATCH, DESKTOPS_S, HURRIED_S, LINGER_S, POLL_S, Drain
from actors.policy import Policy
from tests.support.peers import Peer, World

SHARES = (0.0, 0.25, 0.5, 0.999)
RESTARTING = CloseReason.RESTARTING


class Draining:
    """A world that drains; `done` says whether it told that it is."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.world = World(policy)
        self.done: list[float] = []
        self._shares: Iterator[float] = cycle(SHARES)
        self.drain = Drain(
            self.world.supervisor,
            self.world.scheduler,
            spread_s=20.0,
            close_deadline_s=3.0,
            share=lambda: next(self._shares),
            done=lambda: self.done.append(self.world.clock.passed_s),
        )

    def start(self) -> None:
        self.drain.start()
        self.world.scheduler.settle()


def goodbyes(peer: Peer) -> list[int]:
    return [message["payload"]["retry_after_ms"] for message in peer.heard() if message["type"] == "Goodbye"]


def test_everybody_is_told_goodbye_with_a_time_of_their_own() -> None:
    draining = Draining()
    peers = [draining.world.phone(), draining.world.desktop(), draining.world.phone("u2"), draining.world.phone("u3")]
    draining.start()
    assert [goodbyes(peer) for peer in peers] == [[0], [5000], [10_000], [19_980]]
    assert [peer.closed() for peer in peers] == [None] * 4


def test_for_a_moment_both_directions_are_still_relayed() -> None:
    draining = Draining()
    desktop, phone = draining.world.desktop(), draining.world.phone()
    draining.start()
    desktop.heard()
    phone.heard()
    draining.world.advance(LINGER_S * 0.9)
    desktop.say("agent:response")
    phone.say("user:message", {"desktop_id": "d1"})
    assert (desktop.heard_types(), phone.heard_types()) == (["user:message"], ["agent:response"])


def test_the_desktops_are_closed_first() -> None:
    draining = Draining()
    desktop, phone = draining.world.desktop(), draining.world.phone()
    draining.start()
    draining.world.advance(LINGER_S)
    assert (desktop.closed(), phone.closed()) == (RESTARTING, None)
    assert desktop.socket.deadlines == [3.0]


def test_what_a_desktop_sends_before_it_sees_the_close_still_reaches_phones() -> None:
    draining = Draining()
    desktop, phone = draining.world.desktop(), draining.world.phone()
    draining.start()
    draining.world.advance(LINGER_S)
    phone.heard()
    for n in range(3):
        desktop.say("agent:stream", message_id=str(n))
    assert [message["message_id"] for message in phone.heard()] == ["0", "1", "2"]
    assert phone.closed() is None


def test_the_phones_are_closed_when_the_last_desktop_is_gone() -> None:
    draining = Draining()
    first, second, phone = draining.world.desktop("d1"), draining.world.desktop("d2"), draining.world.phone()
    draining.start()
    draining.world.advance(LINGER_S)
    first.lose_link()
    draining.world.advance(0.5)
    assert phone.closed() is None
    second.lose_link()
    draining.world.advance(POLL_S)
    assert phone.closed() is RESTARTING


def test_the_phones_are_closed_when_the_desktops_time_is_up() -> None:
    draining = Draining()
    draining.world.desktop()
    phone = draining.world.phone()
    draining.start()
    draining.world.advance(LINGER_S + DESKTOPS_S - 2 * POLL_S)
    assert phone.closed() is None
    draining.world.advance(4 * POLL_S)
    assert phone.closed() is RESTARTING


def test_phones_see_a_drained_desktop_go_offline_at_once() -> None:
    draining = Draining()
    draining.world.desktop()
    phone = draining.world.phone()
    draining.start()
    phone.heard()
    draining.world.advance(LINGER_S)
    [gone] = phone.heard()
    assert (gone["type"], gone["payload"]["reason"]) == ("DesktopOffline", "closed")


def test_it_is_done_once_when_no_socket_is_open_any_more() -> None:
    draining = Draining()
    desktop, phone = draining.world.desktop(), draining.world.phone()
    draining.start()
    draining.world.advance(LINGER_S)
    desktop.lose_link()
    draining.world.advance(1)
    assert draining.done == []
    phone.lose_link()
    draining.world.advance(10)
    assert len(draining.done) == 1
    assert draining.world.scheduler.pending == 0


def test_a_hub_without_clients_is_done_after_its_moment() -> None:
    draining = Draining()
    draining.start()
    draining.world.advance(10)
    assert draining.done == [pytest.approx(LINGER_S)]


@pytest.mark.parametrize("after_s", [0.0, LINGER_S / 2, LINGER_S + 0.1, LINGER_S + DESKTOPS_S + 0.1])
def test_hurrying_closes_everybody_at_once_with_little_time_whenever_it_comes(after_s: float) -> None:
    draining = Draining()
    peers = [draining.world.desktop(), draining.world.phone()]
    draining.start()
    draining.world.advance(after_s)
    draining.drain.hurry()
    draining.drain.hurry()
    assert [peer.closed() for peer in peers] == [RESTARTING] * 2
    assert [peer.socket.deadlines[-1] for peer in peers] == [HURRIED_S] * 2
    for peer in peers:
        peer.lose_link()
    draining.world.advance(10)
    assert len(draining.done) == 1


def test_the_loop_has_a_turn_after_each_batch() -> None:
    draining = Draining(Policy(max_mobiles=10_000))
    phones = [draining.world.phone() for _ in range(BATCH + 1)]
    draining.start()
    told = [phone for phone in phones if goodbyes(phone)]
    assert len(told) == BATCH
    draining.world.advance(0.0)
    assert goodbyes(phones[-1])


def test_a_client_that_leaves_between_two_batches_is_harmless() -> None:
    draining = Draining(Policy(max_mobiles=10_000))
    phones = [draining.world.phone() for _ in range(BATCH + 1)]
    draining.start()
    phones[-1].hang_up()
    draining.world.advance(LINGER_S)
    assert all(phone.closed() is RESTARTING for phone in phones[:BATCH])
    for phone in phones[:BATCH]:
        phone.lose_link()
    draining.world.advance(1)
    assert len(draining.done) == 1


def test_whoever_comes_while_it_drains_is_closed_with_the_others() -> None:
    draining = Draining()
    draining.start()
    late = draining.world.phone()
    draining.world.advance(LINGER_S)
    assert late.closed() is RESTARTING


def test_a_clients_share_of_the_spread_is_within_it() -> None:
    draining = Draining()
    shares = [draining.drain.retry_after_s() for _ in range(8)]
    assert shares == [pytest.approx(20 * share) for share in SHARES] * 2
