import pytest

from hub.client.acks import Acks
from hub.client.message import Message


def question(message_id: str | None, kind: str = "user:message") -> Message:
    return Message(kind, {}, 1, message_id)


@pytest.mark.parametrize("kind", ["user:message", "session:create"])
def test_what_comes_again_is_not_given_again_acknowledged_or_not(kind: str) -> None:
    acks = Acks()
    assert acks.admits(question("q", kind))
    assert not acks.admits(question("q", kind))
    assert not acks.has("q")
    acks.note("q")
    assert not acks.admits(question("q", kind))
    assert acks.has("q")


def test_what_has_no_name_or_needs_no_acknowledging_is_always_given() -> None:
    acks = Acks()
    for message in (question(None), question("q", "error")):
        assert acks.admits(message)
        assert acks.admits(message)


def test_the_newest_thousand_are_remembered() -> None:
    acks = Acks()
    for number in range(1001):
        acks.admits(question(str(number)))
    assert not acks.admits(question("1"))
    assert acks.admits(question("0"))


def test_an_unknown_name_is_not_acknowledged() -> None:
    acks = Acks()
    acks.note("never seen")
    assert not acks.has("never seen")
