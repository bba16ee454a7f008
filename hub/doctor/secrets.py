"""The shared secrets that tokens are signed with."""

from collections import Counter
from collections.abc import Iterator

import jwt

from hub.auth.keys import SharedSecrets
from hub.config import Settings
from hub.doctor.finding import Finding, error, ok, warning
from hub.doctor.secret_strength import weakness

_ABOUT = "keys"
_MAKE_ONE = "make one with: openssl rand -base64 48"


def check_secrets(settings: Settings) -> Iterator[Finding]:
    """Look at the length and the randomness of every secret, and never show one."""
    secrets = dict(_named(settings))
    if not secrets:
        return
    try:
        SharedSecrets(None if settings.jwt_secret is None else secrets["HUB_JWT_SECRET"], settings.jwt_secrets)
    except jwt.InvalidKeyError:
        yield error(_ABOUT, "a secret is no secret: it is a key that everybody may know", _MAKE_ONE)
    for name, secret in secrets.items():
        weak = weakness(secret)
        if weak is None:
            yield ok(_ABOUT, f"{name}: HS256, {len(secret.encode())} bytes")
        else:
            yield warning(_ABOUT, f"{name} {weak}", _MAKE_ONE)
    if max(Counter(secrets.values()).values()) > 1:
        yield warning(_ABOUT, "the same secret stands under several names", "a rotation needs a new secret")


def _named(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.jwt_secret is not None:
        yield "HUB_JWT_SECRET", settings.jwt_secret.get_secret_value()
    for each in settings.jwt_secrets:
        yield f"HUB_JWT_SECRETS {each.kid}", each.secret.get_secret_value()
