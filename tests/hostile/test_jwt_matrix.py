"""The row "JWT" of docs/hostile.md: every forged token against every kind, with a secret and with public keys."""

import hashlib
import hmac
import json
import logging
from collections.abc import Callable

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.auth.jwks_keys import JwksKeys
from hub.auth.keys import SharedSecrets, prepare_key
from hub.auth.tokens import TokenKind, TokenRefused, TokenVerifier
from hub.config import SettingsError, load_settings
from tests.unit.hub.auth.support import NOW_S, SECRET, HandClock, ec_pair, issuer_site, jwks, rsa_pair, segment, sign

pytestmark = pytest.mark.hostile

RSA, EC, STRANGER = rsa_pair(), ec_pair(), rsa_pair("rsa-1")
Claims = dict[str, object]


def _claims(kind: TokenKind, **changes: object) -> Claims:
    claims = {"sub": "c4nary", "user_id": "user-1", "aud": kind.value, "exp": NOW_S + 60, "iat": NOW_S, **changes}
    return {name: value for name, value in claims.items() if value is not None}


def _hmac(header: object, claims: object, secret: bytes, method: str = "sha256") -> str:
    """Sign what no library would: any header over any claims with any bytes as the secret."""
    signed = f"{segment(header)}.{segment(claims)}"
    return f"{signed}.{segment(hmac.digest(secret, signed.encode(), method))}"


def _unsigned(claims: Claims, alg: str) -> str:
    return f"{segment({'alg': alg, 'typ': 'JWT'})}.{segment(claims)}."


def _flip(token: str, part: int) -> str:
    parts = token.split(".")
    middle = len(parts[part]) // 2
    parts[part] = parts[part][:middle] + ("A" if parts[part][middle] != "A" else "B") + parts[part][middle + 1 :]
    return ".".join(parts)


SignClaims = Callable[[Claims], str]

# Good signatures over claims that open nothing: what is changed, and the code.
BAD_CLAIMS: dict[str, tuple[Claims, str]] = {
    "no exp": ({"exp": None}, "token_invalid"),
    "no iat": ({"iat": None}, "token_invalid"),
    "no aud": ({"aud": None}, "token_invalid"),
    "no sub": ({"sub": None}, "token_invalid"),
    "expired": ({"exp": NOW_S - 11}, "token_expired"),
    "expired long ago": ({"exp": 1}, "token_expired"),
    "exp a string": ({"exp": str(NOW_S + 60)}, "token_invalid"),
    "exp true": ({"exp": True}, "token_invalid"),
    "exp a list": ({"exp": [NOW_S + 60]}, "token_invalid"),
    "exp infinite": ({"exp": float("inf")}, "token_invalid"),
    "exp not a number": ({"exp": float("nan")}, "token_invalid"),
    "exp beyond calendars": ({"exp": 10**300}, "token_invalid"),
    "exp negative": ({"exp": -1}, "token_invalid"),
    "nbf in the future": ({"nbf": NOW_S + 11}, "token_invalid"),
    "nbf a string": ({"nbf": "0"}, "token_invalid"),
    "nbf true": ({"nbf": True}, "token_invalid"),
    "iat in the future": ({"iat": NOW_S + 11}, "token_invalid"),
    "iat a string": ({"iat": "0"}, "token_invalid"),
    "aud of nobody": ({"aud": "admin"}, "forbidden"),
    "aud empty": ({"aud": []}, "token_invalid"),
    "aud of all kinds": ({"aud": [kind.value for kind in TokenKind]}, "token_invalid"),
    "aud in capitals": ({"aud": "DESKTOP"}, "forbidden"),
    "sub a number": ({"sub": 7}, "token_invalid"),
    "sub with a brace": ({"sub": "{user-1}"}, "token_invalid"),
    "sub with a newline": ({"sub": "user-1\n"}, "token_invalid"),
    "sub too long": ({"sub": "x" * 129}, "token_invalid"),
    "sub a lone surrogate": ({"sub": "\ud800"}, "token_invalid"),
    "huge": ({"junk": "x" * 10_000}, "token_invalid"),
    "a megabyte": ({"junk": "x" * 1_000_000}, "token_invalid"),
}

