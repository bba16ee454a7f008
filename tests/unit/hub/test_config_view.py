import pytest

from hub.config import Settings, load_settings
from hub.config_view import MASK, SettingLine, describe_settings, list_settings

SECRET = "c4nary-secret-for-the-tests-0123456789"


def _described(dev: bool = False, **variables: str) -> dict[str, SettingLine]:
    return {line.variable: line for line in describe_settings(load_settings(variables, dev=dev))}


def test_each_value_says_where_it_is_from() -> None:
    lines = _described(HUB_JWT_SECRET=SECRET, HUB_PORT="81", HUB_HEARTBEAT_INTERVAL_S="10")
    assert (lines["HUB_PORT"].value, lines["HUB_PORT"].source) == ("81", "environment")
    assert (lines["HUB_HOST"].value, lines["HUB_HOST"].source) == ("127.0.0.1", "default")
    assert (lines["HUB_PING_INTERVAL_S"].value, lines["HUB_PING_INTERVAL_S"].source) == ("25", "derived")
    assert lines["HUB_HEARTBEAT_INTERVAL_S"].source == "environment"
    assert lines["HUB_NODE_NAME"].source == "derived"
    assert lines["HUB_REDIS_URL"].value == ""


def test_a_secret_made_for_development_is_generated() -> None:
    line = _described(dev=True)["HUB_JWT_SECRET"]
    assert (line.value, line.source) == (MASK, "generated")


def test_values_are_as_they_would_be_written() -> None:
    lines = _described(
        HUB_JWT_SECRET=SECRET, HUB_RATE_LIMIT="off", HUB_ALLOWED_ORIGINS="https://b.example,https://a.example"
    )
    assert lines["HUB_RATE_LIMIT"].value == lines["HUB_USER_RATE_LIMIT"].value == "off"
    assert lines["HUB_ALLOWED_ORIGINS"].value == "https://a.example,https://b.example"
    assert lines["HUB_ALLOW_QUERY_TOKEN"].value == "true"
    assert lines["HUB_JWT_LEEWAY_S"].value == "10"
    assert lines["HUB_MAX_MESSAGE_BYTES"].value == "1048576"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://u:c4nary@h:1/0", f"redis://u:{MASK}@h:1/0"),
        ("rediss://:c4nary@h", f"rediss://:{MASK}@h"),
        ("redis://u:c4na@ry:c4nary@h", f"redis://u:{MASK}@h"),
        ("redis://u:12#c4nary@h", f"redis://u:{MASK}@h"),
        ("redis://h/0?username=u&password=c4nary&db=1", f"redis://h/0?username=u&password={MASK}&db=1"),
        ("unix:///run/v.sock?password=c4nary", f"unix:///run/v.sock?password={MASK}"),
        ("redis://h:1/0", "redis://h:1/0"),
    ],
)
def test_passwords_in_urls_are_masked(url: str, shown: str) -> None:
    assert _described(HUB_JWT_SECRET=SECRET, HUB_REDIS_URL=url)["HUB_REDIS_URL"].value == shown


def test_no_secret_is_shown_anywhere() -> None:
    lines = _described(HUB_JWT_SECRET=SECRET, HUB_JWT_SECRETS=f"k1:{SECRET},k2:{SECRET}")
    assert "c4nary" not in repr(lines)
    assert lines["HUB_JWT_SECRETS"].value == f"k1:{MASK},k2:{MASK}"
    jwks = _described(HUB_JWT_JWKS="https://u:c4nary@id.example/jwks?token=c4nary")
    assert "c4nary" not in repr(jwks)


def test_the_list_for_help_needs_no_environment() -> None:
    lines = {line.variable: line for line in list_settings()}
    assert len(lines) == len(Settings.model_fields)
    assert lines["HUB_RATE_LIMIT"].value == "200:400"
    assert lines["HUB_HEARTBEAT_INTERVAL_S"].source == "derived"
    assert all(line.description for line in lines.values())
