"""`python -m hub.workers.worker`: a worker, started by its parent only."""

import asyncio
import contextlib
import functools
import gc
import logging
import os
import sys
from pathlib import Path

import uvloop

from hub.config import Settings, SettingsError, load_settings
from hub.logs import configure_logs
from hub.workers.place import READY, Place

BAD_SETTINGS = 2
CANNOT_RUN = 1


def main() -> None:
    """Take the place that the command line tells, and serve until told to end."""
    place = Place.taken(sys.argv[1:])
    try:
        settings = load_settings()
    except SettingsError as error:
        place.give_up("\n".join(error.lines))
        sys.exit(BAD_SETTINGS)
    configure_logs(settings.log_format, settings.log_level)
    _number_log_lines(place.number)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_work(settings, place))
    except OSError as error:
        place.give_up(str(error))
        sys.exit(CANNOT_RUN)


async def _work(settings: Settings, place: Place) -> None:
    gc.disable()  # What a start makes stays; the hub looks for garbage once it serves.
    # Most of a start's CPU, so not for settings that are wrong.
    from hub.server import Shift, run
    from hub.workers.balance import Balance
    from hub.workers.figures import Figures

    parent = os.getppid()
    leave = asyncio.Event()
    watching = asyncio.create_task(_watch(place, leave), name="link-to-the-parent")
    figures = Figures(place.folder, place.number)
    balance = Balance(place)
    await figures.start()
    try:
        await run(settings, place.listener, lambda: place.say(READY), Shift(figures.wire, leave, balance))
    finally:
        await balance.stop()
        await figures.stop()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        if os.getppid() != parent:
            _take_along(place.folder)


def _take_along(folder: Path) -> None:
    """Remove the folder of a parent that was killed, if this is its last worker."""
    with contextlib.suppress(OSError):  # others are in it
        folder.rmdir()


async def _watch(place: Place, leave: asyncio.Event) -> None:
    """Wait for the end of the link: the parent says nothing on it."""
    place.link.setblocking(False)  # noqa: FBT003 - positional only
    while await asyncio.get_running_loop().sock_recv(place.link, 1):
        pass
    leave.set()


def _number_log_lines(number: int) -> None:
    """Have each line tell which worker wrote it: all write to the same place."""
    made = logging.getLogRecordFactory()

    @functools.wraps(made)
    def numbered(*args: object, **kwargs: object) -> logging.LogRecord:
        record = made(*args, **kwargs)
        record.worker = number
        return record

    logging.setLogRecordFactory(numbered)


if __name__ == "__main__":
    main()
