"""Names can't be forged: whatever ids look like, different mail has different keys."""

from actors.ids import DesktopId, DeviceId, UserId
from hub.mail import keys

U1, D1 = UserId("u:1"), DesktopId("d1:kept:")


def test_all_keys_of_a_user_share_a_slot() -> None:
    names = [keys.mailbox(U1, D1), keys.receipts(U1, D1), keys.remembered(U1, D1), keys.kept(U1, None)]
    names.append(keys.pace(U1))
    assert {name[name.index("{") + 1 : name.index("}")] for name in names} == {U1}
    assert len(set(names)) == 5


def test_phones_without_a_device_are_no_device() -> None:
    assert keys.kept(U1, None) == "hub:{u:1}:kept:"
    assert keys.kept(U1, DeviceId(":")) == "hub:{u:1}:kept::"


def test_the_index_names_a_mailbox() -> None:
    assert keys.mailbox_of(keys.member(U1, D1)) == (U1, D1)
