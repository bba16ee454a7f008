"""`python -m tests.survival.stalled_reader`: one phone stops reading among 100 others, and what that costs them.

All 101 phones belong to one user and hear one desktop, which streams at the rate of the default `HUB_RATE_LIMIT`. The
clients are one process beside the hub's.
"""

import asyncio
import gc
import platform
from collections.abc import Mapping, Sequence

import click
import uvloop

from tests.support.clients import desktop, new_name
from tests.support.crowd import Listener, Sleeper, Speaker, crowd
from tests.support.hub_process import HubProcess
from tests.support.raw import raw_mobile

OTHERS = 100
RATE = 200.0
TEXT = "x" * 1000
QUIET_S = 10.0
STALLED_S = 30.0
AFTER_S = 5.0
RECEIVE_BUFFER = 131_072
MIB = 1 << 20
LIVES = {
    "closed after HUB_WRITE_STALL_S, as by default": {},
    "never closed": {"HUB_WRITE_STALL_S": "60"},
}


class Memory:
    """The hub's resident bytes: when it was made, at the most, and now."""

    def __init__(self, hub: HubProcess) -> None:
        self._hub = hub
        self.before = self.peak = hub.memory

    async def watch(self) -> None:
        """Never returns."""
        while True:
            self.peak = max(self.peak, self._hub.memory)
            await asyncio.sleep(0.02)

    @property
    def growth(self) -> int:
        return self.peak - self.before

    @property
    def now(self) -> int:
        return self._hub.memory


class Delays:
    """How long the pieces took that came to the others since the last look, in milliseconds."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._measured = [each.delays_ms for each in listeners]
        for each in listeners:
            each.delays_ms = []

    def __str__(self) -> str:
        every = sorted(delay for each in self._measured for delay in each)
        return (
            f"p50 {every[len(every) // 2]:.1f} ms, p99 {every[len(every) * 99 // 100]:.1f} ms, worst {every[-1]:.1f} ms"
        )


async def course(hub: HubProcess) -> list[str]:
    """Quiet, stalled, awake again; return the figures."""
    user, desktop_id = new_name("u"), new_name("d")
    async with (
        desktop(hub, desktop_id, user) as agent,
        raw_mobile(hub, user, receive_buffer=RECEIVE_BUFFER) as client,
        asyncio.TaskGroup() as group,
    ):
        others, sleeper, speaker = await crowd(hub, user, OTHERS), Sleeper(client), Speaker(agent, RATE, TEXT)
        reading, speaking = group.create_task(sleeper.read()), group.create_task(speaker.speak())
        await asyncio.sleep(QUIET_S / 5)
        Delays(others)
        await asyncio.sleep(QUIET_S)
        quiet, memory = Delays(others), Memory(hub)
        watching = group.create_task(memory.watch())
        sleeper.sleep()
        await asyncio.sleep(STALLED_S)
        during = Delays(others)
        sleeper.wake()
        await asyncio.sleep(AFTER_S)
        after, gaps = Delays(others), await asyncio.to_thread(hub.metric, "hub_gaps_told_total")
        closed = await asyncio.to_thread(
            hub.metric, "hub_closes_total", kind="mobile", code="4102", reason="slow_consumer"
        )
        speaker.stop()
        await speaking
        watching.cancel()
        reading.cancel()
        async with asyncio.timeout(10):
            while any(each.heard < speaker.pieces for each in others):
                await asyncio.sleep(0.01)
        wrong = sum(len(each.wrong) for each in others)
        for each in others:
            each.transport.close()
    return [
        f"memory before {memory.before / MIB:.1f} MiB, peak {memory.peak / MIB:.1f}, after {memory.now / MIB:.1f}",
        f"others, quiet:  {quiet}",
        f"others, during: {during}",
        f"others, after:  {after}",
        f"{speaker.pieces} pieces of {len(TEXT)} bytes; the others missed {wrong}",
        f"gap notices {gaps:.0f}, closed with 4102: {closed:.0f}",
    ]


def one_life(settings: Mapping[str, str]) -> list[str]:
    """Run the course on a hub of its own."""
    hub = HubProcess({"HUB_MAX_MOBILES_PER_USER": str(OTHERS + 1), "HUB_RATE_LIMIT": "off", **settings})
    try:
        return uvloop.run(course(hub.start()))
    finally:
        hub.close()


@click.command()
def main() -> None:
    """Print the figures of both lives: the reader is closed, and the reader is kept."""
    gc.disable()  # It would stop the clients for longer than a message takes.
    click.echo(f"Python {platform.python_version()}, {OTHERS} others, {RATE:g} pieces/s, stopped for {STALLED_S:g} s")
    for name, settings in LIVES.items():
        click.echo(f"\n{name}")
        for line in one_life(settings):
            click.echo(f"- {line}")


if __name__ == "__main__":
    main()
