"""Services on a hub of two nodes: whichever of them is asked, the answer is the hub's (docs/protocol.md, "HTTP")."""

import time
from typing import Any

import pytest

from tests.support.clients import Close, absent_desktop, desktop, handed_over, mobile, new_name
from tests.support.event_source import EventSource, listening
from tests.support.hub_process import HubProcess
from tests.support.replays import until
from tests.support.two_hubs import TwoHubs, node_of, post

pytest_plugins = ("tests.support.two_hubs_fixtures",)

REVOKED = Close(4001, "token_invalid")
WITHIN_S = 1.5
"""A second, and what a busy machine takes on top."""


# -- messages ------------------------------------------------------------------------------------------------------


async def test_a_message_to_a_desktop_on_the_other_node(two_hubs: TwoHubs) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    path = f"users/{user}/desktops/{desktop_id}/messages"
    message: dict[str, Any] = {"payload": {"text": "hello"}, "message_id": "a"}
    named = {"message_id": "a", "desktop_id": desktop_id}
    async with desktop(two_hubs.here, desktop_id, user) as agent, mobile(two_hubs.there, user) as phone:
        await phone.expect("desktop:online")
        assert await post(two_hubs.there, path, **message) == (202, named | {"status": "stored"})
        came = await agent.expect("user:message")
        assert (came.message_id, came.whole["user_id"]) == ("a", user)
        assert "device_id" not in came.whole
        await until(lambda: _status(two_hubs, user, desktop_id, "a") == "delivered")
        for hub in (two_hubs.here, two_hubs.there):
            again = named | {"status": "duplicate", "latest": "delivered"}
            assert await post(hub, path, **message) == (200, again)
            assert (await post(hub, path, payload={"text": "else"}, message_id="a"))[0] == 422
        assert [message.message_id for message in await handed_over(agent, phone, desktop_id)] == []
        assert [each for each in await phone.sync() if each.payload.get("message_id") == "a"] == []


async def test_a_session_for_a_desktop_of_a_user_who_has_nobody_on_the_node(two_hubs: TwoHubs) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    path = f"users/{user}/desktops/{desktop_id}/sessions"
    async with desktop(two_hubs.here, desktop_id, user, acks=True) as agent:
        await until(lambda: two_hubs.owner(desktop_id) == user)
        status, answer = await post(two_hubs.there, path, session_id="s", cwd="/", message_id="a")
        assert (status, answer["status"]) == (202, "stored")
        came = await agent.expect("session:create")
        assert came.payload == {"desktop_id": desktop_id, "session_id": "s", "cwd": "/"}
        await agent.send("ack", {"message_id": "a"})
        await until(lambda: _status(two_hubs, user, desktop_id, "a") == "acknowledged")
        status, answer = await post(two_hubs.there, path, session_id="s", cwd="/", message_id="a")
        assert (status, answer["status"], answer["latest"]) == (200, "duplicate", "acknowledged")


async def test_messages_wait_expire_or_find_no_desktop(two_hubs: TwoHubs) -> None:
    user, stranger = new_name("u"), new_name("u")
    async with mobile(two_hubs.here, user) as phone:
        desktop_id = await absent_desktop(two_hubs.here, user, phone)
        await until(lambda: two_hubs.owner(desktop_id) == user)
        path = f"users/{user}/desktops/{desktop_id}/messages"
        assert (await post(two_hubs.there, path, payload={}, message_id="a"))[0] == 202
        assert (await post(two_hubs.there, path, payload={}, valid_until=1))[1]["status"] == "expired"
        assert (await post(two_hubs.there, f"users/{stranger}/desktops/{desktop_id}/messages", payload={}))[0] == 404
        async with desktop(two_hubs.here, desktop_id, user) as agent:
            assert (await agent.expect("user:message")).message_id == "a"


def _status(two_hubs: TwoHubs, user: str, desktop_id: str, message_id: str) -> str:
    """What became of a message, as Redis has it."""
    receipt: bytes | None = two_hubs.server.say("HGET", f"hub:{{{user}}}:receipts:{desktop_id}", f"m:{message_id}")
    return "" if receipt is None else receipt.decode().split("|")[0]


# -- revocation ------------------------------------------------------------------------------------------------------


@pytest.mark.hostile
@pytest.mark.parametrize("what", ["jti", "desktop_id"])
async def test_a_desktop_on_the_other_node_is_revoked(two_hubs: TwoHubs, what: str) -> None:
    user, desktop_id, jti = new_name("u"), new_name("d"), new_name("jti")
    revoked = {"jti": jti} if what == "jti" else {"desktop_id": desktop_id}
    async with (
        mobile(two_hubs.here, user) as near,
        mobile(two_hubs.there, user) as far,
        desktop(two_hubs.there, desktop_id, user, jti=jti) as agent,
    ):
        for phone in (near, far):
            await phone.expect("desktop:online", desktop_id=desktop_id)
        begun = time.monotonic()
        assert (await post(two_hubs.here, "revoke", **revoked))[0] == 200
        assert await agent.closed() == REVOKED
        for phone in (near, far):
            await phone.expect("desktop:offline", desktop_id=desktop_id, reason="revoked")
        assert time.monotonic() - begun < WITHIN_S
        await until(lambda: two_hubs.entries(desktop_id) == [(user, "online", ""), (user, "offline", "revoked")])