# Headers with a good signature of the right secret under them.
BAD_HEADERS: dict[str, Claims] = {
    "kid a path": {"alg": "HS256", "kid": "../../../../dev/null"},
    "kid an absolute path": {"alg": "HS256", "kid": "/proc/sys/kernel/randomize_va_space"},
    "kid a URL": {"alg": "HS256", "kid": "https://evil.example/key"},
    "kid SQL": {"alg": "HS256", "kid": "x' UNION SELECT 'secret"},
    "kid a shell command": {"alg": "HS256", "kid": "k|id"},
    "kid unknown": {"alg": "HS256", "kid": "k7"},
    "kid a number": {"alg": "HS256", "kid": 7},
    "kid null": {"alg": "HS256", "kid": None},
    "kid too long": {"alg": "HS256", "kid": "k" * 4000},
    "kid with a NUL": {"alg": "HS256", "kid": "k1\0"},
    "crit": {"alg": "HS256", "crit": ["exp"]},
    "b64 false": {"alg": "HS256", "b64": False, "crit": ["b64"]},
    "alg in small letters": {"alg": "hs256"},
    "alg missing": {"typ": "JWT"},
    "alg a list": {"alg": ["HS256"]},
    "alg empty": {"alg": ""},
    "alg RS256 over an HMAC": {"alg": "RS256"},
    "alg none over an HMAC": {"alg": "none"},
}


def _secret_verifier() -> TokenVerifier:
    return TokenVerifier(SharedSecrets(SECRET), clock=HandClock())


def _assert_refused(token: str, kind: TokenKind, verifier: TokenVerifier, code: str | None = None) -> None:
    with pytest.raises(TokenRefused) as caught:
        verifier.verify_now(token, kind)
    refused = caught.value
    assert refused.status == (403 if refused.code == "forbidden" else 401)
    assert code in (None, refused.code)
    assert "c4nary" not in refused.text
    assert len(token) < len("signature") or token not in refused.text
    assert SECRET not in refused.text


@pytest.mark.parametrize("kind", TokenKind)
@pytest.mark.parametrize(("changes", "code"), BAD_CLAIMS.values(), ids=BAD_CLAIMS.keys())
def test_claims_that_open_nothing(kind: TokenKind, changes: Claims, code: str) -> None:
    _assert_refused(sign(_claims(kind, **changes)), kind, _secret_verifier(), code)


@pytest.mark.parametrize("kind", TokenKind)
@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS.keys())
def test_headers_that_lead_astray(kind: TokenKind, header: Claims) -> None:
    token = _hmac(header, _claims(kind), SECRET.encode())
    _assert_refused(token, kind, _secret_verifier(), "token_invalid")


def test_the_matrix_differs_from_a_good_token_only_in_what_it_names() -> None:
    for kind in TokenKind:
        identity = _secret_verifier().verify_now(_hmac({"alg": "HS256"}, _claims(kind), SECRET.encode()), kind)
        assert identity.expires_at == NOW_S + 60


@pytest.mark.parametrize("kind", TokenKind)
@pytest.mark.parametrize("other", TokenKind)
def test_a_token_of_another_kind(kind: TokenKind, other: TokenKind) -> None:
    if kind is not other:
        _assert_refused(sign(_claims(other)), kind, _secret_verifier(), "forbidden")


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", "HS256"])
def test_no_signature(alg: str) -> None:
    token = _unsigned(_claims(TokenKind.DESKTOP), alg)
    for form in (token, token.rstrip("."), token + "."):
        _assert_refused(form, TokenKind.DESKTOP, _secret_verifier(), "token_invalid")


@pytest.mark.parametrize("method", ["sha384", "sha512"])
def test_another_hash_with_the_right_secret(method: str) -> None:
    token = _hmac({"alg": f"HS{method[3:]}"}, _claims(TokenKind.DESKTOP), SECRET.encode(), method)
    _assert_refused(token, TokenKind.DESKTOP, _secret_verifier(), "token_invalid")


