"""What stands in the query of a socket, read strictly."""

import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from sanic import Request, Sanic

from actors.offsets import BEGINNING, Offset
from hub.routes.asked import MOST_RESUMED, acks, resume
from hub.routes.problems import Problem

Asking = Callable[[str], Request]


@pytest.fixture(scope="module")
def asking() -> Asking:
    """Makes the request of a socket with this query."""
    app: Sanic[Any, Any] = Sanic(f"asked-{secrets.token_hex(4)}", configure_logging=False)
    transport: Any = None
    return lambda query: Request(f"/ws/x?{query}".encode(), {}, "1.1", "GET", transport, app)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("query", "asked"), [("", False), ("ack=1", True), ("ack=0", False), ("token=x", False), ("token=x&ack=1", True)]
)
def test_a_desktop_asks_for_acks(asking: Asking, query: str, asked: bool) -> None:
    assert acks(asking(query)) is asked


@pytest.mark.parametrize("query", ["ack=2", "ack=true", "ack=01", "ack=%201", "ack=1&ack=1", "ack=1&ack=0"])
def test_acks_are_asked_for_in_one_way(asking: Asking, query: str) -> None:
    with pytest.raises(Problem) as refused:
        acks(asking(query))
    assert (refused.value.status, refused.value.code) == (400, "bad_request")


@pytest.mark.parametrize(
    ("query", "places"),
    [
        ("", {}),
        ("token=x", {}),
        ("resume=d:0-0", {"d": BEGINNING}),
        ("token=x&resume=d:17-4", {"d": Offset(17, 4)}),
        ("resume=d:1-2,e:3-4", {"d": Offset(1, 2), "e": Offset(3, 4)}),
        ("resume=d%3A1-2%2Ce%3A3-4", {"d": Offset(1, 2), "e": Offset(3, 4)}),
        ("resume=a:b:1-2", {"a:b": Offset(1, 2)}),
        (f"resume=d:{2**64 - 1}-{2**64 - 1}", {"d": Offset(2**64 - 1, 2**64 - 1)}),
        (f"resume={'x' * 128}:0-1", {"x" * 128: Offset(0, 1)}),
    ],
)
def test_a_phone_says_up_to_where_it_has_seen_desktops(asking: Asking, query: str, places: dict[str, Offset]) -> None:
    assert resume(asking(query)) == places


def test_the_order_is_kept_and_the_most_are_taken(asking: Asking) -> None:
    names = [f"d-{number}" for number in range(MOST_RESUMED, 0, -1)]
    assert list(resume(asking("resume=" + ",".join(f"{name}:0-0" for name in names)))) == names


@pytest.mark.parametrize(
    "asked",
    [
        "d",
        "d:",
        ":1-1",
        "d:1",
        "d:1-1,",
        "d:1-1,,e:1-1",
        "d:1-1,d:2-2",
        "d e:1-1",
        "d:1-1\n",
        f"d:{2**64}-0",
        "d:\uff11-1",
        "x" * 129 + ":0-0",
        ",".join(f"d-{number}:0-0" for number in range(MOST_RESUMED + 1)),
    ],
)
def test_anything_else_is_refused(asking: Asking, asked: str) -> None:
    with pytest.raises(Problem) as refused:
        resume(asking("resume=" + quote(asked)))
    assert (refused.value.status, refused.value.code) == (400, "bad_request")


def test_what_is_there_twice_is_refused(asking: Asking) -> None:
    with pytest.raises(Problem, match="resume should be there once"):
        resume(asking("resume=d:0-0&resume=e:0-0"))
