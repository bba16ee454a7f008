"""What the server does when memory is short, and how near that is."""

from collections.abc import Iterator

from hub.doctor.finding import Finding, error, note, ok, warning
from hub.doctor.redis_server import RedisServer

_MIB = 1 << 20
_NEARLY_FULL, _FULL = 0.8, 0.95


def check_eviction(server: RedisServer) -> Iterator[Finding]:
    """Nothing may be dropped that the hub said to be stored."""
    policy = server.facts.get("maxmemory_policy") or server.config.get("maxmemory-policy")
    if policy is None:
        yield note("eviction", "the server doesn't tell its maxmemory-policy", "see that it is noeviction")
    elif policy == "noeviction":
        yield ok("eviction", "maxmemory-policy noeviction")
    else:
        yield error(
            "eviction",
            f"maxmemory-policy {policy}: messages and presence are dropped when memory is short",
            "CONFIG SET maxmemory-policy noeviction, and in the server's file; managed: in the parameter group",
        )


def check_memory(server: RedisServer) -> Iterator[Finding]:
    """Measure what is used by the server's own limit, or by the machine's."""
    used, limit = server.number("used_memory"), server.number("maxmemory")
    machine = server.number("total_system_memory")
    most, name = (limit, "maxmemory") if limit else (machine, "the machine's memory")
    if not most:
        yield note("memory", f"{used // _MIB} MiB used; the server doesn't tell its limit")
        return
    found = f"{used // _MIB} MiB used, {used / most:.0%} of {name}, {most // _MIB} MiB"
    if used >= _FULL * most:
        yield error("memory", found, "give it more: a server that is full refuses every write")
    elif used >= _NEARLY_FULL * most:
        yield warning("memory", found, "give it more, or keep less (HUB_JOURNAL_*, HUB_MAILBOX_*)")
    else:
        yield ok("memory", found)
