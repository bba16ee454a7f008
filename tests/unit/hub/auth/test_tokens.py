import pytest
from pydantic import SecretStr

from actors.messages import DesktopIdentity, MobileIdentity
from hub.auth.jwks_keys import REFETCH_S, JwksKeys
from hub.auth.keys import KeyMiss, SharedSecrets
from hub.auth.tokens import KeysNeeded, ServiceIdentity, TokenIdentity, TokenKind, TokenRefused, TokenVerifier
from hub.config_values import NamedSecret
from tests.unit.hub.auth.support import (
    NOW_S,
    SECRET,
    HandClock,
    KeyPair,
    desktop_claims,
    ec_pair,
    ed_pair,
    issuer_site,
    jwks,
    mobile_claims,
    rsa_pair,
    sign,
)


def _verifier(**rules: object) -> TokenVerifier:
    return TokenVerifier(SharedSecrets(SECRET), clock=HandClock(), **rules)  # type: ignore[arg-type]


def _refusal(token: str, kind: TokenKind = TokenKind.DESKTOP, verifier: TokenVerifier | None = None) -> TokenRefused:
    with pytest.raises(TokenRefused) as caught:
        (verifier or _verifier()).verify_now(token, kind)
    return caught.value


def test_a_desktop_token_speaks_for_a_desktop_and_its_owner() -> None:
    identity = _verifier().verify_now(sign(desktop_claims(name="Studio", platform="linux")), TokenKind.DESKTOP)
    assert identity == DesktopIdentity("desk-1", "user-1", NOW_S + 60, "Studio", "linux")  # type: ignore[arg-type]


def test_a_user_token_speaks_for_a_user_and_maybe_a_device() -> None:
    verifier = _verifier()
    assert verifier.verify_now(sign(mobile_claims()), TokenKind.MOBILE) == MobileIdentity("user-1", NOW_S + 60)  # type: ignore[arg-type]
    named = verifier.verify_now(sign(mobile_claims(device_id="phone")), TokenKind.MOBILE)
    assert named.device_id == "phone"


def test_a_service_token_speaks_for_a_service() -> None:
    identity = _verifier().verify_now(sign(mobile_claims(sub="billing", aud="internal")), TokenKind.INTERNAL)
    assert identity == ServiceIdentity("billing", NOW_S + 60)


@pytest.mark.parametrize("wanted", TokenKind)
@pytest.mark.parametrize("given", TokenKind)
def test_a_token_of_one_kind_opens_nothing_of_another(wanted: TokenKind, given: TokenKind) -> None:
    token = sign(desktop_claims(aud=given.value))
    if given is wanted:
        _verifier().verify_now(token, wanted)
    else:
        refused = _refusal(token, wanted)
        assert (refused.code, refused.status) == ("forbidden", 403)


def test_the_signature_comes_before_the_audience() -> None:
    assert _refusal(sign(desktop_claims(aud="mobile"), SECRET[::-1])).code == "token_invalid"


@pytest.mark.parametrize("sub", ["", "a b", "x" * 129, "a/b", "a\n", "{u}", "é"])
def test_a_subject_is_an_id(sub: str) -> None:
    assert _refusal(sign(desktop_claims(sub=sub))).code == "token_invalid"
    assert _refusal(sign(mobile_claims(sub=sub)), TokenKind.MOBILE).code == "token_invalid"


@pytest.mark.parametrize("user", [None, "", "a b", "x" * 129])
def test_a_desktop_has_an_owner(user: str | None) -> None:
    refused = _refusal(sign(desktop_claims(user_id=user)))
    assert refused.code == "token_invalid"
    assert "user_id" in refused.text


@pytest.mark.parametrize("device", ["", "a b", 7])
def test_a_device_is_an_id(device: object) -> None:
    assert _refusal(sign(mobile_claims(device_id=device)), TokenKind.MOBILE).code == "token_invalid"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Anna's Mac", "Anna's Mac"),
        ("x" * 300, "x" * 128),
        ("a\x00b\x1b[31mc\r\nd\u2028e\u202ef", "ab[31mcdef"),
        ("👩‍💻", "👩‍💻"),
        ("\n", None),
        ("", None),
    ],
)
def test_a_name_is_shown_without_control_characters_and_cut(name: str, shown: str | None) -> None:
    identity = _verifier().verify_now(sign(desktop_claims(name=name, platform=name)), TokenKind.DESKTOP)
    assert (identity.name, identity.platform) == (shown, shown)


def test_an_expired_token_says_so() -> None:
    refused = _refusal(sign(desktop_claims(exp=NOW_S - 11)))
    assert (refused.code, refused.status) == ("token_expired", 401)


def test_the_rules_of_the_settings_are_kept() -> None:
    token = sign(desktop_claims())
    assert "iss" in _refusal(token, verifier=_verifier(issuer="https://id.example")).text
    assert "jti" in _refusal(token, verifier=_verifier(require_jti=True)).text
    assert _refusal(sign(desktop_claims(exp=NOW_S - 1)), verifier=_verifier(leeway_s=0)).code == "token_expired"


