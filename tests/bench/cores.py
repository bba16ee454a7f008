"""Which core is whose: the first for the server under test, the last for the load generator."""

import contextlib
import os
from collections.abc import Iterator

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]


def pin_load() -> None:
    """Keeps this process, the load generator, on its own core."""
    if SERVER_CORE == LOAD_CORE:
        raise SystemExit("the benchmark needs two cores: one for the server, one for the load")
    os.sched_setaffinity(0, {LOAD_CORE})


@contextlib.contextmanager
def on_server_core(*, spread: bool = False) -> Iterator[None]:
    """What is started in here runs on the server's core, or on all if `spread`, its children too."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CORES if spread else {SERVER_CORE})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
