from pathlib import Path

import pytest
from pydantic import SecretStr

from hub.config_values import (
    RateLimit,
    check_file,
    check_jwks_source,
    check_redis_url,
    check_secret,
    parse_origins,
    parse_rate_limit,
    parse_secrets,
)
from hub.redis_url import redis_nodes

SECRET = "s" * 32


@pytest.mark.parametrize(
    ("text", "limit"),
    [("200:400", RateLimit(200, 400)), ("0.5:1", RateLimit(0.5, 1)), ("off", None), (" OFF ", None)],
)
def test_a_rate_limit_is_rate_and_burst_or_off(text: str, limit: RateLimit | None) -> None:
    assert parse_rate_limit(text) == limit


@pytest.mark.parametrize(
    "text", ["200", "200:", ":400", "0:1", "-1:1", "1:0", "1:1.5", "nan:1", "inf:1", "1:2:3", "no"]
)
def test_another_rate_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="should be"):
        parse_rate_limit(text)


def test_a_rate_limit_shows_as_it_is_written() -> None:
    assert str(RateLimit(200, 400)) == "200:400"


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("https://a.example", {"https://a.example"}),
        ("https://A.Example:443 , http://b.example:80,", {"https://a.example", "http://b.example"}),
        ("http://localhost:3000,http://[::1]:3000", {"http://localhost:3000", "http://[::1]:3000"}),
        ("capacitor://localhost", {"capacitor://localhost"}),
        ("", set()),
    ],
)
def test_origins_become_what_browsers_send(text: str, origins: set[str]) -> None:
    assert parse_origins(text) == origins


@pytest.mark.parametrize(
    "text",
    ["*", "null", "a.example", "https://", "https://a/", "https://a/x", "https://*.a", "https://a:x", "https://a:65536",
     "https://u@a", "https://a?b", "https://a,b"],
)  # fmt: skip
def test_what_no_browser_sends_as_an_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="should be SCHEME"):
        parse_origins(text)


def test_secrets_have_names_and_may_hold_any_sign_but_a_comma() -> None:
    parsed = parse_secrets(f"new:{SECRET}:=/+, 2026-11:{SECRET}")
    assert isinstance(parsed, tuple)
    assert [(each.kid, each.secret.get_secret_value()) for each in parsed] == [
        ("new", f"{SECRET}:=/+"),
        ("2026-11", SECRET),
    ]


@pytest.mark.parametrize(
    "text",
    [SECRET, f":{SECRET}", f"a b:{SECRET}", f"../k:{SECRET}", "k:short", f"k:{SECRET},k:{SECRET}", f"k:{SECRET},"],
)
def test_other_secrets_are_refused_unquoted(text: str) -> None:
    with pytest.raises(ValueError, match="should") as caught:
        parse_secrets(text)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("text", [SECRET, "ü" * 16, "kid=" + SECRET])
def test_a_secret_of_32_bytes_is_strong_enough(text: str) -> None:
    assert check_secret(SecretStr(text)).get_secret_value() == text


@pytest.mark.parametrize("text", ["s" * 31, "-----BEGIN PUBLIC KEY-----" + SECRET, '{"kty":"RSA"}' + SECRET])
def test_a_weak_secret_or_a_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="secret"):
        check_secret(SecretStr(text))


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "rediss://u:p@h:6380/1",
        "unix:///run/v.sock?db=1",
        "redis://[::1]:6379",
        "redis+cluster://h",
        "redis+cluster://u:p,@h:1,[::1]:2,h3/0",
        "rediss+cluster://:p@h:1,h2:2?ssl_ca_certs=/ca.pem",
    ],
)
def test_redis_urls_are_fine(url: str) -> None:
    assert check_redis_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        "http://h",
        "redis://",
        "redis://h:x",
        "redis://h:99999",
        "unix://v.sock",
        "redis://[h",
        "",
        "redis+cluster://",
        "redis+cluster://h:1,",
        "redis+cluster://h:x,h:1",
        "redis+cluster://h:1/1",
        "unix+cluster:///run/v.sock",
    ],
)
def test_another_redis_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="should"):
        check_redis_url(url)


def test_a_cluster_is_named_by_some_of_its_nodes() -> None:
    assert redis_nodes("rediss+cluster://u:a,b@h:1,[::1]:2/0?x=y") == [
        "rediss://u:a,b@h:1/0?x=y",
        "rediss://u:a,b@[::1]:2/0?x=y",
    ]
    assert redis_nodes("redis://u:p@h:1/0") == ["redis://u:p@h:1/0"]


def test_a_jwks_is_a_file_or_an_http_url(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text("{}")
    for source in (str(path), "https://id.example/jwks", "http://127.0.0.1:1/"):
        assert check_jwks_source(source) == source


@pytest.mark.parametrize(
    "source", ["ftp://h/x", "https://", "https://h:x/", "file:///etc/passwd", "/nowhere", '{"keys":[]}']
)
def test_another_jwks_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="should"):
        check_jwks_source(source)


@pytest.mark.parametrize("path", ["/", "/nowhere", "x" * 10_000, "a\0b"])
def test_what_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="existing file"):
        check_file(Path(path))


@pytest.mark.parametrize("parse", [parse_rate_limit, parse_origins, parse_secrets])
def test_values_that_are_no_text_pass_for_pydantic_to_judge(parse: object) -> None:
    assert callable(parse)
    assert parse(None) is None
