"""The names that actors use for people, machines and connections.

Ids come out of verified tokens or are made by the hub; they match `ID_PATTERN` (docs/protocol.md, "Tokens"), so that
they can stand in a Redis key, a log line and a JSON string without escaping.
"""

import re
from typing import NewType

UserId = NewType("UserId", str)
DesktopId = NewType("DesktopId", str)
DeviceId = NewType("DeviceId", str)
ConnectionId = NewType("ConnectionId", str)
NodeId = NewType("NodeId", str)

Epoch = NewType("Epoch", int)
"""Age of a desktop's connection: of two, the greater one is the newer, on every node (ADR 0004)."""

ID_PATTERN = re.compile(r"[A-Za-z0-9._:@-]{1,128}")


def is_id(text: object) -> bool:
    """Tell whether `text` may name a user, a desktop or a device."""
    return isinstance(text, str) and ID_PATTERN.fullmatch(text) is not None
