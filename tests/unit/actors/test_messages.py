"""What actors say to each other can't be changed on its way, and carries the contract's codes."""

from dataclasses import FrozenInstanceError, fields

import pytest

from actors.messages import (
    DesktopOffline,
    DesktopOnline,
    ErrorCode,
    Fault,
    Goodbye,
    HeartbeatAck,
    Welcome,
    WentOffline,
)
from tests.support.presence import make_record

ERROR_CODES = {
    "bad_envelope",
    "unknown_type",
    "type_not_allowed",
    "bad_payload",
    "desktop_not_found",
    "desktop_offline",
    "queue_full",
    "rate_limited",
    "unavailable",
    "token_invalid",
    "token_expired",
    "forbidden",
}
PAYLOADS: dict[type, str] = {
    Welcome: "connection_id node_id server_time heartbeat_ms timeout_ms max_bytes token_expires_at",
    HeartbeatAck: "server_time next_ms",
    DesktopOnline: "desktop_id name platform since last_seen",
    DesktopOffline: "desktop_id name platform last_seen reason",
    Goodbye: "reason retry_after_ms",
}


def test_the_error_codes_are_the_contracts() -> None:
    assert {code.value for code in ErrorCode} == ERROR_CODES


@pytest.mark.parametrize(("notice", "names"), list(PAYLOADS.items()))
def test_a_notices_fields_are_its_payloads_members(notice: type, names: str) -> None:
    assert [field.name for field in fields(notice)] == names.split()


def test_a_fault_names_no_message_and_no_time_unless_told() -> None:
    fault = Fault(ErrorCode.BAD_ENVELOPE, "what was wrong")
    assert (fault.message_id, fault.retry_after_ms) == (None, None)


def test_nobody_can_change_a_message_that_others_hold() -> None:
    fault = Fault(ErrorCode.BAD_ENVELOPE, "what was wrong")
    with pytest.raises(FrozenInstanceError):
        fault.text = "something else"  # type: ignore[misc]


def test_an_end_forgets_nobody_unless_told() -> None:
    assert not WentOffline(make_record(), "lost", 0).forget
