"""Which of the commands that the hub needs does this account may not use? Found out without running any.

Inside MULTI a server says at once what it refuses, and runs nothing before EXEC, which is never sent: the connection
is closed instead. This needs no right to ask about rights, which an account of an application seldom has. What is
refused stands in the server's ACL LOG afterwards.
"""

from collections.abc import Iterator

from redis.exceptions import NoPermissionError, ResponseError

from hub.doctor.finding import Finding, error, note, ok
from hub.doctor.redis_conversation import Conversation

_ABOUT = "permissions"
_KEY = "hub:{doctor}:permissions"
_SHA = "0" * 40

NEEDED: tuple[tuple[str, ...], ...] = (
    ("PING",),
    ("TIME",),
    ("INFO", "server"),
    ("SCAN", "0"),
    ("SCRIPT", "LOAD", "return 0"),
    ("EVALSHA", _SHA, "1", _KEY),
    ("GET", "hub:owner:doctor"),
    ("SET", "hub:mark:doctor", "1"),
    ("DEL", _KEY),
    ("PEXPIRE", _KEY, "1"),
    ("PEXPIRETIME", _KEY),
    ("HGET", _KEY, "f"),
    ("HGETALL", _KEY),
    ("HMGET", _KEY, "f"),
    ("HSET", _KEY, "f", "v"),
    ("HDEL", _KEY, "f"),
    ("ZADD", "hub:expiring", "1", "m"),
    ("ZCARD", _KEY),
    ("ZPOPMIN", _KEY),
    ("ZRANGE", _KEY, "0", "0"),
    ("ZRANGEBYSCORE", _KEY, "0", "0"),
    ("ZREM", _KEY, "m"),
    ("ZREVRANGE", _KEY, "0", "0"),
    ("ZSCORE", _KEY, "m"),
    ("XADD", "hub:presence", "*", "f", "v"),
    ("XDEL", _KEY, "1-1"),
    ("XLEN", _KEY),
    ("XRANGE", _KEY, "-", "+"),
    ("XREAD", "STREAMS", "hub:presence", "0"),
    ("XREVRANGE", _KEY, "+", "-"),
    ("XTRIM", _KEY, "MINID", "1"),
    ("SPUBLISH", "hub:node:doctor", "m"),
    ("SSUBSCRIBE", "hub:node:doctor"),
)
"""What the hub sends and what its scripts call, each once, on keys of each kind."""

NEEDED_IN_CLUSTER: tuple[tuple[str, ...], ...] = (("CLUSTER", "SLOTS"), ("ASKING",))


async def refused_commands(server: Conversation, *, in_cluster: bool) -> tuple[str, ...] | None:
    """Return the names of commands that are refused, or None if that can't be tried. Nothing may be asked after it."""
    if await server.ask("MULTI") != b"OK":
        return None
    needed = (*NEEDED, *NEEDED_IN_CLUSTER) if in_cluster else NEEDED
    return tuple([command[0] for command in needed if _is_refusal(await server.ask(*command))])


def check_permissions(refused: tuple[str, ...] | None) -> Iterator[Finding]:
    """Say which commands are missing."""
    if refused is None:
        yield note(_ABOUT, "can't be tried, as the account may not use MULTI", "see docs/operations.md for the list")
    elif refused:
        yield error(
            _ABOUT,
            f"refused to this account: {', '.join(refused)}",
            "allow them on keys and channels hub:* (ACL SETUSER ... ~hub:* &hub:*), and don't rename commands",
        )
    else:
        yield ok(_ABOUT, "all commands that the hub needs are allowed")


def _is_refusal(reply: object) -> bool:
    """Tell a refusal from what else may be wrong: a slot that another node serves, a replica, memory."""
    if isinstance(reply, NoPermissionError):
        return True
    return isinstance(reply, ResponseError) and "unknown command" in str(reply)
