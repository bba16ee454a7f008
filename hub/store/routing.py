"""Which cluster slot a command belongs to (Redis Cluster specification, "Key distribution model")."""

from redis.crc import key_slot

from hub.store.exchange import Command

SLOTS = 16_384

_KEYLESS = frozenset({"ASKING", "CLUSTER", "ECHO", "INFO", "PING", "SCAN", "SCRIPT", "TIME"})


def slot_of(command: Command) -> int | None:
    """Return the slot of a command's first key, or None for a command without one.

    Knows the commands that the hub sends; tests/integration/test_cluster_routing.py compares with the server.
    """
    key = _first_key(command)
    return None if key is None else slot_of_key(key)


def slot_of_key(key: str | int | bytes) -> int:
    """Return the slot of a key, or of a sharded channel."""
    return key_slot(key if isinstance(key, bytes) else str(key).encode())


def _first_key(command: Command) -> str | int | bytes | None:
    match command[0]:
        case "EVALSHA" | "EVAL":
            return command[3] if int(command[2]) else None
        case "XREAD":
            return command[command.index("STREAMS") + 1]
        case name if name in _KEYLESS:
            return None
    return command[1]
