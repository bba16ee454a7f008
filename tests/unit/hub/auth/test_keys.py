import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr

from hub.auth.keys import KeyMiss, NamedKeys, SharedSecrets, VerificationKey, prepare_key
from hub.config_values import NamedSecret
from tests.unit.hub.auth.support import SECRET, ec_pair, rsa_pair


def _named(kid: str, secret: str = SECRET) -> NamedSecret:
    return NamedSecret(kid, SecretStr(secret))


def test_a_key_checks_signatures_with_its_own_algorithm() -> None:
    key = prepare_key("k", "HS256", SECRET)
    signature = jwt.get_algorithm_by_name("HS256").sign(b"signed", SECRET.encode())
    assert key.verifies(b"signed", signature)
    assert not key.verifies(b"signed ", signature)
    assert not key.verifies(b"signed", signature[:-1])
    assert not key.verifies(b"signed", b"")


def test_a_key_never_shows_its_secret() -> None:
    assert SECRET not in repr(prepare_key("k", "HS256", SECRET))


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(jwt.InvalidKeyError):
        prepare_key(None, "HS256", "x" * 31)


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_a_public_key_is_refused_as_a_secret(encoding: Encoding) -> None:
    public = rsa_pair().private.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(jwt.InvalidKeyError):
        prepare_key(None, "HS256", public)


def test_a_weak_rsa_key_is_refused() -> None:
    with pytest.raises(jwt.InvalidKeyError):
        prepare_key("k", "RS256", rsa_pair(bits=1024).private.public_key())


def test_a_key_of_another_type_is_refused() -> None:
    with pytest.raises((jwt.InvalidKeyError, TypeError)):
        prepare_key("k", "RS256", ec_pair().private.public_key())


def test_each_secret_is_found_by_its_name() -> None:
    secrets = SharedSecrets(None, [_named("new"), _named("old", SECRET[::-1])])
    found = secrets.find("old")
    assert isinstance(found, VerificationKey)
    assert (found.kid, found.algorithm) == ("old", "HS256")
    assert secrets.find("older") is KeyMiss.UNKNOWN


def test_a_token_without_a_name_gets_the_secret_without_a_name() -> None:
    found = SharedSecrets(SECRET, [_named("new"), _named("old")]).find(None)
    assert isinstance(found, VerificationKey)
    assert found.kid is None


def test_a_secret_that_is_alone_also_serves_tokens_without_a_name() -> None:
    found = SharedSecrets(None, [_named("only")]).find(None)
    assert isinstance(found, VerificationKey)
    assert found.kid == "only"


def test_among_several_named_secrets_none_is_guessed() -> None:
    assert SharedSecrets(None, [_named("new"), _named("old")]).find(None) is KeyMiss.UNKNOWN


def test_a_secret_without_a_name_is_not_found_by_one() -> None:
    assert SharedSecrets(SECRET).find("k1") is KeyMiss.UNKNOWN


async def test_secrets_need_no_fetching() -> None:
    secrets = SharedSecrets(SECRET)
    await secrets.refresh()
    await secrets.aclose()
    assert isinstance(secrets.find(None), VerificationKey)


def test_no_keys_find_nothing() -> None:
    assert NamedKeys(()).get(None) is None
    assert NamedKeys(()).get("k") is None
