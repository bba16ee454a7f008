import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from hub.config import Settings, SettingsError, load_settings, variable_name
from hub.config_values import RateLimit

SECRET = "a-secret-for-the-tests-0123456789abcdef"
GOOD = {"HUB_JWT_SECRET": SECRET}


def _lines(**variables: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings({**GOOD, **variables})
    return caught.value.lines


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = load_settings(GOOD)
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8080, 1)
    assert (settings.redis_url, settings.jwt_jwks) == (None, None)
    assert settings.allowed_origins == frozenset()
    assert (settings.heartbeat_timeout_s, settings.presence_ttl_s, settings.offline_grace_s) == (120, 120, 5)
    assert (settings.heartbeat_interval_s, settings.ping_interval_s) == (30, 25)
    assert settings.max_message_bytes == 1_048_576
    assert (settings.rate_limit, settings.user_rate_limit) == (RateLimit(200, 400), RateLimit(400, 800))
    assert (settings.max_mobiles_per_user, settings.max_desktops_per_user) == (20, 50)
    assert settings.data_dir == Path("data")
    assert (settings.jwt_leeway_s, settings.token_grace_s, settings.allow_query_token) == (10, 0, True)
    assert settings.max_connections is None
    assert (settings.inbox_bytes, settings.inbox_messages) == (4_194_304, 8192)


def test_the_defaults_of_what_is_kept_are_those_of_the_contract() -> None:
    settings = load_settings(GOOD)
    day_s, mib = 86_400, 1_048_576
    assert settings.mailbox
    assert (settings.mailbox_messages, settings.mailbox_bytes, settings.mailbox_age_s) == (1000, 4 * mib, day_s)
    assert (settings.dedupe_s, settings.dedupe_messages) == (day_s, 10_000)
    assert (settings.journal_messages, settings.journal_bytes, settings.journal_age_s) == (1000, 4 * mib, 3 * day_s)
    assert (settings.ring_messages, settings.ring_bytes, settings.replay_messages) == (2048, mib, 1000)


@pytest.mark.parametrize(("text", "kept"), [("off", False), ("false", False), ("on", True), ("true", True)])
def test_messages_are_kept_or_not(text: str, kept: bool) -> None:
    assert load_settings({**GOOD, "HUB_MAILBOX": text}).mailbox is kept


def test_every_variable_can_be_set() -> None:
    settings = load_settings(
        {
            "HUB_HOST": "::",
            "HUB_PORT": "0",
            "HUB_NODE_NAME": "node-7",
            "HUB_JWT_SECRETS": f"new:{SECRET},old:{SECRET}x",
            "HUB_RATE_LIMIT": "off",
            "HUB_ALLOWED_ORIGINS": "https://A.example, http://localhost:3000",
            "HUB_LOG_LEVEL": "DEBUG",
            "HUB_LOG_FORMAT": "pretty",
            "HUB_ALLOW_QUERY_TOKEN": "false",
            "HUB_DATA_DIR": "/srv/hub",
            "HUB_REDIS_URL": "unix:///run/valkey.sock",
            "HUB_MAX_CONNECTIONS": "9000",
        }
    )
    assert (settings.port, settings.node_name, settings.max_connections) == (0, "node-7", 9000)
    assert [each.kid for each in settings.jwt_secrets] == ["new", "old"]
    assert (settings.rate_limit, settings.user_rate_limit) == (None, None)
    assert settings.allowed_origins == {"https://a.example", "http://localhost:3000"}
    assert (settings.log_level, settings.log_format, settings.allow_query_token) == ("debug", "pretty", False)
    assert settings.redis_url == "unix:///run/valkey.sock"


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HUB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HUB_JWT_SECRET", SECRET)
    monkeypatch.setenv("HUB_PORT", "9999")
    assert load_settings().port == 9999
    assert load_settings(GOOD).port == 8080


def test_settings_never_change() -> None:
    with pytest.raises(ValidationError):
        load_settings(GOOD).port = 1


def test_the_wait_for_redis_is_there_in_seconds_too() -> None:
    assert load_settings({**GOOD, "HUB_REDIS_TIMEOUT_MS": "250"}).redis_timeout_s == 0.25


def test_intervals_follow_the_timeout() -> None:
    settings = load_settings({**GOOD, "HUB_HEARTBEAT_TIMEOUT_S": "2"})
    assert (settings.heartbeat_interval_s, settings.ping_interval_s) == (0.5, 0.5)


def test_the_node_is_named_after_host_and_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "büro_pc.example")
    assert load_settings({**GOOD, "HUB_PORT": "81"}).node_name == "b-ro-pc.example:81"


def test_an_empty_variable_is_unset() -> None:
    assert load_settings({**GOOD, "HUB_REDIS_URL": "", "HUB_PORT": ""}).port == 8080
    with pytest.raises(SettingsError, match="no key"):
        load_settings({"HUB_JWT_SECRET": ""})


def test_other_variables_are_none_of_ours() -> None:
    load_settings({**GOOD, "PATH": "/bin", "hub_port": "x", "HUBBUB": "x"})


def test_what_clients_read_is_no_setting_and_no_fault() -> None:
    load_settings({**GOOD, "HUB_TOKEN": "x"})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("HUB_PROT", "HUB_PORT"),
        ("HUB_HEARTBEAT_TIMEOUT", "HUB_HEARTBEAT_TIMEOUT_S"),
        ("HUB_JWT_SECERT", "HUB_JWT_SECRET"),
    ],
)
def test_an_unknown_variable_is_answered_with_what_was_meant(name: str, meant: str) -> None:
    (line,) = _lines(**{name: "c4nary"})
    assert name in line
    assert f"did you mean {meant}?" in line
    assert "c4nary" not in line


