"""`make chaos`: rounds of faults, drawn by chance, for as long as wanted (CONTRIBUTING.md, "Tests").

Every round has people of its own on the stage's processes, and ends with a look at what was promised. Prints one line
a round; ends with 1, and the path of its log, when a promise was broken.
"""

import asyncio
import random
import sys
import time
from contextlib import closing
from pathlib import Path

import click

from tests.chaos import stages
from tests.chaos.checker import Finding
from tests.chaos.faults import OF_CLUSTER, OF_NODES, OF_ONE_SERVER, replace_all_workers
from tests.chaos.stages import judged
from tests.support.chaos_log import ChaosLog

MOST_FAULTS = 5
"""In one round."""
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
                    faults = self._chance.choices([*OF_NODES, *OF_ONE_SERVER], k=self._many())
                    self._note("one server", [f.__name__ for f in faults], await judged(stage, *faults))

    async def _cluster(self) -> None:
        async with stages.cluster(self._log, self._chance) as stage:
            for _ in range(ROUNDS):
                if not self.over:
                    faults = self._chance.choices([*OF_NODES, *OF_CLUSTER], k=self._many())
                    self._note("cluster", [f.__name__ for f in faults], await judged(stage, *faults))

    async def _workers(self) -> None:
        async with stages.two_workers(self._log, self._chance) as stage:
            self._note("workers", [replace_all_workers.__name__], await judged(stage, replace_all_workers))

    def _many(self) -> int:
        return self._chance.randint(1, MOST_FAULTS)

    def _note(self, stage: str, faults: list[str], broken: list[Finding]) -> None:
        self.rounds += 1
        self.broken += broken
        click.echo(f"{self.rounds:3} {stage}: {', '.join(faults)}: {'BROKEN' if broken else 'kept'}")
        for finding in broken:
            for text in finding.broken:
                click.echo(f"      {finding.promise}: {text}")


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
