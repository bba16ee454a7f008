import pytest

from hub.doctor.finding import Finding, error, exit_code, note, ok, warning

OK, NOTE = ok("a", "b"), note("a", "b")
WARNING, ERROR = warning("a", "b", "c"), error("a", "b", "c")


@pytest.mark.parametrize(
    ("findings", "code"),
    [([], 0), ([OK, NOTE], 0), ([OK, WARNING, NOTE], 1), ([ERROR, WARNING, OK], 2)],
)
def test_the_worst_finding_is_the_exit_code(findings: list[Finding], code: int) -> None:
    assert exit_code(findings) == code
