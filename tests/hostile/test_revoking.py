"""Requests to revoke that are wrong, and names that are meant to break something."""

import json
import time
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.support.clients import connection, mobile, new_name, welcomed
from tests.support.hub_process import HubProcess

pytestmark = pytest.mark.hostile

pytest_plugins = ("tests.support.hub_fixtures",)

LATER_MS = 4_000_000_000_000


def post(hub: HubProcess, body: object, token: str | None) -> httpx.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = f"{hub.url}/internal/revoke"
    return httpx.post(url, content=content, headers=headers, trust_env=False, timeout=10, verify=hub.tls)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"junk",
        b"\xff",
        [],
        {},
        {"expires_at": LATER_MS},
        {"user_id": "U", "jti": "j"},
        {"user_id": "U", "desktop_id": "d"},
        {"desktop_id": "d", "jti": "j"},
        {"user_id": "U", "device_id": "p", "jti": "j"},
        {"device_id": "p"},
        {"user_id": "U", "device_id": None},
        {"user_id": "U", "device_id": ""},
        {"user_id": "U", "device": "p"},
        {"user_id": "U", "expires": LATER_MS},
        {"user_id": "U", "expires_at": None},
        {"user_id": "U", "expires_at": str(LATER_MS)},
        {"user_id": "U", "expires_at": LATER_MS + 0.5},
        {"user_id": "U", "expires_at": -1},
        {"user_id": "U", "expires_at": int(time.time()) + 3600},
        {"user_id": "U", "expires_at": int(time.time() * 1000) - 1},
        {"user_id": ["U"]},
        {"user_id": "U\n"},
        {"user_id": "a b"},
        {"user_id": "*"},
        {"user_id": "x" * 129},
        {"jti": ""},
        {"jti": 7},
        {"jti": None},
        {"jti": "x" * 257},
    ],
)
async def test_what_is_not_exactly_one_thing_revokes_nothing(hub: HubProcess, body: Any) -> None:
    user = new_name("u")
    if isinstance(body, dict) and body.get("user_id") == "U":
        body = {**body, "user_id": user}
    async with mobile(hub, user) as phone:
        answer = post(hub, body, hub.mint.service())
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request"), answer.text
        assert await phone.sync() == []


@pytest.mark.parametrize("kind", ["none", "junk", "mobile", "desktop", "expired"])
async def test_nobody_but_a_service_revokes(hub: HubProcess, kind: str) -> None:
    user = new_name("u")
    token, status = {
        "none": (None, 401),
        "junk": ("junk", 401),
        "mobile": (hub.mint.mobile(user), 403),
        "desktop": (hub.mint.desktop("d", user), 403),
        "expired": (hub.mint.service(life_s=-60), 401),
    }[kind]
    async with mobile(hub, user) as phone:
        assert post(hub, {"user_id": user}, token).status_code == status
        assert await phone.sync() == []


def test_a_body_that_is_too_large_is_refused(hub: HubProcess) -> None:
    assert post(hub, {"jti": "x" * 300_000}, hub.mint.service()).status_code == 413


@pytest.mark.parametrize(
    "jti",
    [
        "'; redis.call('FLUSHALL') --",
        'a"],["user_id","u',
        "a\r\nXADD hub:revocations * x y\r\n",
        "a\x00b",
        "*",
        "hub:revocations",
        "\U0001f511" * 200,
    ],
)
async def test_a_jti_is_a_value_and_nothing_else(hub: HubProcess, jti: str) -> None:
    user = new_name("u")
    async with connection(hub, "/ws/mobile", token=hub.mint.mobile(user, jti=jti)) as stolen, mobile(hub, user) as own:
        await welcomed(stolen)
        answer = post(hub, {"jti": jti}, hub.mint.service())
        assert (answer.status_code, answer.json()["revoked"]) == (200, 1)
        assert (await stolen.closed()).code == 4001
        assert await own.sync() == []
    with pytest.raises(InvalidStatus):
        async with connection(hub, "/ws/mobile", token=hub.mint.mobile(user, jti=jti)):
            pass
    assert hub.redis("TYPE", "hub:revocations") == "stream"
    [_, fields] = hub.redis("XREVRANGE", "hub:revocations", "+", "-", "COUNT", 1)[0]
    assert json.loads(dict(fields)["target"] if isinstance(fields, dict) else fields[fields.index("target") + 1]) == [
        "jti",
        jti,
    ]


async def test_many_revocations_at_once_hold_nobody_up(hub: HubProcess) -> None:
    user = new_name("u")
    async with mobile(hub, user) as phone:
        url, headers = f"{hub.url}/internal/revoke", {"Authorization": f"Bearer {hub.mint.service()}"}
        with httpx.Client(trust_env=False, timeout=10, verify=hub.tls) as client:
            for number in range(300):
                assert client.post(url, headers=headers, json={"jti": f"flood-{number}"}).status_code == 200
        begun = time.monotonic()
        assert await phone.sync() == []
        assert time.monotonic() - begun < 1
    assert hub.metric("hub_revocations") >= 300
