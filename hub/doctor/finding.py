"""What a check has to say: how bad it is, what was found, and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

_EXIT_CODES = {"OK": 0, "NOTE": 0, "WARNING": 1, "ERROR": 2}


class Severity(IntEnum):
    """How bad a finding is; the greater, the worse."""

    OK = 0
    NOTE = 1
    """Worth knowing; may be meant that way."""
    WARNING = 2
    """The hub runs, and something will go wrong one day."""
    ERROR = 3
    """The hub doesn't start, or breaks a promise."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. No text holds a secret or a line break.

    Attributes:
        severity: How bad it is.
        about: What was looked at, in a word or two.
        found: What was found.
        advice: What to do about it; empty when there is nothing to do.
    """

    severity: Severity
    about: str
    found: str
    advice: str = ""


def ok(about: str, found: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(Severity.OK, about, found)


def note(about: str, found: str, advice: str = "") -> Finding:
    """Return a finding that may be meant that way."""
    return Finding(Severity.NOTE, about, found, advice)


def warning(about: str, found: str, advice: str) -> Finding:
    """Return a finding that will go wrong one day."""
    return Finding(Severity.WARNING, about, found, advice)


def error(about: str, found: str, advice: str) -> Finding:
    """Return a finding that keeps the hub from its work."""
    return Finding(Severity.ERROR, about, found, advice)


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 2 if there is an error, else 1 if there is a warning, else 0."""
    worst = max((finding.severity for finding in findings), default=Severity.OK)
    return _EXIT_CODES[worst.name]
