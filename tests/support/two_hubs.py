"""Two hubs on one Redis, as nodes of one cluster, and what tests ask of them (tests/support/two_hubs_fixtures.py)."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.clients import Message
from tests.support.hub_process import HubProcess
from tests.support.hub_settings import NewHub
from tests.support.valkey import ValkeyServer, free_ports

LEASE_S = 2
MOST = 3
"""Phones of a user, and desktops."""
RATE, BURST = 10, 30
"""Messages to desktops of all phones of a user."""

SETTINGS = {
    "HUB_NODE_LEASE_S": str(LEASE_S),
    "HUB_REDIS_TIMEOUT_MS": "1000",
    "HUB_RATE_LIMIT": "off",
    "HUB_USER_RATE_LIMIT": f"{RATE}:{BURST}",
    "HUB_MAX_DESKTOPS_PER_USER": str(MOST),
    "HUB_MAX_MOBILES_PER_USER": str(MOST),
    "HUB_DRAIN_SPREAD_S": "0",
}


@dataclass(frozen=True)
class TwoHubs:
    """Two nodes and their Redis. `settings`: of one more."""

    here: HubProcess
    there: HubProcess
    server: ValkeyServer
    settings: dict[str, str]

    def third(self, new_hub: NewHub, **settings: str) -> HubProcess:
        """One more node, started, for the test to harm."""
        hub: HubProcess = new_hub(self.settings | settings)
        hub.mint = self.here.mint
        return hub.start()

    def entries(self, *desktop_ids: str) -> list[tuple[str, str, str]]:
        """What stands in `hub:presence` about these desktops: whose each is, its state and why."""
        entries = [_text(fields) for _, fields in self.server.say("XRANGE", "hub:presence", "-", "+")]
        return [
            (entry["user_id"], entry["state"], entry["reason"])
            for entry in entries
            if entry["desktop_id"] in desktop_ids
        ]

    def owner(self, desktop_id: str) -> str | None:
        """Whose the desktop is, as Redis has it."""
        owner: bytes | None = self.server.say("GET", f"hub:owner:{desktop_id}")
        return None if owner is None else owner.decode()


def _text(fields: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): text.decode() for name, text in fields.items()}


@contextmanager
def running_two_hubs(**settings: str) -> Iterator[TwoHubs]:
    """Two nodes on a Valkey of their own."""
    server = ValkeyServer(port=free_ports(1)[0])
    here = HubProcess(SETTINGS | settings | {"HUB_REDIS_URL": server.url})
    shared = SETTINGS | settings | {"HUB_REDIS_URL": server.url, "HUB_JWT_SECRET": here.mint.secret}
    there = HubProcess(shared)
    there.mint = here.mint
    try:
        server.start()
        yield TwoHubs(here.start(), there.start(), server, shared)
    finally:
        here.close()
        there.close()
        server.close()


async def post(hub: HubProcess, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
    """Ask below `/internal`; return the status and the answer's body."""
    headers = {"Authorization": f"Bearer {hub.mint.service()}"}
    async with httpx.AsyncClient(trust_env=False, timeout=10, verify=hub.tls) as client:
        answer = await client.post(f"{hub.url}/internal/{path}", content=json.dumps(body), headers=headers)
    return answer.status_code, answer.json()


def node_of(hub: HubProcess) -> str:
    """The node's id."""
    return str(hub.get("/readyz").json()["node_id"])


def shown(came: list[Message], desktop_id: str) -> list[tuple[str, str | None]]:
    """What a phone was shown of a desktop: that it is there, or that it is away and why."""
    return [
        (message.type, message.payload.get("reason"))
        for message in came
        if message.type in {"desktop:online", "desktop:offline"} and message.payload["desktop_id"] == desktop_id
    ]
