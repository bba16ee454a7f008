"""Desktops and phones that do what the contract asks while hubs die, and tell a checker everything.

They come in through doors of their own: each new connection goes to some node, as with a balancer.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from hub.client import Connected, Disconnected, HubClient, HubClosed, Message, NotConnected, Refused
from tests.chaos.checker import OFFLINE, ONLINE, Checker
from tests.chaos.letters import Letter
from tests.support.chaos_log import ChaosLog
from tests.support.tcp_proxy import Door
from tests.support.tokens import Minter

OPEN_S = 2.0
BACKOFF_S = 0.3
NAP_S = 1.0
POST_S = 60.0
DURABLE = {7: "agent:response", 13: "agent:status"}
"""Which kind every so manieth message of a desktop is; the others are pieces."""


@dataclass(frozen=True)
class Town:
    """What all people of a run share. `choose` returns the port of some node."""

    checker: Checker
    log: ChaosLog
    mint: Minter
    chance: random.Random
    choose: Callable[[], int]


def kind_of(n: int) -> str:
    return next((kind for every, kind in DURABLE.items() if n % every == 0), "agent:stream")


class Desktop:
    """An agent's computer, on the Python client: numbers what it says, and acknowledges what it gets.

    Attributes:
        n: The number of the last message that it said.
        said_at: When each was said, by the log's clock.
        connected_at: When it was connected.
    """

    def __init__(self, town: Town, user: str, desktop_id: str, pause_s: float) -> None:
        self.desktop_id = desktop_id
        self.user = user
        self.n = 0
        self.said_at: dict[int, float] = {}
        self.connected_at: list[float] = []
        self._town = town
        self._pause_s = pause_s
        self._client: HubClient | None = None
        self._left = False
        town.checker.desktop(desktop_id, user)

    async def live(self) -> None:
        """Be there, but for naps, until `leave`."""
        async with Door(self._town.choose) as door:
            while not self._left:
                await self._stay(door.port)
                await asyncio.sleep(NAP_S * self._town.chance.random())

    async def _stay(self, port: int) -> None:
        token = self._town.mint.desktop(self.desktop_id, self.user)
        url = f"ws://127.0.0.1:{port}"
        async with HubClient(url, "desktop", token, acks=True, open_timeout_s=OPEN_S) as client:
            self._client = client
            try:
                async for event in client.events():
                    await self._take(client, event)
            except HubClosed as closed:
                self._left = True
                self._town.checker.turned_away(self.desktop_id, str(closed))

    async def talk(self) -> None:
        """Say one message after the other; never returns."""
        while True:
            await asyncio.sleep(self._pause_s * 2 * self._town.chance.random())
            await self.say(kind_of(self.n + 1))

    async def say(self, kind: str) -> int:
        """Say one message, which may not arrive; return its number."""
        self.n += 1
        self.said_at[self.n] = self._town.log.now()
        self._town.checker.streams.said(self.desktop_id, self.n, kind)
        if self._client is not None:
            with suppress(NotConnected, HubClosed):  # not said then: the next message has the next number all the same
                await self._client.send(kind, {"n": self.n}, timeout_s=OPEN_S)
        return self.n

    def drop(self) -> None:
        if self._client is not None:
            self._client.drop()

    async def nap(self) -> None:
        """Go with a word, and come back with a new client."""
        if self._client is not None:
            await self._client.close("sleep")

    async def leave(self) -> None:
        """Go for good, with a word."""
        self._left = True
        if self._client is not None:
            await self._client.close("quit")

    async def _take(self, client: HubClient, event: Any) -> None:
        _note(self._town, self.desktop_id, event)
        match event:
            case Connected():
                self.connected_at.append(self._town.log.now())
            case Message(type="user:message", message_id=str(message_id)):
                self._town.checker.letters.arrived(self.desktop_id, event.user_id, event.device_id, message_id)
                await client.ack(event)


class Ears:
    """Tells the checker what comes to a phone."""

    def __init__(self, town: Town, phone: str, user: str, desktop_ids: list[str]) -> None:
        self.name = phone
        self.user = user
        self.desktop_ids = desktop_ids
        self._town = town
        town.checker.phone(phone, user)
        for desktop_id in desktop_ids:
            town.checker.streams.ear(phone, desktop_id)

    def connected(self) -> None:
        self._town.checker.connected(self.name, self._town.log.now())

    def take(self, message: Message) -> None:
        checker = self._town.checker
        match message:
            case Message(type="resumed", payload={"desktop_id": d, "complete": complete, "offset": offset}):
                if not complete:
                    self._town.log.say("incomplete", phone=self.name, desktop=d, offset=offset)
                checker.streams.resumed(self.name, d, offset, self._town.log.now(), complete=complete)
            case Message(type="desktop:online", payload={"desktop_id": d}):
                checker.noticed(self.name, d, ONLINE)
            case Message(type="desktop:offline", payload={"desktop_id": d, "reason": reason}):
                self._town.log.say("offline", phone=self.name, desktop=d, reason=reason)
                checker.noticed(self.name, d, OFFLINE, reason or "")
            case Message(type="receipt", payload={"message_id": m, "status": status} as payload):
                checker.letters.receipt(self.name, m, payload.get("latest") or status)
            case Message(desktop_id=str(d), offset=str(offset), payload={"n": n}):
                checker.hears(self.name, d, offset, n, message.type, self._town.log.now())


class Phone:
    """A phone on the Python client: hears everything, and sends to its desktops."""

    def __init__(self, town: Town, user: str, phone: str, desktop_ids: list[str], pause_s: float) -> None:
        self.ears = Ears(town, phone, user, desktop_ids)
        self.open_posts = 0
        self._town = town
        self._pause_s = pause_s
        self._client: HubClient | None = None
        self._posts: set[asyncio.Task[None]] = set()
        self._sent = 0

    async def live(self) -> None:
        """Be there for ever."""
        token = self._town.mint.mobile(self.ears.user, device_id=self.ears.name)
        start = dict.fromkeys(self.ears.desktop_ids, "0-0")
        async with (
            Door(self._town.choose) as door,
            HubClient(f"ws://127.0.0.1:{door.port}", "mobile", token, resume=start, open_timeout_s=OPEN_S) as client,
        ):
            self._client = client
            try:
                async for event in client.events():
                    _note(self._town, self.ears.name, event)
                    match event:
                        case Connected():
                            self.ears.connected()
                        case Message():
                            self.ears.take(event)
            except HubClosed as closed:
                self._town.checker.turned_away(self.ears.name, str(closed))
            finally:
                for post in self._posts:
                    post.cancel()
                await asyncio.gather(*self._posts, return_exceptions=True)

    async def write(self) -> None:
        """Send one message after the other, without waiting for what becomes of them; never returns."""
        while True:
            await asyncio.sleep(self._pause_s * 2 * self._town.chance.random())
            self._sent += 1
            message_id = f"{self.ears.name}-{self._sent}"
            desktop_id = self._town.chance.choice(self.ears.desktop_ids)
            self._town.checker.letters.posted(message_id, Letter(self.ears.user, self.ears.name, desktop_id))
            post = asyncio.create_task(self.post(message_id, desktop_id))
            self._posts.add(post)
            post.add_done_callback(self._posts.discard)

    async def post(self, message_id: str, desktop_id: str) -> None:
        """Send a message until the hub has it; may be done again."""
        if self._client is None:
            return
        self.open_posts += 1
        try:
            await self._client.post("user:message", {"desktop_id": desktop_id}, message_id=message_id, timeout_s=POST_S)
        except Refused as refused:
            self._town.checker.letters.refuse(message_id, refused.code)
        except (NotConnected, HubClosed) as failure:
            self._town.log.say("unanswered", message_id=message_id, why=str(failure))
        finally:
            self.open_posts -= 1

    def drop(self) -> None:
        if self._client is not None:
            self._client.drop()


class Listener:
    """A phone without the client's help: asks for what is behind what it has, and takes what comes as it comes."""

    def __init__(self, town: Town, user: str, phone: str, desktop_ids: list[str]) -> None:
        self.ears = Ears(town, phone, user, desktop_ids)
        self.replayed: dict[str, list[int]] = {desktop_id: [] for desktop_id in desktop_ids}
        self.resumed = 0
        self._town = town
        self._token = town.mint.mobile(user, device_id=phone)
        self._abort: Callable[[], object] = lambda: None

    async def live(self) -> None:
        """Be there for ever."""
        async with Door(self._town.choose) as door:
            while True:
                with suppress(OSError, WebSocketException):  # as a broken link is: it comes back
                    await self._connection(door.port)
                await asyncio.sleep(BACKOFF_S * self._town.chance.random())

    async def _connection(self, port: int) -> None:
        streams = self._town.checker.streams
        places = {d: streams.ear(self.ears.name, d).at for d in self.ears.desktop_ids}
        asked = ",".join(f"{d}:{epoch}-{seq}" for d, (epoch, seq) in places.items())
        async with connect(
            f"ws://127.0.0.1:{port}/ws/mobile?resume={asked}",
            additional_headers={"Authorization": f"Bearer {self._token}"},
            proxy=None,
            open_timeout=OPEN_S,
            close_timeout=0.2,
            ping_interval=None,
        ) as socket:
            self._abort = socket.transport.abort
            self.ears.connected()
            async for text in socket:
                message = _read(str(text))
                if message.type == "welcome":
                    node = message.payload["node_id"]
                    self._town.log.say("connected", who=self.ears.name, node=node, resume=asked)
                self.resumed += message.type == "resumed"
                if message.desktop_id is not None:
                    self.replayed[message.desktop_id].append(message.payload["n"])
                self.ears.take(message)
            code = socket.close_code
            self._town.log.say("disconnected", who=self.ears.name, code=code)
            if code is not None and 4000 <= code < 4100:
                self._town.checker.turned_away(self.ears.name, f"{code} {socket.close_reason}")

    def drop(self) -> None:
        self._abort()


def _read(text: str) -> Message:
    whole = json.loads(text)
    names = ("type", "payload", "timestamp", "message_id", "desktop_id", "offset")
    return Message(**{name: whole[name] for name in names if name in whole})


def _note(town: Town, who: str, event: Any) -> None:
    match event:
        case Connected(welcome):
            town.log.say("connected", who=who, node=welcome.node_id, connection=welcome.connection_id)
        case Disconnected(code, reason, retry_in_s):
            town.log.say("disconnected", who=who, code=code, reason=reason, retry_in_s=round(retry_in_s, 3))


async def until(holds: Callable[[], bool], within_s: float) -> bool:
    """Wait until that holds; False if it doesn't in time."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(0.02)
    return True
