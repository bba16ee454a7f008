"""New tokens, signed with the hub's own secret: for `hub token`, for `hub serve --dev`, and for tests."""

import uuid
from typing import Any

import jwt

from actors.clock import Clock, SystemClock
from actors.ids import is_id
from actors.messages import DesktopIdentity, MobileIdentity
from hub.auth.claims import TokenKind
from hub.auth.tokens import ServiceIdentity, TokenIdentity
from hub.config import Settings


class NoSecret(Exception):  # noqa: N818 - an expected answer, not a fault of the program
    """The settings hold public keys only; tokens come from whoever has the private ones."""


def mint(settings: Settings, identity: TokenIdentity, *, clock: Clock | None = None) -> str:
    """Sign a token that speaks for `identity` until its `expires_at`.

    It is signed with the first of `HUB_JWT_SECRETS`, else with `HUB_JWT_SECRET`; it carries the configured `iss`, a
    `jti` of its own, and `iat`.

    Raises:
        NoSecret: If there is no secret.
        ValueError: If an id isn't one (actors/ids.py).
    """
    kid, secret = _signing_secret(settings)
    now_s = (clock or SystemClock()).wall_ms() // 1000
    claims = _claims(identity) | {"exp": int(identity.expires_at), "iat": now_s, "jti": uuid.uuid4().hex}
    if settings.jwt_issuer is not None:
        claims["iss"] = settings.jwt_issuer
    for claim in ("sub", "user_id", "device_id"):
        if claim in claims and not is_id(claims[claim]):
            raise ValueError(f"{claim} should be 1 to 128 letters, digits or any of . _ : @ -")
    return jwt.encode(claims, secret, algorithm="HS256", headers={"kid": kid} if kid else None)


def _signing_secret(settings: Settings) -> tuple[str | None, str]:
    if settings.jwt_secrets:
        first = settings.jwt_secrets[0]
        return first.kid, first.secret.get_secret_value()
    if settings.jwt_secret is not None:
        return None, settings.jwt_secret.get_secret_value()
    raise NoSecret("tokens are minted with a secret, and HUB_JWT_JWKS holds public keys; ask the tokens' issuer")


def _claims(identity: TokenIdentity) -> dict[str, Any]:
    match identity:
        case DesktopIdentity(desktop_id=desktop, user_id=user, name=name, platform=platform):
            claims = {
                "sub": desktop,
                "aud": TokenKind.DESKTOP.value,
                "user_id": user,
                "name": name,
                "platform": platform,
            }
        case MobileIdentity(user_id=user, device_id=device):
            claims = {"sub": user, "aud": TokenKind.MOBILE.value, "device_id": device}
        case ServiceIdentity(service=service):
            claims = {"sub": service, "aud": TokenKind.INTERNAL.value}
    return {claim: value for claim, value in claims.items() if value is not None}
