"""A phone whose link is cut again and again, and which puts together what one desktop said from what it resumes."""

import re
from collections.abc import Callable
from typing import Any

from tests.support.clients import Message, connection, new_name
from tests.support.hub_process import HubProcess

_OFFSET = re.compile(r"(\d+)-(\d+)")


def place(offset: str) -> tuple[int, int]:
    """An offset, to be compared."""
    found = _OFFSET.fullmatch(offset)
    assert found is not None, offset
    return int(found[1]), int(found[2])


class ResumingPhone:
    """It asks for what comes behind the last offset that it has, and fails if an offset comes twice or goes back.

    Attributes:
        at: Up to where it has what the desktop said.
        texts: What the desktop said, as it stood on the wire.
        resumed: The payload of every `resumed` that came.
        connections: How often it connected.
    """

    def __init__(self, hub: HubProcess, user_id: str, desktop_id: str) -> None:
        self.at = "0-0"
        self.texts: list[str] = []
        self.resumed: list[dict[str, Any]] = []
        self.connections = 0
        self._hub = hub
        self._desktop_id = desktop_id
        self._token = hub.mint.mobile(user_id, device_id=new_name("v"))

    async def listen(self, enough: Callable[[], bool]) -> None:
        """Connect, take what comes until that is enough, and cut the link."""
        path = f"/ws/mobile?resume={self._desktop_id}:{self.at}"
        async with connection(self._hub, path, token=self._token) as peer:
            self.connections += 1
            while not enough():
                self._take(await peer.next())
            peer.break_off()

    async def listen_up_to_resumed(self) -> None:
        """Connect, and take what comes up to the end of the replay."""
        many = len(self.resumed)
        await self.listen(lambda: len(self.resumed) > many)

    @property
    def always_complete(self) -> bool:
        return all(each["complete"] is True for each in self.resumed)

    def _take(self, message: Message) -> None:
        if message.type == "resumed":
            self.resumed.append(message.payload)
        elif message.whole.get("desktop_id") == self._desktop_id:
            offset = message.whole["offset"]
            assert place(offset) > place(self.at), f"{offset} came behind {self.at}"
            self.at = offset
            self.texts.append(message.text)
