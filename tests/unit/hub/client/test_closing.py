import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.closing import CloseReason
from hub.client.closing import LOST, Parting, Retry, RetryNow, Stop, advice, stop_text


@pytest.mark.parametrize("code", [4001, 4003, 4005, 4006, 4007, 4000, 4099])
def test_40xx_stop(code: int) -> None:
    assert advice(Parting(code)) == Stop(stop_text(code))


@pytest.mark.parametrize("code", [4101, 4102, 4103, 4100, 4199])
def test_41xx_come_back_with_back_off(code: int) -> None:
    assert advice(Parting(code)) == Retry(0.0)


@pytest.mark.parametrize("code", [4202, 4200, 4299])
def test_42xx_come_back_at_once(code: int) -> None:
    assert advice(Parting(code)) == RetryNow(new_token=False)


@pytest.mark.parametrize("code", [4201, 401, 403])
def test_a_token_is_mended_by_another_one(code: int) -> None:
    assert advice(Parting(code)) == RetryNow(new_token=True)


@pytest.mark.parametrize("code", [1000, 1001, 1002, LOST, 1007, 1009, 1011, 1012, 1013, 3000, 4300, 4999])
def test_the_rest_comes_back_with_back_off(code: int) -> None:
    assert advice(Parting(code)) == Retry(0.0)


@pytest.mark.parametrize("status", [400, 404, 429, 500, 502, 503])
def test_other_refusals_come_back(status: int) -> None:
    assert advice(Parting(status, retry_after_s=7.0)) == Retry(7.0)


@pytest.mark.parametrize(("asked", "waited"), [(None, 0.0), (0.0, 0.0), (12.5, 12.5), (-3.0, 0.0), (1e12, 3600.0)])
def test_what_the_hub_asks_for_is_kept_within_reason(asked: float | None, waited: float) -> None:
    assert advice(Parting(1012, retry_after_s=asked)) == Retry(waited)


@given(st.integers())
def test_every_code_has_an_answer(code: int) -> None:
    assert isinstance(advice(Parting(code)), Stop | Retry | RetryNow)
    assert Parting(code).name
    assert stop_text(code)


@pytest.mark.parametrize("reason", list(CloseReason))
def test_the_names_are_the_hubs_own(reason: CloseReason) -> None:
    if reason is not CloseReason.POLICY_VIOLATION:  # there the hub says which policy
        assert Parting(reason.code).name == reason.label


def test_an_unknown_code_is_called_what_the_hub_calls_it() -> None:
    assert Parting(4444, "novelty").name == "novelty"
    assert Parting(4444).name == "unknown"