@pytest.mark.hostile
async def test_a_device_and_then_its_user_are_revoked_on_the_other_node(two_hubs: TwoHubs) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with (
        mobile(two_hubs.there, user, device_id="lost") as lost,
        mobile(two_hubs.there, user, device_id="kept") as kept,
        mobile(two_hubs.there, new_name("u"), device_id="lost") as stranger,
        desktop(two_hubs.there, desktop_id, user) as agent,
    ):
        begun = time.monotonic()
        assert (await post(two_hubs.here, "revoke", user_id=user, device_id="lost"))[0] == 200
        assert await lost.closed() == REVOKED
        assert time.monotonic() - begun < WITHIN_S
        await kept.sync()
        await agent.sync()
        begun = time.monotonic()
        assert (await post(two_hubs.here, "revoke", user_id=user))[0] == 200
        assert [await peer.closed() for peer in (kept, agent)] == [REVOKED] * 2
        assert time.monotonic() - begun < WITHIN_S
        await stranger.sync()


# -- nodes and presence --------------------------------------------------------------------------------------------


async def test_each_node_lists_both(two_hubs: TwoHubs) -> None:
    """Connections of tests before may still be counted, and nodes that they ended."""
    user, hubs = new_name("u"), (two_hubs.here, two_hubs.there)
    here, there = map(node_of, hubs)
    async with desktop(two_hubs.here, new_name("d"), user), mobile(two_hubs.there, user):
        expected = {here: ("ready", 1, 0), there: ("ready", 0, 1)}
        for hub in hubs:
            await until(lambda hub=hub: _nodes(hub) == expected)  # type: ignore[misc]


def _nodes(hub: HubProcess) -> dict[str, tuple[str, int, int]]:
    nodes = hub.get("/internal/nodes", token=hub.mint.service()).json()["nodes"]
    assert [node["node_id"] for node in nodes] == sorted(node["node_id"] for node in nodes)
    return {
        node["node_id"]: (node["state"], node["connections"]["desktop"], node["connections"]["mobile"])
        for node in nodes
    }


async def test_each_change_of_presence_is_told_once_by_both_nodes(two_hubs: TwoHubs) -> None:
    old, new, desktop_id, last = new_name("u"), new_name("u"), new_name("d"), new_name("d")
    expected = [(old, "online", ""), (old, "offline", "sleep"), (old, "online", "")]
    owners = {(old, "offline", "superseded"), (new, "online", "")}  # Of two users, so in any order.
    async with (
        mobile(two_hubs.here, old),
        mobile(two_hubs.there, new),
        listening(two_hubs.here) as near,
        listening(two_hubs.there) as far,
    ):
        for service in (near, far):
            await service.expect("place")
        async with desktop(two_hubs.here, desktop_id, old) as agent:
            await agent.leave("sleep")
        await until(lambda: two_hubs.entries(desktop_id) == expected[:2])
        async with desktop(two_hubs.there, desktop_id, old) as older:
            await until(lambda: two_hubs.entries(desktop_id) == expected)
            async with desktop(two_hubs.here, desktop_id, old):  # A move is no change.
                await older.closed()
                async with desktop(two_hubs.there, desktop_id, new) as agent:
                    await until(lambda: len(two_hubs.entries(desktop_id)) == 5)
                    await agent.leave("quit")
        await until(lambda: (new, "offline", "quit") in two_hubs.entries(desktop_id))
        async with desktop(two_hubs.there, last, new):
            told = [await _told(service, desktop_id, last) for service in (near, far)]
        entries = two_hubs.entries(desktop_id)
        assert entries[:3] == expected
        assert set(entries[3:5]) == owners
        assert entries[5:] == [(new, "offline", "quit")]
        assert [tuple(change) for _, *change in told[0]] == entries
        assert told[0] == told[1]


async def _told(service: EventSource, desktop_id: str, last: str) -> list[tuple[str, str, str, str]]:
    """What a service is told of a desktop before another one comes: the event's id, whose it is, its state and why."""
    changes = []
    while (event := await service.expect("presence")).data["desktop_id"] != last:
        if event.data["desktop_id"] == desktop_id:
            changes.append((event.last_id, event.data["user_id"], event.data["state"], event.data["reason"]))
    return changes
