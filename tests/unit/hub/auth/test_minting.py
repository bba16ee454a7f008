import jwt
import pytest

from actors.ids import DesktopId, DeviceId, UserId
from actors.messages import DesktopIdentity, MobileIdentity
from hub.auth.build import build_keys, build_verifier
from hub.auth.minting import NoSecret, mint
from hub.auth.tokens import ServiceIdentity, TokenIdentity, TokenKind, TokenVerifier
from hub.config import Settings, load_settings
from tests.unit.hub.auth.support import NOW_S, SECRET, HandClock

CLOCK = HandClock()
DESKTOP = DesktopIdentity(DesktopId("desk-1"), UserId("user-1"), NOW_S + 60, "Studio", "linux")


def _settings(**variables: str) -> Settings:
    return load_settings({"HUB_JWT_SECRET": SECRET, **variables})


def _verifier(settings: Settings) -> TokenVerifier:
    return build_verifier(settings, build_keys(settings, CLOCK), CLOCK)


@pytest.mark.parametrize(
    ("identity", "kind"),
    [
        (DESKTOP, TokenKind.DESKTOP),
        (DesktopIdentity(DesktopId("d"), UserId("u"), NOW_S + 60), TokenKind.DESKTOP),
        (MobileIdentity(UserId("u"), NOW_S + 60, DeviceId("phone")), TokenKind.MOBILE),
        (MobileIdentity(UserId("u"), NOW_S + 60), TokenKind.MOBILE),
        (ServiceIdentity("billing", NOW_S + 60), TokenKind.INTERNAL),
    ],
)
def test_a_minted_token_speaks_for_whom_it_was_made(identity: TokenIdentity, kind: TokenKind) -> None:
    settings = _settings(HUB_JWT_ISSUER="https://id.example", HUB_JWT_REQUIRE_JTI="true")
    assert _verifier(settings).verify_now(mint(settings, identity, clock=CLOCK), kind) == identity


def test_the_first_named_secret_signs() -> None:
    settings = _settings(HUB_JWT_SECRETS=f"new:{SECRET[::-1]},old:{SECRET}")
    token = mint(settings, DESKTOP, clock=CLOCK)
    assert jwt.get_unverified_header(token)["kid"] == "new"
    assert _verifier(settings).verify_now(token, TokenKind.DESKTOP) == DESKTOP


def test_a_secret_without_a_name_signs_without_a_kid() -> None:
    assert "kid" not in jwt.get_unverified_header(mint(_settings(), DESKTOP, clock=CLOCK))


def test_no_two_tokens_have_the_same_jti() -> None:
    assert mint(_settings(), DESKTOP, clock=CLOCK) != mint(_settings(), DESKTOP, clock=CLOCK)


def test_public_keys_mint_nothing() -> None:
    with pytest.raises(NoSecret):
        mint(load_settings({"HUB_JWT_JWKS": "https://id.example/jwks"}), DESKTOP)


@pytest.mark.parametrize("bad", ["", "a b", "x" * 129])
def test_what_would_be_refused_isnt_minted(bad: str) -> None:
    with pytest.raises(ValueError, match="sub should be"):
        mint(_settings(), ServiceIdentity(bad, NOW_S + 60))
    with pytest.raises(ValueError, match="user_id should be"):
        mint(_settings(), DesktopIdentity(DesktopId("d"), UserId(bad), NOW_S + 60))
    with pytest.raises(ValueError, match="device_id should be"):
        mint(_settings(), MobileIdentity(UserId("u"), NOW_S + 60, DeviceId(bad)))
