from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.client.address import asking, endpoint


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ws://127.0.0.1:8080", "ws://127.0.0.1:8080/ws/desktop"),
        ("wss://hub.example/base/", "wss://hub.example/base/ws/desktop"),
        ("https://hub.example", "wss://hub.example/ws/desktop"),
        ("http://[::1]:80?x=1", "ws://[::1]:80/ws/desktop?x=1"),
    ],
)
def test_where_the_hub_is(url: str, expected: str) -> None:
    assert endpoint(url, "desktop") == expected


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://hub", "ws://", ""])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match="no address of a hub"):
        endpoint(url, "desktop")


def test_what_is_no_address_is_not_repeated_with_its_query() -> None:
    with pytest.raises(ValueError, match="no address") as caught:
        endpoint("hub.example?token=secret", "mobile")
    assert "secret" not in str(caught.value)


def test_asking_for_nothing_changes_nothing() -> None:
    assert asking("ws://hub/ws/mobile?x=1", {}) == "ws://hub/ws/mobile?x=1"


def test_what_may_stand_in_a_query_stands_there_as_it_is() -> None:
    assert asking("ws://hub/ws/mobile", {"resume": "a:b@c:1-2,d:3-4"}) == "ws://hub/ws/mobile?resume=a:b@c:1-2,d:3-4"


@given(st.text(), st.sampled_from(["ws://hub/ws/mobile", "ws://hub/ws/mobile?x=1"]))
def test_whatever_is_asked_for_comes_out_again(text: str, url: str) -> None:
    query = parse_qs(urlsplit(asking(url, {"resume": text})).query, keep_blank_values=True, errors="strict")
    assert query["resume"] == [text]
    assert query.get("x") == (["1"] if "x" in url else None)
