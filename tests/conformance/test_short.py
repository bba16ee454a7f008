"""The Autobahn cases in their short form, and that the runner notices what isn't as it should be."""

import subprocess
import sys

import pytest

from tests.conformance.__main__ import judge

pytestmark = pytest.mark.conformance

FINE = {"behavior": "OK", "behaviorClose": "OK"}


def test_all_but_the_large_cases_pass() -> None:
    command = [sys.executable, "-m", "tests.conformance", "--short"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.startswith("247 cases: ")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("cases", "expected", "said"),
    [
        ({"1.1.1": FINE}, 1, []),
        ({"1.1.1": FINE}, 2, ["1 cases ran, not 2"]),
        ({"1.1.1": {**FINE, "behavior": "FAILED"}}, 1, ["case 1.1.1: FAILED, closing: OK"]),
        ({"1.1.1": {**FINE, "behaviorClose": "WRONG CODE"}}, 1, ["case 1.1.1: OK, closing: WRONG CODE"]),
    ],
)
def test_the_verdict(cases: dict[str, dict[str, str]], expected: int, said: list[str]) -> None:
    assert judge(cases, expected) == said
