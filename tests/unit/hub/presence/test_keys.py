"""The names are a contract with other services: they never change."""

from actors.ids import DesktopId, NodeId, UserId
from hub.presence import keys

U, D = UserId("u@x"), DesktopId("d:1")


def test_the_contract() -> None:
    assert keys.record(U, D) == "hub:{u@x}:desktop:d:1"
    assert keys.desktops(U) == "hub:{u@x}:desktops"
    assert keys.owner(D) == "hub:owner:d:1"
    assert keys.STREAM == "hub:presence"


def test_beside_the_contract() -> None:
    assert keys.known(U) == "hub:{u@x}:known"
    assert keys.ended(U, D) == "hub:{u@x}:ended:d:1"
    assert keys.mark(NodeId("n/1")) == "hub:mark:n/1"
    assert keys.owed(U) == "hub:{u@x}:owed"
    assert keys.user_of(keys.owed(U)) == U
    assert keys.TOLD == "hub:told:{hub:presence}"
