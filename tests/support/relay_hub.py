"""A script for `ScriptedHub`: one desktop and one user's phones, relayed and replayed as the contract has it."""

from contextlib import suppress
from typing import Any

from websockets.exceptions import ConnectionClosed

from tests.support.scripted_hub import Peer

PRESENCE = {"desktop_id": "d-1", "name": "Desk", "platform": "linux", "since": 1, "last_seen": 1_700_000_000_000}


class Relay:
    """Give `play` to a `ScriptedHub`."""

    def __init__(self, desktop_id: str = "d-1") -> None:
        self._presence = PRESENCE | {"desktop_id": desktop_id}
        self._desktop_id = desktop_id
        self._desktop: Peer | None = None
        self._phones: list[Peer] = []
        self._askers: dict[str, Peer] = {}
        self._epoch = 0
        self._seq = 0
        self._said: list[tuple[str, str, dict[str, Any]]] = []

    async def play(self, peer: Peer) -> None:
        await peer.welcome()
        if peer.path.startswith("/ws/desktop"):
            await self._play_desktop(peer)
        else:
            await self._play_phone(peer)

    async def _play_desktop(self, peer: Peer) -> None:
        self._desktop = peer
        self._epoch, self._seq = self._epoch + 1, 0
        await self._tell_phones("desktop:online", self._presence, offset=self._offset())
        reason = "closed"
        async for kind, message in peer.all():
            if kind.startswith("agent:"):
                await self._relay(kind, message["payload"])
            elif kind == "ack":
                await self._acknowledge(message["payload"]["message_id"])
            elif kind == "goodbye":
                reason = message["payload"]["reason"]
        self._desktop = None
        await self._tell_phones("desktop:offline", self._presence | {"reason": reason}, offset=self._offset())

    async def _play_phone(self, peer: Peer) -> None:
        if self._desktop is not None:
            await peer.say("desktop:online", self._presence, offset=self._offset())
        if self._desktop_id in peer.resumed_from():
            await self._replay(peer, peer.resumed_from()[self._desktop_id])
        else:
            self._phones.append(peer)
        async for kind, message in peer.all():
            if kind == "user:message":
                await self._to_desktop(peer, message)
        self._phones.remove(peer)

    async def _replay(self, peer: Peer, offset: str) -> None:
        position = next((number for number, (each, _, _) in enumerate(self._said, 1) if each == offset), 0)
        while position < len(self._said):
            each, kind, payload = self._said[position]
            await peer.say(kind, payload, desktop_id=self._desktop_id, offset=each)
            position += 1
        self._phones.append(peer)  # at once: what is said from now on comes live
        await peer.say("resumed", {"desktop_id": self._desktop_id, "complete": True, "offset": self._offset()})

    async def _to_desktop(self, peer: Peer, message: dict[str, Any]) -> None:
        payload, message_id = message["payload"], message["message_id"]
        if self._desktop is None or payload["desktop_id"] != self._desktop_id:
            error = {"code": "desktop_not_found", "message": "no such desktop", "message_id": message_id}
            await peer.say("error", error)
        else:
            self._askers[message_id] = peer
            await peer.receipt(message_id, "delivered", self._desktop_id)
            await self._desktop.say("user:message", payload, user_id="u-1", message_id=message_id)

    async def _acknowledge(self, message_id: str) -> None:
        with suppress(ConnectionClosed):
            await self._askers[message_id].receipt(message_id, "acknowledged", self._desktop_id)

    async def _relay(self, kind: str, payload: dict[str, Any]) -> None:
        self._seq += 1
        self._said.append((self._offset(), kind, payload))
        await self._tell_phones(kind, payload, desktop_id=self._desktop_id, offset=self._offset())

    async def _tell_phones(self, kind: str, payload: dict[str, Any], **stamps: str) -> None:
        for phone in tuple(self._phones):
            with suppress(ConnectionClosed):
                await phone.say(kind, payload, **stamps)

    def _offset(self) -> str:
        return f"{self._epoch}-{self._seq}"
