"""Tasks that ask Redis: how they rest, and how their owners end them."""

import asyncio


async def finish(*tasks: asyncio.Task[None] | None, deadline_s: float | None = None) -> None:
    """Let tasks end by themselves within `deadline_s`, cancel those that didn't, and return when all have ended.

    What a task raised isn't raised here: that is for whoever watches it. All are cancelled before any is awaited.

    Args:
        tasks: Of whoever calls; None is one that was never started.
        deadline_s: Seconds, 0 for one turn of the loop; None cancels at once.
    """
    started = [task for task in tasks if task is not None]
    if started and deadline_s is not None:
        await asyncio.wait(started, timeout=deadline_s)
    for task in started:
        task.cancel()
    await asyncio.gather(*started, return_exceptions=True)


async def doze(wake: asyncio.Event, most_s: float) -> None:
    """Wait until `wake` is set; if nobody sets it within `most_s` seconds, time does. It stays set."""
    timer = asyncio.get_running_loop().call_later(most_s, wake.set)
    await wake.wait()
    timer.cancel()
