import pytest

from actors.ids import DesktopId, UserId
from hub.presence.answers import StreamEntry
from hub.presence.owed import Debt, owed_entries


def debt(text: bytes, desktop: str = "d") -> Debt:
    return Debt(UserId("u"), DesktopId(desktop), text)


def test_what_is_owed_of_all_comes_in_the_order_of_deciding() -> None:
    entries = owed_entries([debt(b"online 7 100 5 \noffline 7 300 6 lost\n"), debt(b"online 8 200 5 \n", "e")])
    assert [each.entry for each in entries] == [
        StreamEntry(DesktopId("d"), UserId("u"), "online", "", 5),
        StreamEntry(DesktopId("e"), UserId("u"), "online", "", 5),
        StreamEntry(DesktopId("d"), UserId("u"), "offline", "lost", 6),
    ]
    assert [each.stamp for each in entries] == [100, 200, 300]


def test_no_two_entries_share_a_name() -> None:
    entries = owed_entries([debt(b"online 7 1 5 \nonline 8 1 5 \noffline 7 1 5 lost\n"), debt(b"online 7 1 5 \n", "e")])
    assert len({each.name for each in entries}) == 4


@pytest.mark.parametrize("line", [b"", b"online", b"away 1 1 1 ", b"online 1 x 1 ", b"online 1 1 x ", b"\xff"])
def test_a_damaged_line_is_passed_over(line: bytes) -> None:
    assert [each.stamp for each in debt(line + b"\nonline 7 100 5 \n").entries()] == [100]
