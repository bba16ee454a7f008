from pathlib import Path

from hub.auth.build import build_keys, build_verifier
from hub.auth.jwks_keys import JwksKeys
from hub.auth.keys import SharedSecrets, VerificationKey
from hub.auth.tokens import TokenKind
from hub.config import load_settings
from tests.unit.hub.auth.support import SECRET, HandClock, desktop_claims, ec_pair, jwks, sign


def test_secrets_make_a_set_of_secrets() -> None:
    keys = build_keys(load_settings({"HUB_JWT_SECRET": SECRET, "HUB_JWT_SECRETS": f"k1:{SECRET}"}), HandClock())
    assert isinstance(keys, SharedSecrets)
    for kid in (None, "k1"):
        found = keys.find(kid)
        assert isinstance(found, VerificationKey)
        assert found.kid == kid


async def test_a_jwks_makes_a_set_that_is_fetched(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    pair = ec_pair()
    path.write_bytes(jwks(pair.jwk()))
    settings = load_settings({"HUB_JWT_JWKS": str(path)})
    keys = build_keys(settings, HandClock())
    assert isinstance(keys, JwksKeys)
    verifier = build_verifier(settings, keys, HandClock())
    assert (await verifier.verify(pair.sign(desktop_claims()), TokenKind.DESKTOP)).desktop_id == "desk-1"
    await keys.aclose()


def test_the_leeway_is_that_of_the_settings() -> None:
    settings = load_settings({"HUB_JWT_SECRET": SECRET, "HUB_JWT_LEEWAY_S": "120"})
    clock = HandClock()
    verifier = build_verifier(settings, build_keys(settings, clock), clock)
    clock.advance(60 + 119)
    assert verifier.verify_now(sign(desktop_claims()), TokenKind.DESKTOP).desktop_id == "desk-1"