def test_the_kid_picks_the_secret() -> None:
    secrets = [NamedSecret("new", SecretStr(SECRET)), NamedSecret("old", SecretStr(SECRET[::-1]))]
    verifier = TokenVerifier(SharedSecrets(None, secrets), clock=HandClock())
    verifier.verify_now(sign(desktop_claims(), kid="new"), TokenKind.DESKTOP)
    verifier.verify_now(sign(desktop_claims(), SECRET[::-1], kid="old"), TokenKind.DESKTOP)
    assert "signature" in _refusal(sign(desktop_claims(), kid="old"), verifier=verifier).text
    assert "kid" in _refusal(sign(desktop_claims(), kid="older"), verifier=verifier).text
    assert "kid" in _refusal(sign(desktop_claims()), verifier=verifier).text


@pytest.mark.parametrize("pair", [rsa_pair(), ec_pair(), ed_pair()], ids=["RS256", "ES256", "EdDSA"])
async def test_public_keys_are_fetched_once_and_then_cost_no_await(pair: KeyPair) -> None:
    with issuer_site(jwks(pair.jwk())) as site:
        verifier = TokenVerifier(JwksKeys(site.url, HandClock()), clock=HandClock())
        token = pair.sign(desktop_claims())
        with pytest.raises(KeysNeeded):
            verifier.verify_now(token, TokenKind.DESKTOP)
        identity = await verifier.verify(token, TokenKind.DESKTOP)
        assert verifier.verify_now(token, TokenKind.DESKTOP) == identity
        assert await verifier.verify(token, TokenKind.DESKTOP) == identity
    assert len(site.asked) == 1


async def test_made_up_kids_cause_no_traffic() -> None:
    known, unknown = ec_pair("known"), ec_pair("unknown")
    with issuer_site(jwks(known.jwk())) as site:
        verifier = TokenVerifier(JwksKeys(site.url, HandClock()), clock=HandClock())
        for _ in range(20):
            with pytest.raises(TokenRefused, match="isn't known here"):
                await verifier.verify(unknown.sign(desktop_claims()), TokenKind.DESKTOP)
    assert len(site.asked) == 1


async def test_keys_that_cant_be_fetched_are_no_fault_of_the_token() -> None:
    pair = ec_pair()
    clock = HandClock()
    with issuer_site(b"") as site:
        site.status = 503
        verifier = TokenVerifier(JwksKeys(site.url, clock), clock=clock)
        with pytest.raises(TokenRefused) as caught:
            await verifier.verify(pair.sign(desktop_claims()), TokenKind.DESKTOP)
        assert (caught.value.code, caught.value.status) == ("unavailable", 503)
        site.status, site.document = 200, jwks(pair.jwk())
        clock.advance(REFETCH_S)
        await verifier.verify(pair.sign(desktop_claims()), TokenKind.DESKTOP)


async def test_keys_that_never_come_are_unavailable() -> None:
    class Never(SharedSecrets):
        def find(self, kid: str | None) -> KeyMiss:
            return KeyMiss.NEEDS_FETCH

    verifier = TokenVerifier(Never(None), clock=HandClock())
    with pytest.raises(TokenRefused) as caught:
        await verifier.verify(sign(desktop_claims()), TokenKind.DESKTOP)
    assert caught.value.code == "unavailable"


@pytest.mark.parametrize(
    ("jti", "token_id"), [(None, None), ("a", "a"), ("x" * 256, "x" * 256), ("x" * 257, None), ("", None), (7, None)]
)
def test_an_identity_says_which_token_it_is_from(jti: object, token_id: str | None) -> None:
    verifier = _verifier()
    desktop = verifier.verify_now(sign(desktop_claims(jti=jti, iat=NOW_S - 0.5)), TokenKind.DESKTOP)
    mobile = verifier.verify_now(sign(mobile_claims(jti=jti, iat=NOW_S - 7)), TokenKind.MOBILE)
    service = verifier.verify_now(sign(mobile_claims(jti=jti, aud="internal")), TokenKind.INTERNAL)
    assert desktop.token_id == mobile.token_id == service.token_id == token_id
    assert (desktop.issued_at, mobile.issued_at) == (NOW_S - 0.5, NOW_S - 7)


class Revoked:
    """Has revoked one token, and remembers what it was asked."""

    def __init__(self, token_id: str) -> None:
        self.token_id = token_id
        self.asked: list[TokenIdentity] = []

    def cover(self, identity: TokenIdentity) -> bool:
        self.asked.append(identity)
        return identity.token_id == self.token_id


@pytest.mark.parametrize("kind", TokenKind)
async def test_a_revoked_token_is_refused_whatever_it_opens(kind: TokenKind) -> None:
    verifier = _verifier(revocations=Revoked("gone"))
    refused = _refusal(sign(desktop_claims(aud=kind.value, jti="gone")), kind, verifier)
    assert (refused.code, refused.status) == ("token_invalid", 401)
    assert "revoked" in refused.text
    good = sign(desktop_claims(aud=kind.value, jti="other"))
    assert verifier.verify_now(good, kind).token_id == "other"
    with pytest.raises(TokenRefused, match="revoked"):
        await verifier.verify(sign(desktop_claims(aud=kind.value, jti="gone")), kind)


def test_only_a_token_that_is_good_otherwise_is_asked_for() -> None:
    revoked = Revoked("gone")
    verifier = _verifier(revocations=revoked)
    assert "signature" in _refusal(sign(desktop_claims(jti="gone"), SECRET[::-1]), verifier=verifier).text
    assert _refusal(sign(desktop_claims(jti="gone", exp=NOW_S - 60)), verifier=verifier).code == "token_expired"
    assert revoked.asked == []
