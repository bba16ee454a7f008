"""`hub doctor`: what is wrong with the settings, with Redis and with this machine, and what to do about it."""

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import click

from hub.cli.wording import printable

if TYPE_CHECKING:
    from hub.doctor.finding import Finding


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for machines.")
@click.option("--dev", is_flag=True, help="Look at what `hub serve --dev` would run with.")
def doctor(*, as_json: bool, dev: bool) -> None:
    """Look at settings, Redis, clocks, keys, ports and limits, and say what to do about each finding.

    Changes nothing and shows no secret. One line a finding. Exit code: 0 all is well, 1 there are warnings, 2 there
    are errors.
    """
    from hub.doctor.finding import exit_code

    findings = _look(dev=dev)
    code = exit_code(findings)
    click.echo(_as_json(findings, code) if as_json else "\n".join(map(_as_line, findings)))
    sys.exit(code)


def _look(*, dev: bool) -> "list[Finding]":
    from hub.config import SettingsError, load_settings
    from hub.doctor.checkup import bad_settings, examine

    try:
        settings = load_settings(dev=dev)
    except SettingsError as reason:
        return bad_settings(reason)
    return asyncio.run(examine(settings))


def _as_line(finding: "Finding") -> str:
    advice = f" -> {finding.advice}" if finding.advice else ""
    return printable(f"{finding.severity.name.lower():7}  {finding.about}: {finding.found}{advice}")


def _as_json(findings: "list[Finding]", code: int) -> str:
    lines = [
        {
            "severity": finding.severity.name.lower(),
            "about": finding.about,
            "found": finding.found,
            "advice": finding.advice,
        }
        for finding in findings
    ]
    return json.dumps({"exit_code": code, "findings": lines}, indent=2, ensure_ascii=False)
