"""What the server still knows after a restart."""

from collections.abc import Iterator

from hub.doctor.finding import Finding, error, note, ok, warning
from hub.doctor.redis_server import RedisServer

_ABOUT = "persistence"


def check_persistence(server: RedisServer) -> Iterator[Finding]:
    """Look at the append-only file, at how it is flushed, and at errors with the disk."""
    if server.facts.get("loading") == "1":
        yield warning(_ABOUT, "the server is loading its data", "wait; until then the hub takes it as away")
    if server.facts.get("aof_enabled") != "1":
        yield warning(
            _ABOUT,
            "no append-only file: a restart of the server loses mailboxes and journals",
            "CONFIG SET appendonly yes, and in the server's file",
        )
    else:
        yield _check_flushing(server.config.get("appendfsync"))
    yield from _check_disk(server)


def _check_flushing(appendfsync: str | None) -> Finding:
    match appendfsync:
        case None:
            return note(_ABOUT, "append-only file; how it is flushed isn't told", "see that appendfsync is everysec")
        case "no":
            return warning(
                _ABOUT, "appendfsync no: a power cut loses the last half minute", "CONFIG SET appendfsync everysec"
            )
        case "always":
            return ok(_ABOUT, "append-only file, flushed at every write")
        case _:
            return ok(_ABOUT, f"append-only file, appendfsync {appendfsync}")


def _check_disk(server: RedisServer) -> Iterator[Finding]:
    look = "look at the server's disk and log"
    if server.facts.get("aof_last_write_status", "ok") != "ok":
        yield error(_ABOUT, "the last write to the append-only file failed: writes are refused", look)
    if server.facts.get("aof_last_bgrewrite_status", "ok") != "ok":
        yield warning(_ABOUT, "the append-only file couldn't be written anew, and grows", look)
    if server.facts.get("rdb_last_bgsave_status", "ok") != "ok":
        if server.config.get("stop-writes-on-bgsave-error", "yes") == "yes":
            yield error(_ABOUT, "the last snapshot failed: the server may refuse writes", look)
        else:
            yield warning(_ABOUT, "the last snapshot failed", look)
