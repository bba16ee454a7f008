"""What is read of a server's metrics."""

import pytest

from tests.bench.servers import read_metric

TEXT = """# TYPE hub_journal_dropped counter
hub_journal_dropped_total 12.0
hub_journal_dropped_created 1.7e+09
hub_closes_total{kind="desktop"} 3.0
"""


def test_a_figure_is_found_by_its_whole_name() -> None:
    assert read_metric(TEXT, "hub_journal_dropped_total") == 12


@pytest.mark.parametrize("name", ["hub_journal_dropped", "hub_closes_total", "hub_nothing"])
def test_a_figure_that_is_not_there_is_not_zero(name: str) -> None:
    with pytest.raises(KeyError):
        read_metric(TEXT, name)
