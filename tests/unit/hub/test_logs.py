"""Logs: one line an event, whatever a client chose; nothing of the libraries' that could quote a token."""

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from hub.logs import MOST_CHARS, JsonFormatter, PrettyFormatter, configure_logs

NASTY = [
    "two\nlines",
    "\x1b[31mred",
    "\r\x08overwritten",
    "nul\x00",
    "\u2028separator",
    "\u202eright to left",
    "\x9bcsi",
]
FORMATTERS: list[logging.Formatter] = [JsonFormatter(), PrettyFormatter()]


def record(event: str, *args: object, level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"msg": event, "args": args, "levelno": level, "name": "hub.test", **extra})
    made.levelname = logging.getLevelName(level)
    made.created = 1_700_000_000.123
    return made


def json_line(event: str, *args: object, **extra: object) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(JsonFormatter().format(record(event, *args, level=logging.INFO, **extra)))
    return line


def fail(text: str) -> None:
    raise RuntimeError(text)


def failed(text: str) -> Any:
    try:
        fail(text)
    except RuntimeError:
        return sys.exc_info()


# -- lines ---------------------------------------------------------------------------------------------------------


def test_a_json_line_tells_when_how_grave_who_and_what() -> None:
    assert json_line("it %s", "works", kind="mobile", code=1000, device_id=None) == {
        "timestamp": "2023-11-14T22:13:20.123Z",
        "level": "info",
        "logger": "hub.test",
        "event": "it works",
        "kind": "mobile",
        "code": 1000,
    }


def test_a_pretty_line_tells_the_same_to_people() -> None:
    line = PrettyFormatter().format(record("it works", level=logging.WARNING, kind="mobile", code=1000))
    assert line == "22:13:20.123 warning it works  kind=mobile code=1000"


@pytest.mark.parametrize("formatter", FORMATTERS)
@pytest.mark.parametrize("text", NASTY)
def test_nothing_that_a_client_chose_breaks_a_line_or_steers_a_terminal(
    formatter: logging.Formatter, text: str
) -> None:
    for line in (formatter.format(record("%s", text)), formatter.format(record("event", user_id=text))):
        assert line.isprintable()
        assert text not in line


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_text_that_is_not_unicode_is_escaped(formatter: logging.Formatter) -> None:
    line = formatter.format(record("odd: %s", "\ud800", reason="\udfff"))
    assert line.encode()


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_what_is_long_is_cut(formatter: logging.Formatter) -> None:
    line = formatter.format(record("x" * 1_000_000, reason="y" * 1_000_000))
    assert "x" * MOST_CHARS + "..." in line
    assert len(line) < 3 * MOST_CHARS


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_what_is_long_when_escaped_is_cut_too(formatter: logging.Formatter) -> None:
    assert len(formatter.format(record("\x00" * 1_000_000))) < 4 * MOST_CHARS


def test_a_failures_traceback_is_in_its_json_line() -> None:
    line = json_line("it failed", exc_info=failed("why"))
    assert "RuntimeError: why" in line["exception"]


def test_a_pretty_traceback_follows_its_line() -> None:
    lines = PrettyFormatter().format(record("it failed", exc_info=failed("why"))).split("\n")
    assert lines[0].endswith("it failed")
    assert lines[-1] == "RuntimeError: why"


@pytest.mark.parametrize("text", NASTY[1:])
def test_a_pretty_traceback_does_not_steer_a_terminal_either(text: str) -> None:
    lines = PrettyFormatter().format(record("it failed", exc_info=failed(text))).split("\n")
    assert [line for line in lines if not line.isprintable()] == []


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_a_failure_whose_text_is_not_unicode_is_logged(formatter: logging.Formatter) -> None:
    assert "RuntimeError" in formatter.format(record("it failed", exc_info=failed("\ud800")))


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_an_endless_traceback_is_cut_at_its_beginning(formatter: logging.Formatter) -> None:
    line = formatter.format(record("it failed", exc_info=failed("x" * 100_000 + " the end")))
    assert len(line) < 10_000
    assert "the end" in line


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_a_subject_that_has_no_json_is_shown_as_text(formatter: logging.Formatter) -> None:
    assert "why" in formatter.format(record("it failed", error=RuntimeError("why")))


# -- where they go -------------------------------------------------------------------------------------------------


@pytest.fixture
def untouched_logging() -> Iterator[None]:
    """Give back logging as pytest set it up."""
    names = ["", "hub", "actors", "sanic.access", "sanic.root", "sanic.error", "sanic.server", "sanic.websockets"]
    loggers = [logging.getLogger(name) for name in [*names, "httpx", "redis", "websockets"]]
    before = [(one, one.handlers[:], one.level, one.propagate, one.disabled) for one in loggers]
    flags = (logging.logThreads, logging.logProcesses, logging.logMultiprocessing)
    yield
    for one, handlers, level, propagate, disabled in before:
        one.handlers[:] = handlers
        one.setLevel(level)
        one.propagate, one.disabled = propagate, disabled
    logging.logThreads, logging.logProcesses, logging.logMultiprocessing = flags


pytestmark = pytest.mark.usefixtures("untouched_logging")


@pytest.mark.parametrize(("level", "said"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_is_the_hubs_own(capsys: pytest.CaptureFixture[str], level: str, said: int) -> None:
    configure_logs("json", level)
    for how in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger("hub.test"), how)("said")
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["said"] * said


@pytest.mark.parametrize(
    "name", ["sanic.root", "sanic.error", "sanic.server", "httpx", "redis", "websockets", "asyncio"]
)
def test_of_the_libraries_only_warnings_are_shown(capsys: pytest.CaptureFixture[str], name: str) -> None:
    configure_logs("json", "debug")
    logger = logging.getLogger(name)
    logger.debug("GET /ws/mobile?token=SECRET")
    logger.info("GET /ws/mobile?token=SECRET")
    logger.warning("a warning")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["a warning"]


def test_sanics_access_log_is_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("pretty", "debug")
    logging.getLogger("sanic.access").error("GET /ws/mobile?token=SECRET")
    assert capsys.readouterr().err == ""


def test_all_goes_to_standard_error_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("pretty", "info")
    configure_logs("pretty", "info")
    logging.getLogger("hub").info("said")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
