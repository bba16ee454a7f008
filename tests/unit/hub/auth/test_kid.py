import pytest

from hub.auth.kid import is_kid


@pytest.mark.parametrize("kid", ["k1", "2026-11", "a" * 128, "EzmTBGmh5bVBqRaaSEUd2Ogvd+mKeuUs8iPTT6ubvR8="])
def test_names_of_real_issuers_are_key_names(kid: str) -> None:
    assert is_kid(kid)


@pytest.mark.parametrize(
    "kid", ["", "a" * 129, "../../etc/passwd", "/dev/null", "https://evil.example/jwks", "a b", "k\n", "k1;DROP", "é"]
)
def test_paths_urls_and_junk_are_not(kid: str) -> None:
    assert not is_kid(kid)
