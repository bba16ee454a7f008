"""`python -m tests.bench`: measures the hub, and the peers beside it, in one run."""

import contextlib
import fcntl
import gc
import json
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from tests.bench import machine, scenarios
from tests.bench.asking import asking
from tests.bench.cores import pin_load
from tests.bench.crossing import crossing
from tests.bench.durable import durable
from tests.bench.figures import Figures
from tests.bench.plan import FULL, QUICK, Plan
from tests.bench.report import render
from tests.bench.resume import resume
from tests.bench.storm import storm
from tests.bench.targets import HubTarget, Target, gorilla, sanic_plain
from tests.bench.verdicts import judge

_SCENARIOS = ("relay", "latency", "idle", "handshake", "flat", "durable", "nodes", "storm", "asking")


def _chosen(_context: click.Context, _parameter: click.Parameter, text: str) -> set[str]:
    names = set(text.split(","))
    if unknown := names - set(_SCENARIOS):
        raise click.BadParameter(f"{', '.join(sorted(unknown))}: not among {', '.join(_SCENARIOS)}")
    return names


@click.command(context_settings={"show_default": True})
@click.option(
    "--peers", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder with the peers' sources."
)
@click.option("--quick", is_flag=True, help="One short round, fewer connections: some two minutes.")
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Also write every round there."
)
@click.option("--only", default=",".join(_SCENARIOS), callback=_chosen, help="The scenarios to run, comma-separated.")
@click.option("--without-hub", is_flag=True, help="Only the peers: shows what the benchmark itself is worth here.")
def main(*, peers: Path | None, quick: bool, json_file: Path | None, only: set[str], without_hub: bool) -> None:
    """Measure the hub, server on one core and load on another; with --peers also the peers, in the same run."""
    _prepare_process()
    hubs: list[HubTarget] = [] if without_hub else [HubTarget(), HubTarget(2), HubTarget(2, spread=True)]
    with _alone():
        began = time.monotonic()
        figures = _measure(hubs, _peers(peers), QUICK if quick else FULL, only)
    click.echo()
    click.echo(render(machine.describe(), figures))
    click.echo()
    for verdict in judge(figures):
        click.echo(f"- {verdict}")
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(figures), indent=2) + "\n")
    click.echo(f"\ntook {time.monotonic() - began:.0f} s", err=True)


def _prepare_process() -> None:
    """Own core, enough descriptors, no garbage collection in between, and servers ended on SIGTERM, too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    pin_load()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.disable()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Two runs on the same cores would measure each other: the later one waits."""
    with (Path(tempfile.gettempdir()) / "hub-bench.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("another run of the benchmark is under way: waiting for its end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _peers(folder: Path | None) -> dict[str, Target]:
    if folder is None:
        _say("no --peers: only the hub is measured")
        return {}
    found = {"sanic_plain": sanic_plain(folder)}
    built = gorilla(folder)
    if built is None:
        _say("there is no `go` here: gorilla is skipped")
        return found
    return {"gorilla": built, **found}


def _measure(hubs: Sequence[HubTarget], peers: dict[str, Target], plan: Plan, only: set[str]) -> Figures:
    """The hub first of all in one process, then with two workers, on one core and on all."""
    alone, pairs, spread = hubs[:1], hubs[1:], hubs[2:]
    everybody = [*alone, *peers.values()]
    quick_ones = [*hubs[:2], *(peer for name, peer in peers.items() if name == "gorilla")]
    return Figures(
        relay=scenarios.relay(everybody, plan, _say) if "relay" in only else [],
        latency=scenarios.latency(everybody, plan, _say) if "latency" in only else [],
        idle=[figure for hub in hubs[:2] for figure in scenarios.idle(hub, plan, _say)] if "idle" in only else [],
        handshake=scenarios.handshake(quick_ones, plan, _say) if "handshake" in only else [],
        flat=[figure for hub in alone for figure in scenarios.flat(hub, plan, _say)] if "flat" in only else [],
        durable=[figure for hub in alone for figure in durable(hub, plan, _say)] if "durable" in only else [],
        resume=[figure for hub in alone for figure in resume(hub, plan, _say)] if "durable" in only else [],
        crossing=crossing(pairs, plan, _say) if "nodes" in only else [],
        storm=[figure for hub in spread for figure in storm(hub, plan, _say)] if "storm" in only else [],
        asking=asking(plan, _say) if hubs and "asking" in only else [],
    )


def _say(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main()