@pytest.mark.parametrize(
    "guess", [b"", b"secret", SECRET.encode() + b"\n", SECRET[:-1].encode(), SECRET.upper().encode()]
)
def test_another_secret(guess: bytes) -> None:
    token = _hmac({"alg": "HS256"}, _claims(TokenKind.DESKTOP), guess)
    _assert_refused(token, TokenKind.DESKTOP, _secret_verifier(), "token_invalid")


@pytest.mark.parametrize("part", [0, 1, 2])
def test_tampered_parts(part: int) -> None:
    token = _flip(sign(_claims(TokenKind.DESKTOP)), part)
    _assert_refused(token, TokenKind.DESKTOP, _secret_verifier(), "token_invalid")


def test_every_cut_of_a_good_token() -> None:
    token, verifier = sign(_claims(TokenKind.DESKTOP)), _secret_verifier()
    for length in range(len(token)):
        _assert_refused(token[:length], TokenKind.DESKTOP, verifier, "token_invalid")


def test_every_changed_character_of_a_signature() -> None:
    token, verifier = sign(_claims(TokenKind.DESKTOP)), _secret_verifier()
    for place in range(token.rindex(".") + 1, len(token)):
        other = "A" if token[place] != "A" else "B"
        _assert_refused(token[:place] + other + token[place + 1 :], TokenKind.DESKTOP, verifier, "token_invalid")


async def test_public_keys_are_no_secrets_and_algorithms_dont_mix() -> None:
    with issuer_site(jwks(RSA.jwk(), EC.jwk())) as site:
        keys = JwksKeys(site.url, HandClock())
        await keys.refresh()
        verifier, claims = TokenVerifier(keys, clock=HandClock()), _claims(TokenKind.DESKTOP)
        assert verifier.verify_now(RSA.sign(claims), TokenKind.DESKTOP).desktop_id == "c4nary"
        for token in _confusions(claims, site.document):
            _assert_refused(token, TokenKind.DESKTOP, verifier, "token_invalid")


def _confusions(claims: Claims, document: bytes) -> list[str]:
    public = RSA.private.public_key()
    forms = [
        document,
        json.dumps(RSA.jwk()).encode(),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
        public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        hashlib.sha256(document).digest(),
        b"",
    ]
    as_secrets = [_hmac({"alg": alg, "kid": "rsa-1"}, claims, form) for form in forms for alg in ("HS256", "RS256")]
    swapped = [
        STRANGER.sign(claims),
        STRANGER.sign(claims, jwk=STRANGER.jwk()),
        STRANGER.sign(claims, jku="http://127.0.0.1:1/jwks.json"),
        sign(claims, RSA.private, "RS384", "rsa-1"),
        sign(claims, RSA.private, "PS256", "rsa-1"),
        sign(claims, RSA.private, "RS256", "ec-1"),
        sign(claims, EC.private, "ES256", "rsa-1"),
        RSA.sign(claims).rpartition(".")[0] + "." + segment(b"\0" * 256),
        EC.sign(claims).rpartition(".")[0] + "." + segment(b"\0" * 64),
        EC.sign(claims).rpartition(".")[0] + "." + segment(b"\0"),
    ]
    nameless = [sign(claims, RSA.private, "RS256"), _unsigned(claims, "none")]
    return as_secrets + swapped + nameless


@pytest.mark.parametrize(
    "secret", ["c4nary", "x" * 31, "-----BEGIN PUBLIC KEY-----\n" + "A" * 64, '{"kty":"oct"}' + "x" * 32]
)
def test_the_hub_refuses_to_start_with_a_weak_secret_or_a_public_key(secret: str) -> None:
    for variables in ({"HUB_JWT_SECRET": secret}, {"HUB_JWT_SECRETS": f"k1:{secret}"}):
        with pytest.raises(SettingsError) as caught:
            load_settings(variables)
        assert secret not in str(caught.value)


def test_a_der_key_is_no_secret_either() -> None:
    der = RSA.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(jwt.InvalidKeyError):
        prepare_key(None, "HS256", der)


def test_no_token_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for header in BAD_HEADERS.values():
            _assert_refused(
                _hmac(header, _claims(TokenKind.MOBILE), SECRET.encode()), TokenKind.MOBILE, _secret_verifier()
            )
    assert caplog.text == ""
