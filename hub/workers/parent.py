"""The parent: one address, one Valkey, N workers, and the signals for all of them."""

import asyncio
import contextlib
import logging
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from pathlib import Path

from hub.address import share, url
from hub.config import Settings
from hub.embedded_valkey import START_S, EmbeddedValkey
from hub.workers.crew import Crew
from hub.workers.place import check_folder

log = logging.getLogger("hub.workers")


async def serve_with_workers(
    settings: Settings, environment: Mapping[str, str], started: Callable[[str], object]
) -> None:
    """Run `settings.workers` nodes until SIGTERM or SIGINT, of which a second one hurries; SIGHUP replaces them.

    Args:
        settings: What to run with.
        environment: What the settings were read from: workers read them anew.
        started: Called with the hub's HTTP URL once all workers serve.

    Raises:
        hub.workers.process.WorkerFailed: If one doesn't get ready at the beginning.
        OSError: If the address is taken, or there can't be so many processes.
        hub.embedded_valkey.DataDirInUse: If another hub holds the data directory.
        hub.embedded_valkey.EmbeddedValkeyFailed: If the embedded server did not come up.
    """
    port, bind = share(settings.host, settings.port)
    where = url(settings.host, port, tls=settings.tls_cert is not None)
    with _private_folder() as folder:
        async with _redis(settings) as redis:
            crew = Crew(settings, {**environment, **redis}, bind, folder)
            stop = _watch_signals(crew)
            try:
                await _until(stop, crew.run(lambda: started(where)))
            finally:
                await crew.stop()


async def _until(stop: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    """Do the work until it fails, or `stop` is set."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


def _watch_signals(crew: Crew) -> asyncio.Event:
    stop = asyncio.Event()

    def on_end() -> None:
        if stop.is_set():
            crew.hurry()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_end)
    loop.add_signal_handler(signal.SIGHUP, crew.renew)
    return stop


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tether-hub-"))  # mode 0700
    try:
        check_folder(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # the last worker may be at it


@contextlib.asynccontextmanager
async def _redis(settings: Settings) -> AsyncIterator[dict[str, str]]:
    """Have a Redis, and yield the settings that tell where it is, if they aren't there already."""
    if settings.redis_url is not None:
        yield {}
        return
    valkey = EmbeddedValkey(settings.data_dir)
    valkey.start()
    try:
        await valkey.wait_ready(START_S)
        restarting = asyncio.create_task(valkey.supervise(), name="embedded-valkey")
        try:
            yield {"HUB_REDIS_URL": valkey.url}
        finally:
            restarting.cancel()
            await asyncio.gather(restarting, return_exceptions=True)
    finally:
        valkey.stop()
