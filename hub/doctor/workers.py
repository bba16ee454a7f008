"""Worker processes against the cores of this machine (docs/operations.md, "Workers")."""

import os
from collections.abc import Iterator

from hub.config import Settings
from hub.doctor.finding import Finding, note, ok, warning

_ABOUT = "workers"


def cores() -> int:
    """Return how many cores this process may use; a container's share of them isn't seen."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_workers(settings: Settings, cores: int, *, spreads: bool) -> Iterator[Finding]:
    """Compare them.

    Args:
        settings: The hub's.
        cores: How many there are.
        spreads: Whether the system spreads connections over the sockets of one address: Linux does.
    """
    workers = settings.workers
    if workers > cores:
        yield warning(
            _ABOUT,
            f"{workers} workers on {cores} core{'s' * (cores > 1)}: they take each other's time",
            f"HUB_WORKERS={cores}",
        )
    elif workers > 1:
        yield ok(_ABOUT, f"{workers} workers on {cores} cores")
    elif cores > 1:
        yield ok(_ABOUT, f"1 worker, which uses one of {cores} cores")
    else:
        yield ok(_ABOUT, "1 worker on 1 core")
    if workers > 1 and not spreads:
        yield note(_ABOUT, "this system doesn't spread connections evenly over workers", "run several on Linux only")
