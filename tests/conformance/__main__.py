"""`python -m tests.conformance [--short]`: the Autobahn cases against the hub's own transport.

All cases of groups 1 to 10; groups 12 and 13 are about permessage-deflate, which the hub doesn't negotiate. `--short`
leaves out the ones that are large or slow. Ends with 1 if a case fails, or if other cases ran than were meant to.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

import uvloop

from tests.conformance.endpoint import echo_endpoint

CASES = 301
SHORT_CASES = 247
WITHOUT = ("12.*", "13.*")
SHORT_WITHOUT = (*WITHOUT, "9.*")
PASSED = {"OK", "NON-STRICT", "INFORMATIONAL"}


async def run_cases(report: Path, without: tuple[str, ...]) -> None:
    """Have kosoku run the cases and write its report."""
    excluded = [word for case in without for word in ("-x", case)]
    kosoku = Path(sys.executable).with_name("kosoku")
    async with echo_endpoint() as port:
        running = await asyncio.create_subprocess_exec(
            kosoku, *excluded, "-p", "4", "-o", report, f"127.0.0.1:{port}", stdout=asyncio.subprocess.DEVNULL
        )
        await running.wait()


def read_report(report: Path) -> dict[str, dict[str, str]]:
    """Return what the report says of each case."""
    (cases,) = json.loads((report / "index.json").read_text()).values()
    return dict(cases)


def judge(cases: dict[str, dict[str, str]], expected: int) -> list[str]:
    """Return a line for everything that isn't as it should be."""
    bad = [
        f"case {case}: {verdict['behavior']}, closing: {verdict['behaviorClose']}"
        for case, verdict in cases.items()
        if not {verdict["behavior"], verdict["behaviorClose"]} <= PASSED
    ]
    if len(cases) != expected:
        bad.append(f"{len(cases)} cases ran, not {expected}")
    return bad


def main() -> int:
    """Run, and say how it went."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--short", action="store_true", help="leave out the large and the slow cases")
    parser.add_argument("--report", type=Path, help="folder for kosoku's report; by default it is thrown away")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = options.report or Path(scratch)
        runner.run(run_cases(report, SHORT_WITHOUT if options.short else WITHOUT))
        cases = read_report(report)
    bad = judge(cases, SHORT_CASES if options.short else CASES)
    verdicts = Counter(verdict["behavior"] for verdict in cases.values())
    print(f"{len(cases)} cases:", ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()))  # noqa: T201
    print("\n".join(bad) or "no failures")  # noqa: T201
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
