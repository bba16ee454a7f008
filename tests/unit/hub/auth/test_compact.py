import string
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.auth.compact import TOKEN_CHARS, take_apart
from hub.auth.refusal import TokenRefused
from tests.unit.hub.auth.support import segment

HEADER = segment({"alg": "HS256"})


def test_the_parts_come_apart_unverified() -> None:
    header = segment({"alg": "ES256", "kid": "k1", "typ": "JWT"})
    parts = take_apart(f"{header}.{segment({'sub': 'x'})}.{segment(b'signature')}")
    assert parts.signed == f"{header}.{segment({'sub': 'x'})}".encode()
    assert (parts.algorithm, parts.kid) == ("ES256", "k1")
    assert (parts.claims, parts.signature) == (b'{"sub": "x"}', b"signature")


def test_a_token_may_name_no_key() -> None:
    assert take_apart(f"{HEADER}.AA.AA").kid is None


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a",
        "a.b",
        f"{HEADER}.AA.",
        f"{HEADER}..AA",
        f"{HEADER}.AA.AA.AA.AA",
        f"{HEADER}.AA.AA\n",
        f" {HEADER}.AA.AA",
        f"{HEADER}.AA.AA==",
        f"{HEADER}.A+.AA",
        f"{HEADER}.A.AA",
        f"{HEADER}.AA.AB",
        f"{HEADER}.\u0661\u0661.AA",
        f"{HEADER}.{'A' * TOKEN_CHARS}.AA",
    ],
)
def test_what_isnt_in_compact_form_is_refused(token: str) -> None:
    with pytest.raises(TokenRefused) as caught:
        take_apart(token)
    assert (caught.value.code, caught.value.status) == ("token_invalid", 401)


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"alg": None},
        {"alg": ["HS256"]},
        {"alg": "HS256", "kid": 7},
        {"alg": "HS256", "kid": None},
        {"alg": "HS256", "kid": ""},
        {"alg": "HS256", "kid": "../../dev/null"},
        {"alg": "HS256", "kid": "https://evil.example/k"},
        {"alg": "HS256", "kid": "x" * 129},
        {"alg": "HS256", "crit": ["b64"], "b64": False},
        {"alg": "HS256", "crit": None},
        ["alg", "HS256"],
        b"\xff\xff",
        b'{"alg":"\xff"}',
        b'{"alg":"HS256"',
        b"[" * 5000,
    ],
    ids=lambda header: str(header)[:40],
)
def test_a_header_that_isnt_one_is_refused(header: object) -> None:
    with pytest.raises(TokenRefused) as caught:
        take_apart(f"{segment(header)}.AA.AA")
    assert caught.value.code == "token_invalid"


@given(st.text(string.ascii_letters + string.digits + "._-=", max_size=300) | st.text(max_size=100))
def test_any_text_is_taken_apart_or_refused(text: str) -> None:
    with suppress(TokenRefused):
        take_apart(text)


@given(st.binary(max_size=200))
def test_any_header_is_taken_apart_or_refused(header: bytes) -> None:
    with suppress(TokenRefused):
        take_apart(f"{segment(header)}.AA.AA")
