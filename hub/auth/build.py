"""The keys and the verifier that the settings ask for."""

from actors.clock import Clock
from hub.auth.jwks_keys import JwksKeys
from hub.auth.keys import KeySet, SharedSecrets
from hub.auth.tokens import Revocations, TokenVerifier
from hub.config import Settings


def build_keys(settings: Settings, clock: Clock) -> KeySet:
    """Return the key set of the settings. Whoever builds it awaits `refresh()` at the start, and `aclose()` at the end.

    Raises:
        jwt.InvalidKeyError: If a secret is something that HS256 must not be used with, such as a public key.
    """
    if settings.jwt_jwks is not None:
        return JwksKeys(settings.jwt_jwks, clock)
    unnamed = settings.jwt_secret.get_secret_value() if settings.jwt_secret is not None else None
    return SharedSecrets(unnamed, settings.jwt_secrets)


def build_verifier(
    settings: Settings, keys: KeySet, clock: Clock, revocations: Revocations | None = None
) -> TokenVerifier:
    """Return a verifier with the rules of the settings."""
    return TokenVerifier(
        keys,
        issuer=settings.jwt_issuer,
        require_jti=settings.jwt_require_jti,
        leeway_s=settings.jwt_leeway_s,
        clock=clock,
        revocations=revocations,
    )
