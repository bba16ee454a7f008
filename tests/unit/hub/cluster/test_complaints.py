"""Complaints that don't fill the log."""

import logging

import pytest

from hub.cluster.complaints import EVERY_S, Complaints
from tests.support.actors import HandClock


def test_the_first_is_logged_and_then_one_a_minute_with_how_many_there_were(caplog: pytest.LogCaptureFixture) -> None:
    clock = HandClock()
    complaints = Complaints(logging.getLogger("hub.cluster"), clock.monotonic)
    for _ in range(3):
        complaints.add("it can't be read")
    clock.passed_s += EVERY_S
    complaints.add("it can't be read")
    assert complaints.count == 4
    assert [record.getMessage() for record in caplog.records] == [
        "cluster: it can't be read (1 so far)",
        "cluster: it can't be read (4 so far)",
    ]
