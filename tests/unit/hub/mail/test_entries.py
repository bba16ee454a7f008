"""What isn't whole is read as if it weren't there."""

import pytest

from actors.ids import DesktopId, DeviceId, UserId
from actors.mail import KeptReceipt, Letter, Receipt, Sender, Status
from actors.offsets import BEGINNING, Offset
from hub.mail import entries

U1, D1 = UserId("u1"), DesktopId("d1")
WHOLE = {b"k": b"m:1", b"f": b"{}", b"t": b"user:message", b"d": b"p1", b"p": b"print", b"v": b"17"}
KEPT = {b"desktop": b"d1", b"message_id": b"1", b"status": b"duplicate", b"latest": b"stored"}


def flat(fields: dict[bytes, bytes]) -> list[bytes]:
    return [word for pair in fields.items() for word in pair]


def test_a_whole_letter() -> None:
    expected = Letter(U1, D1, DeviceId("p1"), "user:message", "m:1", b"\x81\x02{}", "print", 17)
    assert entries.letter(U1, D1, flat(WHOLE)) == expected


def test_what_a_letter_may_lack() -> None:
    letter = entries.letter(U1, D1, flat(WHOLE | {b"d": b"", b"v": b""}))
    assert letter is not None
    assert (letter.device_id, letter.valid_until) == (None, None)


@pytest.mark.parametrize("name", WHOLE)
def test_a_letter_that_lacks_a_field_is_none(name: bytes) -> None:
    assert entries.letter(U1, D1, flat({each: WHOLE[each] for each in WHOLE if each != name})) is None


@pytest.mark.parametrize("damage", [{b"v": b"soon"}, {b"f": b"\xff"}, {b"k": b"\xff"}, {b"t": b"\xff"}])
def test_a_letter_with_a_damaged_field_is_none(damage: dict[bytes, bytes]) -> None:
    assert entries.letter(U1, D1, flat(WHOLE | damage)) is None


def test_a_whole_kept_receipt() -> None:
    expected = Receipt("1", D1, Status.DUPLICATE, Status.STORED)
    assert entries.kept((b"5-1", flat(KEPT))) == KeptReceipt(Offset(5, 1), expected)


@pytest.mark.parametrize("damage", [{b"status": b"lost"}, {b"latest": b"lost"}, {b"message_id": b"\xff"}])
def test_a_damaged_kept_receipt_is_none(damage: dict[bytes, bytes]) -> None:
    assert entries.kept((b"5-1", flat(KEPT | damage))) is None


def test_expired_letters_without_a_name_have_no_receipts() -> None:
    told = list(entries.expired(U1, D1, [b"m:1", b"p1", b"x:node/1", b"p1", b"m:2", b""]))
    assert told == [
        (Sender(U1, DeviceId("p1")), Receipt("1", D1, Status.EXPIRED)),
        (Sender(U1, None), Receipt("2", D1, Status.EXPIRED)),
    ]


@pytest.mark.parametrize(("text", "place"), [(b"5-1", Offset(5, 1)), (b"\xff", BEGINNING), (b"5", BEGINNING)])
def test_a_place(text: bytes, place: Offset) -> None:
    assert entries.place(text) == place
