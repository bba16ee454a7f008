"""What Redis answers to a read is told in the actors' words, whatever it is."""

import pytest
from redis.exceptions import ResponseError

from actors.journal import JournalPage, Opening, Written
from actors.offsets import BEGINNING, Offset
from hub.journal.pages import NOTHING_KNOWN, read_epoch, read_page
from tests.support.journal import frame


def test_a_page() -> None:
    reply = [b"5-2", 1, [[b"5-0", b"0-0"], [b"5-1", b"hi"], [b"6-0", b""], [b"7-0", b"6-3"]]]
    entries = (
        Opening(Offset(5, 0), BEGINNING),
        Written(Offset(5, 1), frame("hi")),
        Opening(Offset(6, 0), None),
        Opening(Offset(7, 0), Offset(6, 3)),
    )
    assert read_page(reply) == JournalPage(entries, more=True, head=Offset(5, 2))


@pytest.mark.parametrize("damaged", [b"", b"nonsense", b"5", b"5-", b"\xff-1", b"99999999999999999999-1"])
def test_an_offset_that_is_none_is_not_known(damaged: bytes) -> None:
    page = read_page([damaged, 0, [[b"5-0", damaged]]])
    assert page == JournalPage((Opening(Offset(5, 0), None),), more=False, head=None)


def test_of_a_key_of_a_wrong_type_nothing_is_known() -> None:
    assert read_page(ResponseError("WRONGTYPE")) is NOTHING_KNOWN


def test_a_write_that_was_refused_names_the_newer_epoch() -> None:
    assert read_epoch(b"1795422015050000") == 1_795_422_015_050_000
    assert read_epoch(None) is None
