"""Presence as other services see it: over HTTP and in the Redis keys (docs/protocol.md, "Heartbeat and presence")."""

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from tests.support.clients import WAIT_S, desktop, mobile, new_name
from tests.support.hub_process import HubProcess
from tests.support.hub_settings import NewHub

pytest_plugins = ("tests.support.hub_fixtures",)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await holds():
            await asyncio.sleep(0.02)


async def presence(hub: HubProcess, desktop_id: str) -> dict[str, Any]:
    answer = await asyncio.to_thread(hub.get, f"/internal/presence/desktops/{desktop_id}", token=hub.mint.service())
    assert answer.status_code == 200
    return dict(answer.json())


async def seen_as(hub: HubProcess, desktop_id: str, state: str) -> dict[str, Any]:
    """Wait until the hub says that the desktop is in that state."""
    found: dict[str, Any] = {}

    async def holds() -> bool:
        found.update(await presence(hub, desktop_id))
        return bool(found["state"] == state)

    await until(holds)
    return found


def stream_of(hub: HubProcess, desktop_id: str) -> list[dict[str, str]]:
    """What the stream of changes says of one desktop."""
    entries = [dict(entry) for _, entry in hub.redis("XRANGE", "hub:presence", "-", "+")]
    return [entry for entry in entries if entry["desktop_id"] == desktop_id]


