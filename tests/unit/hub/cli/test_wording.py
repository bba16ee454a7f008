from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.cli.wording import describe, label, printable
from hub.client import Connected, Disconnected, Message, Welcome


@given(st.text())
def test_what_is_printable_steers_no_terminal(text: str) -> None:
    shown = printable(text)
    assert not any(each < " " and each not in "\n\t" for each in shown)
    assert not any("\x7f" <= each < "\xa0" for each in shown)


def test_words_in_any_script_stay() -> None:
    assert printable("grüße\n\t你好 🎈") == "grüße\n\t你好 🎈"


@pytest.mark.parametrize(
    ("kind", "payload", "words"),
    [
        ("desktop:online", {"desktop_id": "d", "name": "Desk"}, "Desk [d] is online"),
        ("desktop:online", {"desktop_id": "d", "name": None}, "d is online"),
        ("desktop:offline", {"desktop_id": "d", "reason": "lost"}, "d is offline (lost)"),
        ("desktop:offline", {"desktop_id": "d", "last_seen": 10**30}, "d is offline (unknown)"),
        ("error", {"code": "queue_full", "message": "later"}, "error queue_full: later"),
        ("goodbye", {"reason": "restarting"}, "the hub says goodbye (restarting)"),
        ("receipt", {"status": "stored"}, "stored: the desktop is away, it gets it when it is back"),
        ("receipt", {"status": "expired"}, "expired: the desktop didn't take it in time"),
        ("receipt", {"status": "duplicate", "latest": "expired"}, "expired: the desktop didn't take it in time"),
        ("receipt", {"status": "delivered"}, None),
        ("receipt", {"status": "acknowledged"}, None),
        ("receipt", {"status": "duplicate", "latest": "delivered"}, None),
        ("resumed", {"desktop_id": "d", "complete": False}, "some of what d said is missing"),
        ("resumed", {"desktop_id": "d", "complete": True}, None),
        ("session:create", {"session_id": "s"}, "session s is asked for"),
    ],
)
def test_messages(kind: str, payload: dict[str, Any], words: str | None) -> None:
    assert describe(Message(kind, payload, 1)) == words


def test_last_seen_is_a_time() -> None:
    line = describe(
        Message("desktop:offline", {"desktop_id": "d", "reason": "lost", "last_seen": 1_700_000_000_000}, 1)
    )
    assert line is not None
    assert ", last seen 2023-11-1" in line


def test_the_connection() -> None:
    assert describe(Connected(Welcome(node_id="n"))) == "connected to n"
    assert describe(Connected(Welcome())) == "connected to the hub"
    assert describe(Disconnected(4102, "slow_consumer", 1.25)) == "disconnected (4102 slow_consumer); next try in 1.2 s"


def test_other_messages_are_not_about_that() -> None:
    assert describe(Message("agent:stream", {"text": "x"}, 1)) is None


def test_a_label_without_anything() -> None:
    assert label({}) == "unknown"
