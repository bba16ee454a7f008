"""What a desktop was given and what it has acknowledged, so that nothing reaches its program twice. No I/O."""

from hub.client.message import Message

_ACKNOWLEDGED = frozenset({"user:message", "session:create"})
_MOST_IDS = 1000


class Acks:
    """Remembers the newest 1,000 names of messages that the reader was given."""

    def __init__(self) -> None:
        self._acked: dict[str, bool] = {}

    def admits(self, message: Message) -> bool:
        """Take in `message`; False if the reader had it before."""
        message_id = message.message_id
        if message_id is None or message.type not in _ACKNOWLEDGED:
            return True
        if message_id in self._acked:
            return False
        self._acked[message_id] = False
        if len(self._acked) > _MOST_IDS:
            del self._acked[next(iter(self._acked))]
        return True

    def note(self, message_id: str) -> None:
        """Take in that the reader has acknowledged a message."""
        if message_id in self._acked:
            self._acked[message_id] = True

    def has(self, message_id: str) -> bool:
        """Tell whether the reader has acknowledged it."""
        return self._acked.get(message_id, False)
