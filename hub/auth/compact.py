"""The compact form of a signed token, taken apart: `header.claims.signature` (RFC 7515, section 7.1).

PyJWT's own reader looks at every character in Python and prepares its key on each call (61 µs for an HS256 token); this
one leaves both to C and hands out the parts, so that the signature is checked with a key that was prepared once.
"""

import re
from base64 import urlsafe_b64encode
from binascii import Error as BadBase64
from binascii import a2b_base64
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from hub.auth.kid import is_kid
from hub.auth.refusal import TokenRefused

TOKEN_CHARS = 8 * 1024
"""The longest token that is looked at."""

_TO_BASE64 = bytes.maketrans(b"-_", b"+/")
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


class Header(msgspec.Struct, frozen=True, gc=False):
    """What the header says about the signature. The key decides the algorithm; `alg` has to agree."""

    alg: str
    kid: str | msgspec.UnsetType = msgspec.UNSET
    crit: object = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class CompactToken:
    """The parts of a token, not verified yet. `signed` is what the signature is over, `claims` is JSON."""

    signed: bytes
    algorithm: str
    kid: str | None
    claims: bytes
    signature: bytes


_headers = msgspec.json.Decoder(Header)


def take_apart(token: str) -> CompactToken:
    """Return the parts of a token.

    Raises:
        TokenRefused: `token_invalid`, if this isn't a signed token in compact form, if its key name isn't one, or if
            it demands an extension (`crit`).
    """
    match = _COMPACT.fullmatch(token) if len(token) <= TOKEN_CHARS else None
    if match is None:
        raise TokenRefused("token_invalid", f"not a signed JSON Web Token of at most {TOKEN_CHARS} characters")
    head, claims, signature = match.groups()
    algorithm, kid = _read_header(head)
    return CompactToken(
        signed=token[: match.end(2)].encode(),
        algorithm=algorithm,
        kid=kid,
        claims=_decode(claims),
        signature=_decode_signature(signature),
    )


@lru_cache(maxsize=64)
def _read_header(segment: str) -> tuple[str, str | None]:
    """Return algorithm and key name; an issuer's tokens have the same header, one as the other."""
    try:
        header = _headers.decode(_decode(segment))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise TokenRefused("token_invalid", "the token's header is not one of a JSON Web Token") from None
    kid = None if header.kid is msgspec.UNSET else header.kid
    if kid is not None and not is_kid(kid):
        raise TokenRefused("token_invalid", "the token's kid is not a key name")
    if header.crit is not msgspec.UNSET:
        raise TokenRefused("token_invalid", "the token demands extensions (crit), and none is supported")
    return header.alg, kid


def _decode(segment: str) -> bytes:
    """Decode base64url."""
    try:
        return a2b_base64(segment.encode().translate(_TO_BASE64) + b"==")
    except BadBase64:
        raise TokenRefused("token_invalid", "a part of the token is not base64url") from None


def _decode_signature(segment: str) -> bytes:
    """Decode what no signature covers: it has one spelling only, so stray bits in its last character are refused."""
    signature = _decode(segment)
    if urlsafe_b64encode(signature).rstrip(b"=") != segment.encode():
        raise TokenRefused("token_invalid", "a part of the token is not base64url")
    return signature
