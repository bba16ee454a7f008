"""What a token claims, and the rules that hold for every kind of token (docs/protocol.md, "Tokens").

Only claims whose signature was checked come here.
"""

from dataclasses import dataclass
from enum import Enum

import msgspec

from hub.auth.refusal import TokenRefused

_YEAR_10000_S = 253_402_300_800
JTI_CHARS = 256
"""The longest `jti` that counts as one."""


class TokenKind(Enum):
    """What a token opens; the value is its `aud`."""

    DESKTOP = "desktop"
    MOBILE = "mobile"
    INTERNAL = "internal"


class Claims(msgspec.Struct, frozen=True, gc=False):
    """The claims that the hub reads. Times are seconds since the epoch; a bool or a string is no time."""

    sub: str
    aud: str | list[str]
    exp: int | float
    iat: int | float
    nbf: int | float | None = None
    iss: object = None
    jti: object = None
    user_id: str | None = None
    device_id: str | None = None
    name: str | None = None
    platform: str | None = None


_claims = msgspec.json.Decoder(Claims)


def read_claims(text: bytes) -> Claims:
    """Read the claims.

    Raises:
        TokenRefused: `token_invalid`, if one is missing or of the wrong type.
    """
    try:
        return _claims.decode(text)
    except msgspec.ValidationError as error:
        # msgspec names the claim and the types, never the value.
        raise TokenRefused("token_invalid", f"the token's claims are wrong: {error}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise TokenRefused("token_invalid", "the token's claims are not a JSON object") from None


def token_id(claims: Claims) -> str | None:
    """Return the token's name, or None if its `jti` isn't a string of 1 to `JTI_CHARS` characters."""
    jti = claims.jti
    return jti if isinstance(jti, str) and 0 < len(jti) <= JTI_CHARS else None


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """What claims are held against. `leeway_s`: how far the clocks of issuer and hub may differ."""

    issuer: str | None
    require_jti: bool
    leeway_s: float

    def check(self, claims: Claims, kind: TokenKind, now_s: float) -> None:
        """Let pass what opens a connection of this kind at `now_s` (seconds since the epoch).

        Raises:
            TokenRefused: `forbidden` for another kind, `token_expired` for one that ran out, else `token_invalid`.
        """
        _check_audience(claims.aud, kind)
        if self.issuer is not None and claims.iss != self.issuer:
            raise TokenRefused("token_invalid", "the token is from another issuer (iss)")
        if self.require_jti and token_id(claims) is None:
            raise TokenRefused("token_invalid", f"the token should carry a jti of at most {JTI_CHARS} characters")
        self._check_times(claims, now_s)

    def _check_times(self, claims: Claims, now_s: float) -> None:
        if not 0 < claims.exp < _YEAR_10000_S:
            raise TokenRefused("token_invalid", "the token's exp is not a time in seconds since 1970")
        if claims.exp <= now_s - self.leeway_s:
            raise TokenRefused("token_expired", "the token has expired; ask its issuer for a new one")
        if claims.iat > now_s + self.leeway_s or (claims.nbf is not None and claims.nbf > now_s + self.leeway_s):
            raise TokenRefused("token_invalid", "the token is not valid yet (iat, nbf); are the clocks set?")


def _check_audience(audience: str | list[str], kind: TokenKind) -> None:
    if isinstance(audience, list):
        if len(audience) != 1:
            raise TokenRefused("token_invalid", "the token's aud should name one kind")
        audience = audience[0]
    if audience != kind.value:
        raise TokenRefused("forbidden", f"this needs a token with aud {kind.value!r}")
