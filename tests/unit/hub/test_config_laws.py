from pathlib import Path

import pytest

from hub.config import SettingsError, load_settings

SECRET = "a-secret-for-the-tests-0123456789abcdef"


def _lines(**variables: str) -> list[str]:
    try:
        load_settings({"HUB_JWT_SECRET": SECRET, **variables})
    except SettingsError as error:
        return error.lines
    return []


@pytest.mark.parametrize(
    ("variables", "broken"),
    [
        ({"HUB_HEARTBEAT_TIMEOUT_S": "10", "HUB_HEARTBEAT_INTERVAL_S": "5"}, None),
        (
            {"HUB_HEARTBEAT_TIMEOUT_S": "10", "HUB_HEARTBEAT_INTERVAL_S": "5.01"},
            "twice HUB_HEARTBEAT_INTERVAL_S (5.01)",
        ),
        ({"HUB_HEARTBEAT_TIMEOUT_S": "10", "HUB_PING_INTERVAL_S": "9.9"}, None),
        ({"HUB_HEARTBEAT_TIMEOUT_S": "10", "HUB_PING_INTERVAL_S": "10"}, "HUB_PING_INTERVAL_S (10) should be less"),
        ({"HUB_PRESENCE_TTL_S": "120"}, None),
        ({"HUB_PRESENCE_TTL_S": "119"}, "HUB_PRESENCE_TTL_S (119) should be at least HUB_HEARTBEAT_TIMEOUT_S (120)"),
        ({"HUB_INBOX_BYTES": "2097152"}, None),
        ({"HUB_INBOX_BYTES": "2097151"}, "HUB_MAX_MESSAGE_BYTES (1048576)"),
        ({"HUB_MAILBOX_BYTES": "1048576", "HUB_JOURNAL_BYTES": "1048576"}, None),
        ({"HUB_MAILBOX_BYTES": "1048575"}, "HUB_MAILBOX_BYTES (1048575) should be at least HUB_MAX_MESSAGE_BYTES"),
        ({"HUB_JOURNAL_BYTES": "1048575"}, "HUB_JOURNAL_BYTES (1048575) should be at least HUB_MAX_MESSAGE_BYTES"),
        ({"HUB_MAX_MESSAGE_BYTES": "8388608", "HUB_INBOX_BYTES": "16777216"}, "HUB_MAILBOX_BYTES (4194304)"),
        ({"HUB_DEDUPE_S": "60", "HUB_MAILBOX_AGE_S": "60"}, None),
        ({"HUB_DEDUPE_S": "60", "HUB_MAILBOX_AGE_S": "61"}, "HUB_MAILBOX_AGE_S (61)"),
        ({"HUB_DEDUPE_MESSAGES": "9", "HUB_MAILBOX_MESSAGES": "9"}, None),
        ({"HUB_DEDUPE_MESSAGES": "9", "HUB_MAILBOX_MESSAGES": "10"}, "HUB_DEDUPE_MESSAGES (9)"),
        ({"HUB_RATE_LIMIT": "20:30", "HUB_USER_RATE_LIMIT": "20:30"}, None),
        ({"HUB_RATE_LIMIT": "off", "HUB_USER_RATE_LIMIT": "1:1"}, None),
        ({"HUB_USER_RATE_LIMIT": "off"}, None),
        ({"HUB_RATE_LIMIT": "20:30", "HUB_USER_RATE_LIMIT": "19:30"}, "HUB_RATE_LIMIT (20:30)"),
        ({"HUB_RATE_LIMIT": "20:30", "HUB_USER_RATE_LIMIT": "20:29"}, "HUB_USER_RATE_LIMIT (20:29)"),
        ({"HUB_JWT_JWKS": "https://id.example/"}, "exclude each other"),
        ({"HUB_JWT_SECRET": ""}, "no key"),
        ({"HUB_JWT_SECRET": "", "HUB_JWT_SECRETS": f"k:{SECRET}"}, None),
        ({"HUB_JWT_SECRET": "", "HUB_JWT_JWKS": "https://id.example/"}, None),
        ({"HUB_JWT_SECRETS": f"k:{SECRET}"}, None),
        ({"HUB_NODE_NAME": "n" * 128}, None),
        ({"HUB_NODE_NAME": "n" * 126, "HUB_WORKERS": "2"}, None),
        ({"HUB_NODE_NAME": "n" * 127, "HUB_WORKERS": "2"}, "HUB_NODE_NAME (127 letters) should be shorter"),
        ({"HUB_NODE_NAME": "n" * 126, "HUB_WORKERS": "10"}, "HUB_NODE_NAME (126 letters) should be shorter"),
        ({"HUB_TLS_CERT": __file__}, "HUB_TLS_KEY is not"),
        ({"HUB_TLS_KEY": __file__}, "HUB_TLS_CERT is not"),
        ({"HUB_TLS_KEY": __file__, "HUB_TLS_CERT": __file__}, None),
    ],
)
def test_a_law_holds_or_is_told_in_one_line(variables: dict[str, str], broken: str | None) -> None:
    lines = _lines(**variables)
    assert len(lines) == (broken is not None)
    assert broken is None or broken in lines[0]


def test_every_broken_law_is_told() -> None:
    lines = _lines(HUB_PRESENCE_TTL_S="1", HUB_INBOX_BYTES="4096", HUB_TLS_KEY=str(Path(__file__)))
    assert len(lines) == 3
