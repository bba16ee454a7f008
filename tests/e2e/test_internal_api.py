"""What other services ask beside presence: messages to desktops, and nodes (docs/protocol.md, "Messages over HTTP")."""

import json
import time
from typing import Any

import httpx

from tests.support.clients import Message, absent_desktop, desktop, mobile, new_name, say
from tests.support.hub_process import HubProcess
from tests.support.hub_settings import NewHub
from tests.support.raw import raw_desktop
from tests.support.replays import until
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.hub_fixtures",)


class Service:
    """Another service, with one desktop of one user in mind."""

    def __init__(self, hub: HubProcess, user_id: str, desktop_id: str) -> None:
        self.hub = hub
        self._path = f"/internal/users/{user_id}/desktops/{desktop_id}"

    async def post(self, what: str, body: object, token: str | None = None) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token or self.hub.mint.service()}"}
        async with httpx.AsyncClient(trust_env=False, timeout=10, verify=self.hub.tls) as client:
            return await client.post(f"{self.hub.url}{self._path}/{what}", content=content, headers=headers)

    async def say(self, message_id: str, text: str = "hello", **members: Any) -> tuple[int, dict[str, Any]]:
        answer = await self.post("messages", {"payload": {"text": text}, "message_id": message_id, **members})
        return answer.status_code, answer.json()

    async def refused(self, what: str, body: object) -> tuple[int, str]:
        answer = await self.post(what, body)
        assert answer.headers["content-type"] == "application/problem+json"
        if answer.status_code in {429, 503}:
            assert int(answer.headers["retry-after"]) >= 1
        return answer.status_code, answer.json()["code"]


def without_time(message: Message) -> dict[str, Any]:
    return {name: member for name, member in message.whole.items() if name != "timestamp"}


