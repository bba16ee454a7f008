"""Programs of others are written against these names: taking one away or renaming it breaks them."""

import inspect

import hub.client
from hub.client import HubClient

PUBLIC = {
    "Connected",
    "Disconnected",
    "Event",
    "HubClient",
    "HubClosed",
    "Message",
    "NotConnected",
    "Receipt",
    "Refused",
    "Role",
    "TokenSource",
    "TooBig",
    "TooManyPosts",
    "Welcome",
    "World",
}


def test_the_public_names_are_these() -> None:
    assert set(hub.client.__all__) == PUBLIC
    assert sorted(hub.client.__all__) == hub.client.__all__
    assert all(hasattr(hub.client, name) for name in PUBLIC)


def test_what_a_client_can_do() -> None:
    methods = {name for name, _ in inspect.getmembers(HubClient, inspect.isfunction) if not name.startswith("_")}
    assert methods == {"ack", "close", "drop", "events", "post", "ready", "send"}


def test_how_a_client_is_made() -> None:
    assert list(inspect.signature(HubClient).parameters) == [
        "url",
        "role",
        "token",
        "resume",
        "acks",
        "send_wait_s",
        "open_timeout_s",
        "world",
    ]
