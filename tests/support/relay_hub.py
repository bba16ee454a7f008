"""A script for `ScriptedHub`: one desktop and one user's phones, relayed as the contract has it."""

from tests.support.scripted_hub import Peer

PRESENCE = {"desktop_id": "d-1", "name": "Desk", "platform": "linux", "since": 1, "last_seen": 1_700_000_000_000}


class Relay:
    """Give `play` to a `ScriptedHub`."""

    def __init__(self, desktop_id: str = "d-1") -> None:
        self._presence = PRESENCE | {"desktop_id": desktop_id}
        self._desktop: Peer | None = None
        self._phones: list[Peer] = []

    async def play(self, peer: Peer) -> None:
        await peer.welcome()
        if peer.path.startswith("/ws/desktop"):
            await self._play_desktop(peer)
        else:
            await self._play_phone(peer)

    async def _play_desktop(self, peer: Peer) -> None:
        self._desktop = peer
        await self._tell_phones("desktop:online", self._presence)
        reason = "closed"
        async for kind, message in peer.all():
            if kind.startswith("agent:"):
                await self._tell_phones(kind, message["payload"], desktop_id=self._presence["desktop_id"])
            elif kind == "goodbye":
                reason = message["payload"]["reason"]
        self._desktop = None
        await self._tell_phones("desktop:offline", self._presence | {"reason": reason})

    async def _play_phone(self, peer: Peer) -> None:
        self._phones.append(peer)
        if self._desktop is not None:
            await peer.say("desktop:online", self._presence)
        async for kind, message in peer.all():
            if kind == "user:message":
                await self._to_desktop(peer, message)
        self._phones.remove(peer)

    async def _to_desktop(self, peer: Peer, message: dict[str, object]) -> None:
        payload, message_id = message["payload"], message["message_id"]
        assert isinstance(payload, dict)
        if self._desktop is None or payload["desktop_id"] != self._presence["desktop_id"]:
            error = {"code": "desktop_not_found", "message": "no such desktop", "message_id": message_id}
            await peer.say("error", error)
        else:
            await self._desktop.say("user:message", payload, user_id="u-1", message_id=message_id)

    async def _tell_phones(self, kind: str, payload: dict[str, object], **stamps: object) -> None:
        for phone in self._phones:
            await phone.say(kind, payload, **stamps)
