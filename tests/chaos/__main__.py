"""`make chaos`: rounds of faults, drawn by chance, for as long as wanted (CONTRIBUTING.md, "Tests").

Every round has people of its own on the stage's processes, and ends with a look at what was promised. Prints one line
a round; ends with 1, and the path of its log, when a promise was broken.
"""

import asyncio
import random
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click

from tests.chaos import stages
from tests.chaos.checker import Finding
from tests.chaos.faults import OF_CLUSTER, OF_NODES, OF_ONE_SERVER, replace_all_workers
from tests.chaos.stages import Fault, Kind, judged
from tests.support.chaos_log import ChaosLog

MOST_FAULTS = 5
"""In one round."""
RESTLESS_S = (0.2, 0.7)
"""How often a link breaks, in one round or another."""
SHOWN = 3
ROUNDS = 8
"""On one stage, then comes the next; nodes and servers are new."""


class Course:
    """The rounds, one after the other, until the time is over or, if so wanted, until something breaks."""

    def __init__(self, log: ChaosLog, chance: random.Random, ends_at: float, *, to_the_end: bool) -> None:
        self._log = log
        self._chance = chance
        self._ends_at = ends_at
        self._to_the_end = to_the_end
        self.rounds = 0
        self.broken: list[Finding] = []

    @property
    def over(self) -> bool:
        return time.monotonic() >= self._ends_at or (bool(self.broken) and not self._to_the_end)

    async def run(self) -> None:
        """Go through the stages again and again."""
        while not self.over:
            for stage in (self._one_server, self._cluster, self._workers):
                if not self.over:
                    await stage()

    async def _one_server(self) -> None:
        async with stages.one_server(self._log, self._chance) as stage:
            for _ in range(ROUNDS):
                if not self.over:
                    await self._round("one server", stage, self._drawn([*OF_NODES, *OF_ONE_SERVER]))

    async def _cluster(self) -> None:
        async with stages.cluster(self._log, self._chance) as stage:
            for _ in range(ROUNDS):
                if not self.over:
                    await self._round("cluster", stage, self._drawn([*OF_NODES, *OF_CLUSTER]))

    async def _workers(self) -> None:
        async with stages.two_workers(self._log, self._chance) as stage:
            await self._round("workers", stage, [replace_all_workers])

    def _drawn(self, faults: Sequence[Fault[Kind]]) -> list[Fault[Kind]]:
        return self._chance.choices(faults, k=self._chance.randint(1, MOST_FAULTS))

    async def _round(self, name: str, stage: Kind, faults: Sequence[Fault[Kind]]) -> None:
        stage.restless_s = self._chance.choice(RESTLESS_S)
        self._note(name, [fault.__name__ for fault in faults], await judged(stage, *faults))

    def _note(self, stage: str, faults: list[str], broken: list[Finding]) -> None:
        self.rounds += 1
        self.broken += broken
        click.echo(f"{self.rounds:3} {stage}: {', '.join(faults)}: {'BROKEN' if broken else 'kept'}")
        for finding in broken:
            click.echo(f"      {finding.promise}: {len(finding.broken)}")
            for text in finding.broken[:SHOWN]:
                click.echo(f"        {text}")


@click.command()
@click.option("--seed", type=int, default=None, help="repeats the faults of an earlier run; by default a new one")
@click.option("--minutes", type=float, default=10.0, show_default=True, help="no round begins after so long")
@click.option("--to-the-end", is_flag=True, help="go on after a broken promise")
@click.option("--log", "folder", type=click.Path(path_type=Path), default=Path("reports/chaos-log"), show_default=True)
def main(seed: int | None, minutes: float, to_the_end: bool, folder: Path) -> None:
    """Draw faults by chance, and look at what was promised."""
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{seed}.jsonl"
    click.echo(f"seed {seed}, {minutes:g} minutes, log {path}")
    with closing(ChaosLog(path)) as log:
        course = Course(log, random.Random(seed), time.monotonic() + minutes * 60, to_the_end=to_the_end)
        asyncio.run(course.run())
    if course.broken:
        click.echo(f"promises were broken; seed {seed}, log {path}")
        sys.exit(1)
    click.echo(f"all promises were kept in {course.rounds} rounds")


if __name__ == "__main__":
    main()