def test_an_unknown_variable_like_no_other_is_just_unknown() -> None:
    assert _lines(HUB_QQQQQQQQQQQQ="1") == ["HUB_QQQQQQQQQQQQ: there is no such setting"]


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("port", "65536"),
        ("port", "tcp://10.0.0.1:80"),
        ("workers", "129"),
        ("workers", "0"),
        ("jwt_leeway_s", "121"),
        ("jwt_leeway_s", "-1"),
        ("jwt_leeway_s", "nan"),
        ("heartbeat_timeout_s", "0"),
        ("heartbeat_timeout_s", "inf"),
        ("heartbeat_timeout_s", "nan"),
        ("max_message_bytes", "1023"),
        ("max_message_bytes", "67108865"),
        ("max_connections", "0"),
        ("rate_limit", "200"),
        ("user_rate_limit", "800"),
        ("allowed_origins", "*"),
        ("redis_url", "http://localhost"),
        ("node_name", "a b"),
        ("log_format", "xml"),
        ("log_level", "loud"),
        ("tls_cert", "/nowhere/cert.pem"),
        ("jwt_jwks", "/nowhere/jwks.json"),
        ("allow_query_token", "perhaps"),
        ("inbox_messages", "15"),
        ("mailbox", "perhaps"),
        ("mailbox_messages", "0"),
        ("mailbox_bytes", "0"),
        ("mailbox_age_s", "0"),
        ("mailbox_age_s", "34560001"),
        ("dedupe_s", "inf"),
        ("dedupe_messages", "0"),
        ("journal_messages", "0"),
        ("journal_bytes", "-1"),
        ("journal_age_s", "nan"),
        ("ring_messages", "0"),
        ("ring_bytes", "1023"),
        ("replay_messages", "0"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_its_variable(field: str, text: str) -> None:
    lines = [line for line in _lines(**{variable_name(field): text}) if "exclude each other" not in line]
    assert len(lines) == 1
    assert lines[0].startswith(variable_name(field))
    assert "\n" not in lines[0]


def test_all_violations_are_told_at_once() -> None:
    lines = _lines(
        HUB_PROT="1",
        HUB_PORT="x",
        HUB_WORKERS="x",
        HUB_JWT_SECRET="short",
        HUB_RATE_LIMIT="0:0",
        HUB_HEARTBEAT_TIMEOUT_S="200",
        HUB_HEARTBEAT_INTERVAL_S="150",
        HUB_INBOX_BYTES="4096",
    )
    starts = [line.replace(":", " ").split()[0] for line in lines]
    assert sorted(starts) == sorted(
        [
            "HUB_PROT",
            "HUB_PORT",
            "HUB_WORKERS",
            "HUB_JWT_SECRET",
            "HUB_RATE_LIMIT",
            "HUB_HEARTBEAT_TIMEOUT_S",
            "HUB_PRESENCE_TTL_S",
            "HUB_INBOX_BYTES",
        ]
    )


def test_a_law_about_a_wrong_value_isnt_told_too() -> None:
    assert len(_lines(HUB_HEARTBEAT_TIMEOUT_S="x", HUB_HEARTBEAT_INTERVAL_S="500")) == 1
    (line,) = _lines(HUB_JWT_SECRET="short")
    assert "5 bytes" in line


def test_a_start_without_a_key_is_refused_but_for_development() -> None:
    with pytest.raises(SettingsError, match="HUB_JWT_SECRET"):
        load_settings({})
    settings = load_settings({}, dev=True)
    assert settings.jwt_secret is not None
    assert len(settings.jwt_secret.get_secret_value()) >= 32
    assert settings.generated == {"jwt_secret"}
    assert settings.jwt_secret != load_settings({}, dev=True).jwt_secret


def test_development_keeps_the_key_that_is_set() -> None:
    settings = load_settings(GOOD, dev=True)
    assert settings.jwt_secret is not None
    assert settings.jwt_secret.get_secret_value() == SECRET
    assert settings.generated == frozenset()
    assert load_settings({"HUB_JWT_JWKS": "https://id.example/jwks"}, dev=True).jwt_secret is None


def test_no_secret_is_shown_by_repr_or_by_an_error() -> None:
    secret = "c4nary" * 8
    settings = load_settings(
        {"HUB_JWT_SECRET": secret, "HUB_JWT_SECRETS": f"k:{secret}", "HUB_REDIS_URL": "redis://u:c4nary@h:1/0"}
    )
    assert "c4nary" not in repr(settings) + str(settings)
    bad = {"HUB_JWT_SECRET": "c4nary", "HUB_JWT_SECRETS": "c4nary", "HUB_REDIS_URL": "redis://u:c4nary@h:port/0"}
    lines = _lines(**bad, HUB_JWT_JWKS="ftp://u:c4nary@h", HUB_TLS_KEY="-----BEGIN c4nary" + "x" * 5000)
    assert len(lines) == 5
    assert "c4nary" not in "".join(lines)
    with pytest.raises(ValidationError) as caught:
        Settings(jwt_secret="c4nary")  # type: ignore[arg-type]
    assert "c4nary" not in str(caught.value)


def test_settings_built_by_hand_keep_the_laws_too() -> None:
    with pytest.raises(ValidationError, match="HUB_PRESENCE_TTL_S"):
        Settings(jwt_secret=SECRET, presence_ttl_s=1)  # type: ignore[arg-type]


def test_every_setting_says_what_it_is_for() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
