"""One asker's bug is logged, and goes no further."""

import logging

import pytest

from hub.store.guard import guard

guarded = guard(logging.getLogger("hub.test"), "an answer failed")


def test_what_it_is_given_is_called_with_its_arguments(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[int] = []
    guarded(heard.append, 7)
    assert (heard, caplog.text) == ([7], "")


def test_a_bug_goes_to_the_log_and_no_further(caplog: pytest.LogCaptureFixture) -> None:
    guarded(int, "not a number")
    assert "an answer failed" in caplog.text
    assert "ValueError" in caplog.text
