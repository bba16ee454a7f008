"""A service that listens to Server-Sent Events, read as the HTML Standard says."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.clients import WAIT_S
from tests.support.hub_process import HubProcess


@dataclass(frozen=True)
class Event:
    """What came. `last_id`: the client's last event id then; a comment has the kind `:`, the end has `end`."""

    kind: str
    data: dict[str, Any]
    last_id: str


class EventSource:
    """One open stream."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.last_id = ""
        self._lines = response.aiter_lines()

    async def next(self, within_s: float = WAIT_S) -> Event:
        """The next event, comment or place, or the end."""
        kind, data = "", ""
        async with asyncio.timeout(within_s):
            async for line in self._lines:
                name, _, text = line.partition(": ")
                match name:
                    case "":
                        return Event(kind or "place", json.loads(data or "{}"), self.last_id)
                    case ":":
                        kind = ":"
                    case "id":
                        self.last_id = text
                    case "event":
                        kind = text
                    case "data":
                        data = text
        return Event("end", {}, self.last_id)

    async def expect(self, kind: str, within_s: float = WAIT_S, **data: Any) -> Event:
        """The next of that kind with these members; others before it go by."""
        deadline = time.monotonic() + within_s
        while True:
            event = await self.next(deadline - time.monotonic())
            if event.kind == kind and data.items() <= event.data.items():
                return event
            assert event.kind != "end", f"the stream ended before {kind} {data} came"


@asynccontextmanager
async def listening(
    hub: HubProcess, last_id: str | None = None, *, token: str | None = None
) -> AsyncIterator[EventSource]:
    """A service that has its first comment; without `last_id` it has its place, too, unless Redis is away."""
    headers = {"Authorization": f"Bearer {token or hub.mint.service()}"}
    if last_id is not None:
        headers["Last-Event-ID"] = last_id
    async with (
        httpx.AsyncClient(trust_env=False, timeout=60, verify=hub.tls) as client,
        client.stream("GET", f"{hub.url}/internal/events", headers=headers) as response,
    ):
        source = EventSource(response)
        if response.status_code == 200:
            await source.expect(":")
        yield source
