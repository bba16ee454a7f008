from actors.ids import DesktopId, UserId
from hub.journal import keys
from tests.support.journal import STATE, STREAM


def test_all_keys_of_a_user_share_a_slot() -> None:
    assert keys.stream(UserId("u1"), DesktopId("d1")) == STREAM
    assert keys.state(UserId("u1"), DesktopId("d1")) == STATE
