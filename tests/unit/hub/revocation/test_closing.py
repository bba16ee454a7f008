"""Which connections a revocation closes, and what phones are shown."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from actors.closing import CloseReason
from actors.messages import WentOffline
from hub.revocation.closing import close_revoked
from hub.revocation.known import KnownRevocations, Target
from tests.support.peers import Peer, World
from tests.unit.hub.revocation.support import DESKTOP, DEVICE, NOW_MS, TOKEN, USER, revocation


class Household:
    """Two users' desktops and phones. A peer's token has the peer's own name."""

    def __init__(self) -> None:
        self.world = World()
        self.known = KnownRevocations(self.world.clock)
        self.peers: dict[str, Peer] = {}
        self._come("laptop", self.world.desktop_peer("d1", "u1"))
        self._come("server", self.world.desktop_peer("d2", "u1"))
        self._come("phone", self.world.phone_peer("u1", device="phone"))
        self._come("tablet", self.world.phone_peer("u1", device="tablet"))
        self._come("browser", self.world.phone_peer("u1"))
        self._come("other desk", self.world.desktop_peer("d9", "u2"))
        self._come("other phone", self.world.phone_peer("u2", device="phone"))
        for peer in self.peers.values():
            peer.heard()

    def _come(self, name: str, peer: Peer) -> None:
        peer.connection.identity = replace(peer.connection.identity, token_id=name, issued_at=NOW_MS / 1000 - 1)
        self.peers[name] = peer
        peer.open()

    def revoke(self, *targets: Target) -> int:
        for target in targets:
            self.known.add(revocation(target))
        return close_revoked(self.world.supervisor, self.known, targets)

    def closed(self) -> set[str]:
        return {name for name, peer in self.peers.items() if peer.closed() is CloseReason.TOKEN_INVALID}


@pytest.fixture
def household() -> Iterator[Household]:
    household = Household()
    yield household
    others = {peer.closed() for peer in household.peers.values()} - {None, CloseReason.TOKEN_INVALID}
    assert not others


@pytest.mark.parametrize(
    ("target", "closed"),
    [
        (USER, {"laptop", "server", "phone", "tablet", "browser"}),
        (DESKTOP, {"laptop"}),
        (DEVICE, {"phone"}),
        (("jti", "browser"), {"browser"}),
        (("jti", "server"), {"server"}),
        (("user_id", "nobody"), set()),
        (("desktop_id", "nothing"), set()),
        (("device_id", "u1", "watch"), set()),
        (TOKEN, set()),
    ],
)
def test_what_is_named_is_closed_and_counted(household: Household, target: Target, closed: set[str]) -> None:
    assert household.revoke(target) == len(closed)
    assert household.closed() == closed


def test_several_at_once_are_closed_once_each(household: Household) -> None:
    assert household.revoke(DESKTOP, ("jti", "laptop"), DEVICE, USER) == 5
    assert household.revoke(USER, DESKTOP) == 0


def test_phones_see_a_revoked_desktop_offline_at_once(household: Household) -> None:
    household.revoke(DESKTOP)
    for phone in ("phone", "tablet", "browser"):
        [message] = household.peers[phone].heard()
        assert (message["type"], message["payload"]["desktop_id"]) == ("DesktopOffline", "d1")
        assert message["payload"]["reason"] == "revoked"
    assert household.peers["other phone"].heard() == []
    change = household.world.mirror.changes[-1]
    assert isinstance(change, WentOffline)
    assert change.reason == "revoked"


def test_a_connection_lives_by_its_newest_token(household: Household) -> None:
    phone = household.peers["phone"]
    phone.say("auth:refresh", {"token": "new"})
    household.world.auth.answer(replace(phone.connection.identity, token_id="newer", issued_at=NOW_MS / 1000))
    assert household.revoke(DEVICE, ("jti", "phone")) == 0
    assert household.revoke(("jti", "newer")) == 1


def test_a_desktop_that_is_gone_is_left_alone(household: Household) -> None:
    household.peers["laptop"].lose_link()
    assert household.revoke(DESKTOP) == 0
    household.world.advance(60)
    assert household.revoke(DESKTOP) == 0
