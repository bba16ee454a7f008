"""A JSON Web Key Set (RFC 7517), read into keys. What isn't a public signing key of an allowed type stays outside."""

from typing import Any

import jwt
import msgspec

from hub.auth.keys import NamedKeys, VerificationKey, prepare_key
from hub.auth.kid import is_kid

MOST_KEYS = 100
"""More keys than this are no key set of an issuer."""

_CURVES = {("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}


class JwksError(Exception):
    """The document is no key set, or nothing in it is usable."""


def read_jwks(document: bytes) -> NamedKeys:
    """Read a key set, and leave out the keys that must not or cannot check tokens.

    Left out are symmetric (`oct`) and private keys, keys of other types and curves, keys whose `use`, `key_ops` or
    `alg` say something else, weak ones, and a second key of the same name.

    Raises:
        JwksError: If no usable key is in it.
    """
    try:
        members = msgspec.json.decode(document)["keys"]
        keys = [_read_key(member) for member in members[:MOST_KEYS]]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError, KeyError):
        raise JwksError("not a JSON object with a list of keys") from None
    usable: dict[str | None, VerificationKey] = {}
    for key in keys:
        if key is not None:
            usable.setdefault(key.kid, key)
    if not usable:
        raise JwksError(f"none of the {len(keys)} keys is a public RS256, ES256 or EdDSA key for signatures")
    return NamedKeys(usable.values())


def _read_key(member: object) -> VerificationKey | None:
    if not isinstance(member, dict) or "d" in member:
        return None
    kty, curve = str(member.get("kty")), str(member.get("crv"))
    algorithm = "RS256" if kty == "RSA" else _CURVES.get((kty, curve))
    kid = member.get("kid")
    named_well = kid is None or (isinstance(kid, str) and is_kid(kid))
    if algorithm is None or not named_well or not _is_for_checking(member, algorithm):
        return None
    try:
        return prepare_key(kid, algorithm, jwt.PyJWK(member, algorithm=algorithm).key)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None  # PyJWT trusts the members' types


def _is_for_checking(member: dict[str, Any], algorithm: str) -> bool:
    operations = member.get("key_ops")
    return (
        member.get("use", "sig") == "sig"
        and member.get("alg", algorithm) == algorithm
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
    )