async def test_a_desktop_in_the_keys_from_its_coming_to_its_going(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    record_key, begun = f"hub:{{{user}}}:desktop:{desktop_id}", now_ms()
    async with desktop(hub, desktop_id, user, name="Büro", platform="linux") as agent:
        await seen_as(hub, desktop_id, "online")
        record = hub.redis("HGETALL", record_key)
        assert 0 < hub.redis("TTL", record_key) <= 120
        times = int(record.pop("since")), int(record.pop("last_seen"))
        assert begun <= times[0] <= times[1] <= now_ms()
        assert abs(int(record.pop("epoch")) - begun * 1000) < 1_000_000, (
            "Redis' clock, which is the same machine's here"
        )
        assert record == {
            "desktop_id": desktop_id,
            "user_id": user,
            "node_id": agent.welcome["node_id"],
            "connection_id": agent.welcome["connection_id"],
            "name": "Büro",
            "platform": "linux",
        }
        assert hub.redis("GET", f"hub:owner:{desktop_id}") == user
        assert begun <= int(hub.redis("ZSCORE", f"hub:{{{user}}}:desktops", desktop_id)) <= now_ms()
        await agent.leave("user_quit")
    await seen_as(hub, desktop_id, "offline")
    assert hub.redis("EXISTS", record_key) == 0
    assert begun <= int(hub.redis("ZSCORE", f"hub:{{{user}}}:desktops", desktop_id)) <= now_ms()
    entries = stream_of(hub, desktop_id)
    assert all(begun <= int(entry.pop("at")) <= now_ms() for entry in entries)
    common = {"desktop_id": desktop_id, "user_id": user}
    assert entries == [
        {**common, "state": "online", "reason": ""},
        {**common, "state": "offline", "reason": "user_quit"},
    ]


async def test_presence_over_http(hub: HubProcess) -> None:
    user, here, away, nowhere = new_name("u"), new_name("d"), new_name("d"), new_name("d")
    begun = now_ms()
    async with desktop(hub, away, user) as leaving:
        await seen_as(hub, away, "online")
        await leaving.leave()
    await seen_as(hub, away, "offline")
    async with desktop(hub, here, user, name="Desk") as agent:
        found = await seen_as(hub, here, "online")
        assert found["node_id"] == agent.welcome["node_id"]
        assert begun <= found["last_seen"] <= found["as_of"] <= now_ms()
        token = hub.mint.service()
        whole = hub.get(f"/internal/presence/users/{user}", token=token).json()
        assert (whole["user_id"], whole["state"]) == (user, "online")
        assert [(each["desktop_id"], each["state"]) for each in whole["desktops"]] == [
            (here, "online"),
            (away, "offline"),
        ]
        asked = query(hub, {"desktop_ids": [nowhere, here, away]}).json()["desktops"]
        assert [(each["desktop_id"], each["state"]) for each in asked] == [
            (nowhere, "offline"),
            (here, "online"),
            (away, "offline"),
        ]
        assert asked[0]["last_seen"] is None
        assert begun <= asked[2]["last_seen"] <= now_ms()


def query(hub: HubProcess, body: object, token: str | None = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token or hub.mint.service()}"}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = f"{hub.url}/internal/presence/query"
    return httpx.post(url, content=content, headers=headers, trust_env=False, timeout=10, verify=hub.tls)


async def test_a_thousand_ids_may_be_asked_for_and_no_more(hub: HubProcess) -> None:
    ids = [f"x-{number}" for number in range(1000)]
    answers = query(hub, {"desktop_ids": ids}).json()["desktops"]
    assert [each["desktop_id"] for each in answers] == ids
    for bad in ({"desktop_ids": [*ids, "one-more"]}, {}, {"desktop_ids": ["no id: {}"]}, {"desktop_ids": "x"}, b"junk"):
        refused = query(hub, bad)
        assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
        assert refused.headers["content-type"] == "application/problem+json"


async def test_presence_is_for_services_only(hub: HubProcess) -> None:
    path = f"/internal/presence/users/{new_name('u')}"
    assert hub.get(path).status_code == 401
    assert hub.get(path, token="junk").json()["code"] == "token_invalid"
    for token in (hub.mint.mobile("u"), hub.mint.desktop("d", "u")):
        refused = hub.get(path, token=token)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert query(hub, {"desktop_ids": []}, hub.mint.mobile("u")).status_code == 403
    assert hub.get("/internal/presence/desktops/no%20id", token=hub.mint.service()).status_code == 400


async def test_a_record_is_renewed_for_as_long_as_the_connection_lives(brisk_hub: HubProcess) -> None:
    """The TTL is two seconds here."""
    user, desktop_id = new_name("u"), new_name("d")
    record_key = f"hub:{{{user}}}:desktop:{desktop_id}"
    async with desktop(brisk_hub, desktop_id, user) as agent:
        first = await seen_as(brisk_hub, desktop_id, "online")
        end = time.monotonic() + 3.2
        while time.monotonic() < end:
            await agent.send("heartbeat")
            assert 0 < brisk_hub.redis("PTTL", record_key) <= 2000
            await asyncio.sleep(0.2)
        last = await presence(brisk_hub, desktop_id)
        assert (last["state"], last["since"]) == ("online", first["since"])
        assert last["last_seen"] >= first["last_seen"] + 2000
        brisk_hub.redis("DEL", record_key)
        await seen_as(brisk_hub, desktop_id, "online")
        assert brisk_hub.redis("EXISTS", record_key) == 1


async def test_the_late_end_of_an_older_connection_touches_nothing(hub: HubProcess) -> None:
    user, desktop_id = new_name("u"), new_name("d")
    async with (
        mobile(hub, user) as phone,
        desktop(hub, desktop_id, user) as older,
        desktop(hub, desktop_id, user) as newer,
    ):
        await older.closed()
        older.break_off()
        await asyncio.sleep(0.8)  # The offline grace, which must not run.
        found = await presence(hub, desktop_id)
        assert (found["state"], found["connection_id"]) == ("online", newer.welcome["connection_id"])
        assert not [each for each in await phone.sync() if each.type == "desktop:offline"]
        assert [entry["state"] for entry in stream_of(hub, desktop_id)] == ["online"]


async def test_presence_after_a_restart(new_hub: NewHub) -> None:
    """What was known is known again, and is away. After a kill: test_drain.py."""
    hub = new_hub().start()
    user, left, drained = (new_name(kind) for kind in "udd")
    async with desktop(hub, left, user, name="Left") as leaving, desktop(hub, drained, user):
        await leaving.leave("bye")
        await seen_as(hub, left, "offline")
        await seen_as(hub, drained, "online")
        hub.signal(signal.SIGTERM)
        assert await asyncio.to_thread(hub.wait) == 0
    hub.start()
    assert (await presence(hub, drained))["state"] == "offline"
    async with mobile(hub, user) as phone:
        assert (await phone.expect("desktop:offline", desktop_id=left)).payload["reason"] == "bye"
    async with mobile(hub, user) as phone:
        await phone.expect("desktop:offline", desktop_id=drained)
