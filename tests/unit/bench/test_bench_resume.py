"""When a phone that comes back has got what it missed."""

from collections.abc import Iterator

import pytest

from tests.bench.frames import envelope
from tests.bench.lanes import MessagesLostError
from tests.bench.links import Link, LinkLostError
from tests.bench.resume import Places, Replays

WELCOME = envelope("welcome", {})
ONLINE = envelope("desktop:online", {"desktop_id": "d1"}, offset="1754000000000-3")
PIECE = envelope("agent:stream", {}, offset="1754000000000-4")


def resumed(*, complete: bool) -> bytes:
    return envelope("resumed", {"desktop_id": "d1", "complete": complete, "offset": "1754000000000-5"})


@pytest.fixture
def phone() -> Iterator[Link]:
    link = Link("mobile 1")
    yield link
    link.socket.close()


def test_a_phone_learns_where_its_desktop_stands(phone: Link) -> None:
    places = Places()
    assert not places(phone, [])
    assert not places(phone, [WELCOME])
    assert places(phone, [ONLINE])
    assert places.offsets == {"mobile 1": "1754000000000-3"}


def test_a_replay_is_whole_with_every_piece_and_the_word_for_it(phone: Link) -> None:
    replays = Replays(3)
    assert not replays(phone, [WELCOME, PIECE])
    assert not replays(phone, [ONLINE, PIECE])
    assert replays(phone, [PIECE, resumed(complete=True)])


def test_a_phone_may_come_back_again(phone: Link) -> None:
    replays = Replays(1)
    assert replays(phone, [PIECE, resumed(complete=True)])
    assert replays(phone, [PIECE, resumed(complete=True)])


@pytest.mark.parametrize(("pieces", "complete"), [(2, True), (4, True), (3, False)])
def test_a_replay_with_a_gap_or_too_much_ends_the_run(phone: Link, pieces: int, *, complete: bool) -> None:
    with pytest.raises(MessagesLostError, match=f"{pieces} of 3 replayed"):
        Replays(3)(phone, [*[PIECE] * pieces, resumed(complete=complete)])


def test_an_error_ends_the_run(phone: Link) -> None:
    with pytest.raises(LinkLostError, match="unavailable"):
        Replays(3)(phone, [envelope("error", {"code": "unavailable"})])
