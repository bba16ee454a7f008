import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.auth.claims import ClaimRules, TokenKind, read_claims
from hub.auth.refusal import TokenRefused
from tests.unit.hub.auth.support import NOW_S, desktop_claims

RULES = ClaimRules(issuer=None, require_jti=False, leeway_s=10)


def _check(rules: ClaimRules = RULES, now_s: float = NOW_S, /, **changes: object) -> None:
    rules.check(read_claims(json.dumps(desktop_claims(**changes)).encode()), TokenKind.DESKTOP, now_s)


def _refusal(rules: ClaimRules = RULES, now_s: float = NOW_S, /, **changes: object) -> TokenRefused:
    with pytest.raises(TokenRefused) as caught:
        _check(rules, now_s, **changes)
    return caught.value


@pytest.mark.parametrize("missing", ["sub", "aud", "exp", "iat"])
def test_the_required_claims_are_required(missing: str) -> None:
    refused = _refusal(**{missing: None})
    assert refused.code == "token_invalid"
    assert missing in refused.text


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("time", [True, "1900000000", [NOW_S], {}, float("inf"), float("nan")], ids=str)
def test_a_time_is_a_number(claim: str, time: Any) -> None:
    assert _refusal(**{claim: time}).code == "token_invalid"


@pytest.mark.parametrize("exp", [0, -1, 253_402_300_800, 1e308, 10**400], ids=lambda exp: str(exp)[:20])
def test_exp_is_a_time_that_calendars_know(exp: float) -> None:
    assert _refusal(exp=exp).code == "token_invalid"


def test_a_token_lives_until_exp_and_the_leeway_are_over() -> None:
    _check(RULES, NOW_S + 9.999, exp=NOW_S)
    assert _refusal(RULES, NOW_S + 10, exp=NOW_S).code == "token_expired"


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_a_token_from_the_future_waits_but_for_the_leeway(claim: str) -> None:
    _check(**{claim: NOW_S + 10})
    assert _refusal(**{claim: NOW_S + 10.001}).code == "token_invalid"


@pytest.mark.parametrize("aud", ["desktop", ["desktop"]], ids=str)
def test_the_audience_is_the_kind(aud: Any) -> None:
    _check(aud=aud)


@pytest.mark.parametrize("aud", ["mobile", ["mobile"], "internal", "Desktop", "desktop ", ""], ids=str)
def test_another_kind_is_forbidden(aud: Any) -> None:
    refused = _refusal(aud=aud)
    assert (refused.code, refused.status) == ("forbidden", 403)


def test_another_kind_is_forbidden_even_when_it_expired() -> None:
    assert _refusal(aud="mobile", exp=1).code == "forbidden"


@pytest.mark.parametrize("aud", [[], ["desktop", "mobile"], ["desktop", "desktop"], 7, [7], {}, True], ids=str)
def test_an_audience_that_names_no_single_kind_is_invalid(aud: Any) -> None:
    assert _refusal(aud=aud).code == "token_invalid"


def test_the_issuer_is_checked_when_configured() -> None:
    rules = ClaimRules(issuer="https://id.example", require_jti=False, leeway_s=10)
    _check(rules, iss="https://id.example")
    for other in (None, "https://id.example/", ["https://id.example"], 7):
        assert _refusal(rules, iss=other).code == "token_invalid"
    _check(iss="anybody")


def test_a_jti_is_demanded_when_configured() -> None:
    rules = ClaimRules(issuer=None, require_jti=True, leeway_s=10)
    _check(rules, jti="7c1f")
    for bad in (None, "", 7, "x" * 257):
        assert _refusal(rules, jti=bad).code == "token_invalid"
    _check(jti=7)


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"{", b"\xff", b'{"sub":"\xff"}', b'{"x":' * 5000], ids=repr)
def test_claims_are_a_json_object(text: bytes) -> None:
    with pytest.raises(TokenRefused) as caught:
        read_claims(text)
    assert caught.value.code == "token_invalid"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["sub", "aud", "exp", "iat", "nbf", "iss", "jti", "user_id", "name"]), _json))
def test_any_claims_pass_or_are_refused(changes: dict[str, Any]) -> None:
    with suppress(TokenRefused):
        _check(ClaimRules("https://id.example", require_jti=True, leeway_s=10), **changes)


def test_a_refusal_never_quotes_a_value() -> None:
    for claim in ("sub", "exp", "iat", "user_id", "name"):
        assert "c4nary" not in _refusal(**{claim: ["c4nary"]}).text
    assert "c4nary" not in _refusal(aud="c4nary").text
