"""One table from reason to close code; the codes are the contract's."""

import pytest

from actors.closing import CloseReason

CONTRACT = {
    "token_invalid": 4001,
    "forbidden": 4003,
    "superseded": 4005,
    "protocol_abuse": 4006,
    "connection_limit": 4007,
    "rate_limited": 4101,
    "slow_consumer": 4102,
    "heartbeat_timeout": 4103,
    "token_expired": 4201,
    "resync": 4202,
}
PRESENCE_REASONS = {"closed", "timeout", "lost", "superseded", "revoked"}


@pytest.mark.parametrize(("label", "code"), list(CONTRACT.items()))
def test_our_own_codes_have_the_contracts_names(label: str, code: int) -> None:
    assert [reason.code for reason in CloseReason if reason.label == label] == [code]


def test_there_is_no_other_code_of_our_own() -> None:
    assert {reason.label for reason in CloseReason if reason.code >= 4000} == set(CONTRACT)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (CloseReason.PEER_CLOSED, 1000),
        (CloseReason.NOT_UTF8, 1007),
        (CloseReason.TOO_BIG, 1009),
        (CloseReason.HUB_FAULT, 1011),
        (CloseReason.RESTARTING, 1012),
        (CloseReason.HUB_FULL, 1013),
    ],
)
def test_rfc_6455s_codes_are_used_where_one_fits(reason: CloseReason, code: int) -> None:
    assert reason.code == code


def test_every_code_and_every_label_means_one_thing() -> None:
    assert len({reason.code for reason in CloseReason}) == len(CloseReason)
    assert len({reason.label for reason in CloseReason}) == len(CloseReason)


@pytest.mark.parametrize("reason", list(CloseReason))
def test_a_reason_fits_a_close_frame_and_a_metric_label(reason: CloseReason) -> None:
    assert reason.label.isascii()
    assert len(reason.label) <= 123
    assert reason.label.replace("_", "").isalnum()


@pytest.mark.parametrize("reason", list(CloseReason))
def test_phones_are_told_one_of_the_contracts_reasons(reason: CloseReason) -> None:
    assert reason.value.presence in PRESENCE_REASONS


@pytest.mark.parametrize("reason", list(CloseReason))
def test_grace_runs_for_who_is_told_to_come_back_and_for_nobody_who_is_told_to_stop(reason: CloseReason) -> None:
    if 4000 <= reason.code < 4100:
        assert not reason.value.graced
    if reason in {CloseReason.LINK_LOST, CloseReason.TOKEN_EXPIRED, CloseReason.SLOW_CONSUMER}:
        assert reason.value.graced


def test_a_clean_close_and_two_minutes_of_silence_are_told_at_once() -> None:
    assert not CloseReason.PEER_CLOSED.value.graced
    assert not CloseReason.HEARTBEAT_TIMEOUT.value.graced
    assert not CloseReason.SUPERSEDED.value.graced
