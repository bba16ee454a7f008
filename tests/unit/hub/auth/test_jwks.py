import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from hub.auth.jwks import JwksError, read_jwks
from tests.unit.hub.auth.support import KeyPair, ec_pair, ed_pair, jwks, rsa_pair, segment

GOOD = ec_pair("good")


@pytest.mark.parametrize("pair", [rsa_pair("k"), ec_pair("k"), ed_pair("k")], ids=["RSA", "P-256", "Ed25519"])
def test_the_type_of_a_key_fixes_its_algorithm(pair: KeyPair) -> None:
    key = read_jwks(jwks(pair.jwk())).get("k")
    assert key is not None
    assert key.algorithm == pair.algorithm
    signed, _, signature = pair.sign({}).rpartition(".")
    assert key.verifies(signed.encode(), jwt.utils.base64url_decode(signature))


def test_use_alg_and_key_ops_that_fit_are_fine() -> None:
    assert read_jwks(jwks(GOOD.jwk(use="sig", alg="ES256", key_ops=["verify"]))).get("good")


def _private() -> dict[str, Any]:
    return {**jwt.get_algorithm_by_name("EdDSA").to_jwk(ed_pair().private, as_dict=True), "kid": "bad"}


def _p384() -> dict[str, Any]:
    return KeyPair(ec.generate_private_key(ec.SECP384R1()), "ES384", "bad").jwk()


BAD: dict[str, Any] = {
    "symmetric": {"kty": "oct", "kid": "bad", "k": segment(b"x" * 32)},
    "for encryption": ec_pair("bad").jwk(use="enc"),
    "of another algorithm": ec_pair("bad").jwk(alg="ES384"),
    "RSA that says HS256": rsa_pair("bad").jwk(alg="HS256"),
    "not for verifying": ec_pair("bad").jwk(key_ops=["sign"]),
    "key_ops not a list": ec_pair("bad").jwk(key_ops="verify"),
    "weak": rsa_pair("bad", bits=1024).jwk(),
    "another curve": _p384(),
    "curve not a string": ec_pair("bad").jwk(crv=["P-256"]),
    "private": _private(),
    "no coordinates": {"kty": "EC", "crv": "P-256", "kid": "bad"},
    "coordinates of other types": {"kty": "EC", "crv": "P-256", "kid": "bad", "x": 1, "y": None},
    "not on the curve": ec_pair("bad").jwk(x=segment(b"\x01" * 32)),
    "not base64": rsa_pair("bad").jwk(n="***"),
    "no type": {"kid": "bad"},
    "type not a string": {"kty": {}, "kid": "bad"},
    "kid a path": ec_pair("../bad").jwk(),
    "kid a number": ec_pair("bad").jwk(kid=7),
    "no object": "bad",
    "null": None,
}


@pytest.mark.parametrize("member", BAD.values(), ids=BAD.keys())
def test_an_unusable_key_stays_outside_and_harms_no_other(member: Any) -> None:
    keys = read_jwks(jwks(member, GOOD.jwk()))
    assert keys.get("good") is not None
    assert keys.get("bad") is None
    with pytest.raises(JwksError):
        read_jwks(jwks(member))


def test_of_two_keys_of_one_name_the_first_counts() -> None:
    first, second = ec_pair("k"), ec_pair("k")
    key = read_jwks(jwks(first.jwk(), second.jwk())).get("k")
    assert key is not None
    signed, _, signature = first.sign({}).rpartition(".")
    assert key.verifies(signed.encode(), jwt.utils.base64url_decode(signature))


def test_a_key_without_a_name_is_for_tokens_without_one() -> None:
    assert read_jwks(jwks(ec_pair(None).jwk(), GOOD.jwk())).get(None)


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b'{"keys":7}', b'{"keys":{}}', b'{"keys":[]}', b"<html>", b"\xff", b'{"keys":' + b"[" * 50_000],
    ids=str,
)
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(JwksError):
        read_jwks(document)


def test_a_set_of_very_many_keys_is_read_in_part() -> None:
    document = json.dumps({"keys": [{"kty": "oct"}] * 100 + [GOOD.jwk()]}).encode()
    with pytest.raises(JwksError):
        read_jwks(document)