async def test_a_message_of_a_service_is_that_of_a_phone(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with mobile(hub, user) as phone, desktop(hub, desktop_id, user) as agent:
        await say(phone, desktop_id, "a")
        of_phone = await agent.expect("user:message")
        answer = await Service(hub, user, desktop_id).say("b")
        assert answer == (202, {"message_id": "b", "desktop_id": desktop_id, "status": "stored"})
        of_service = await agent.expect("user:message")
        assert without_time(of_service) == {**without_time(of_phone), "message_id": "b"}
        assert list(of_service.whole) == list(of_phone.whole)
        assert of_service.whole["user_id"] == user
        assert "device_id" not in of_service.whole
        told = [message for message in await phone.sync() if message.type == "receipt"]
        assert {message.payload["message_id"] for message in told} == {"a"}


async def test_a_session_of_a_service(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    body = {"session_id": "s", "cwd": "/tmp", "message_id": "a", "valid_until": 2**53 - 1}
    async with desktop(hub, desktop_id, user) as agent:
        answer = await Service(hub, user, desktop_id).post("sessions", body)
        assert (answer.status_code, answer.json()["status"]) == (202, "stored")
        came = await agent.expect("session:create")
        assert came.payload == {"desktop_id": desktop_id, "session_id": "s", "cwd": "/tmp"}
        assert (came.message_id, came.whole["valid_until"]) == ("a", 2**53 - 1)


async def test_a_message_waits_for_its_desktop_and_asking_again_tells_what_became_of_it(hub: HubProcess) -> None:
    """Nobody of the user is connected: whose the desktop is stands in Redis."""
    user, desktop_id = new_name("u"), new_name("d")
    service = Service(hub, user, desktop_id)
    async with desktop(hub, desktop_id, user) as agent:
        await until(lambda: hub.redis("GET", f"hub:owner:{desktop_id}") == user)
        await agent.leave()
    assert (await service.say("a"))[0] == 202
    again = {"message_id": "a", "desktop_id": desktop_id, "status": "duplicate"}
    assert await service.say("a") == (200, {**again, "latest": "stored"})
    async with desktop(hub, desktop_id, user, acks=True) as agent:
        assert (await agent.expect("user:message")).message_id == "a"
        await until(lambda: latest(hub, user, desktop_id, "a") == "delivered")
        await agent.send("ack", {"message_id": "a"})
        await until(lambda: latest(hub, user, desktop_id, "a") == "acknowledged")
        assert await service.say("a") == (200, {**again, "latest": "acknowledged"})
        assert [each for each in await agent.sync() if each.type == "user:message"] == []
    assert hub.redis("KEYS", f"hub:{{{user}}}:kept:*") == []


def latest(hub: HubProcess, user_id: str, desktop_id: str, message_id: str) -> str:
    return str(hub.redis("HGET", f"hub:{{{user_id}}}:receipts:{desktop_id}", f"m:{message_id}")).split("|")[0]


async def test_a_name_is_made_and_told(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(hub, desktop_id, user) as agent:
        answer = await Service(hub, user, desktop_id).post("messages", {"payload": {}})
        assert (await agent.expect("user:message")).message_id == answer.json()["message_id"]


async def test_what_is_over_is_expired(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with desktop(hub, desktop_id, user):
        status, body = await Service(hub, user, desktop_id).say("old", valid_until=1)
    assert (status, body["status"]) == (200, "expired")


async def test_a_desktop_that_is_not_the_users_is_not_found(hub: HubProcess) -> None:
    user, other, desktop_id, away = new_name("u"), new_name("u"), new_name("d"), new_name("d")
    body: dict[str, Any] = {"payload": {}}
    async with desktop(hub, desktop_id, user), desktop(hub, away, user) as leaving:
        await leaving.leave()
        for who, which in ((other, desktop_id), (other, away), (user, new_name("d")), (other, new_name("d"))):
            assert await Service(hub, who, which).refused("messages", body) == (404, "desktop_not_found")


async def test_a_name_that_was_used_for_something_else(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    service = Service(hub, user, desktop_id)
    async with desktop(hub, desktop_id, user):
        await service.say("a", "one")
        body = {"payload": {"text": "other"}, "message_id": "a"}
        assert await service.refused("messages", body) == (422, "bad_payload")
        assert await service.refused("sessions", {"session_id": "s", "message_id": "a"}) == (422, "bad_payload")


async def test_bodies_and_ids_that_are_no_good(hub: HubProcess) -> None:
    service = Service(hub, new_name("u"), new_name("d"))
    assert await service.refused("messages", b"junk") == (400, "bad_payload")
    assert await service.refused("sessions", {}) == (400, "bad_payload")
    assert await service.refused("messages", {"payload": {"x": "x" * 300_000}}) == (413, "too_large")
    assert await Service(hub, "no%20id", "d").refused("messages", {"payload": {}}) == (400, "bad_request")


async def test_messages_are_for_services_only(hub: HubProcess) -> None:
    service = Service(hub, "u", "d")
    for what in ("messages", "sessions"):
        assert (await service.post(what, {}, hub.mint.mobile("u"))).status_code == 403
        assert (await service.post(what, {}, hub.mint.desktop("d", "u"))).status_code == 403
        assert (await service.post(what, {}, "junk")).status_code == 401


async def test_a_full_mailbox_and_a_small_hub(new_hub: NewHub) -> None:
    hub = new_hub({"HUB_MAILBOX_MESSAGES": "1", "HUB_MAX_MESSAGE_BYTES": "1024"}).start()
    user = new_name("u")
    async with mobile(hub, user) as phone:
        service = Service(hub, user, await absent_desktop(hub, user, phone))
        assert (await service.say("a"))[0] == 202
        assert await service.refused("messages", {"payload": {}}) == (429, "queue_full")
        assert await service.refused("messages", {"payload": {"x": "x" * 2000}}) == (413, "too_large")


async def test_without_a_mailbox(new_hub: NewHub) -> None:
    hub = new_hub({"HUB_MAILBOX": "off"}).start()
    user, desktop_id = new_name("u"), new_name("d")
    async with mobile(hub, user) as phone:
        absent = await absent_desktop(hub, user, phone)
        async with desktop(hub, desktop_id, user) as agent:
            answer = await Service(hub, user, desktop_id).say("a")
            assert answer == (200, {"message_id": "a", "desktop_id": desktop_id, "status": "delivered"})
            assert (await agent.expect("user:message")).message_id == "a"
        assert await Service(hub, user, absent).refused("messages", {"payload": {}}) == (409, "desktop_offline")


async def test_while_redis_is_away(frail_hub: HubProcess, server: ValkeyServer) -> None:
    hub, user, here = frail_hub, new_name("u"), new_name("d")
    async with mobile(hub, user) as phone, desktop(hub, here, user) as agent:
        absent = await absent_desktop(hub, user, phone)
        server.kill()
        await until(lambda: bool(hub.get("/readyz").json()["degraded"]))
        begun = time.monotonic()
        assert await Service(hub, user, here).say("a") == (
            200,
            {"message_id": "a", "desktop_id": here, "status": "delivered"},
        )
        assert (await agent.expect("user:message")).message_id == "a"
        for who, which in ((user, absent), (user, new_name("d")), (new_name("u"), here)):
            assert await Service(hub, who, which).refused("messages", {"payload": {}}) == (503, "unavailable")
        assert time.monotonic() - begun < 5
        server.start()
        await until(lambda: not hub.get("/readyz").json()["degraded"])
    assert "Traceback" not in hub.log, hub.log


async def test_a_desktop_that_does_not_read_gives_an_answer_all_the_same(new_hub: NewHub) -> None:
    """There is no mailbox, so nobody knows whether the desktop gets it."""
    hub = new_hub({"HUB_MAILBOX": "off", "HUB_RATE_LIMIT": "off"}).start()
    user, desktop_id = new_name("u"), new_name("d")
    async with raw_desktop(hub, desktop_id, user, receive_buffer=4096):
        service = Service(hub, user, desktop_id)
        answers: list[int] = []
        while 503 not in answers and len(answers) < 400:
            answers.append((await service.post("messages", {"payload": {"x": "x" * 200_000}})).status_code)
        assert answers[-1] == 503
        assert set(answers[:-1]) <= {200}


async def test_nodes(hub: HubProcess) -> None:
    user, now_ms = new_name("u"), time.time_ns() // 1_000_000
    async with mobile(hub, user), desktop(hub, new_name("d"), user) as agent:
        one_each = {"desktop": 1, "mobile": 1}
        await until(lambda: only_node(hub)["connections"] == one_each)  # Those of other tests are gone then.
        node = only_node(hub)
        assert (node["node_id"], node["state"]) == (agent.welcome["node_id"], "ready")
        assert now_ms - 3_600_000 < node["since"] <= now_ms
        assert node["version"]


def only_node(hub: HubProcess) -> dict[str, Any]:
    [node] = hub.get("/internal/nodes", token=hub.mint.service()).json()["nodes"]
    return dict(node)
