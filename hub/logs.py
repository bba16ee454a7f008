"""Logs: one line an event, JSON or pretty, to standard error. Never a token, never a payload.

Whatever a client chose is escaped and cut, so that it can neither break a line nor fill a disk. The lines are made with
the standard library and msgspec: one for each connection costs little that way.
"""

import logging
import sys
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

MOST_CHARS = 500
_TRACEBACK_CHARS = 8000
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_LIBRARIES = ("sanic.root", "sanic.error", "sanic.server", "sanic.websockets", "httpx", "redis", "websockets")


def configure_logs(log_format: str, level: str) -> None:
    """Send all logging, the libraries' too, through one formatter.

    Args:
        log_format: `json` or `pretty`.
        level: `debug`, `info`, `warning` or `error`. The libraries' own lines begin at `warning`: some of them quote
            URLs and headers, and so tokens, below that.
    """
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(JsonFormatter() if log_format == "json" else PrettyFormatter())
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(logging.WARNING)
    for name in ("hub", "actors"):
        logging.getLogger(name).setLevel(level.upper())
    for name in _LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)
    # Nobody shows them, and each costs every line a look (logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    logging.getLogger("sanic.access").disabled = True  # It writes the query, and so the token.


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `timestamp`, `level`, `logger`, `event`, and what the event is about."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, in ASCII but for text that people named."""
        line: dict[str, Any] = {
            "timestamp": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _cut(record.getMessage()),
            **_subject(record),
        }
        if record.exc_info:
            line["exception"] = _printable(self.formatException(record.exc_info))[-_TRACEBACK_CHARS:]
        return msgspec.json.encode(line).decode()


class PrettyFormatter(logging.Formatter):
    """One line for people; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        subject = " ".join(f"{name}={value}" for name, value in _subject(record).items())
        line = f"{_time(record)[11:23]} {record.levelname.lower():7} {_cut(record.getMessage())}  {subject}".rstrip()
        if record.exc_info:
            line += "\n" + _printable(self.formatException(record.exc_info))[-_TRACEBACK_CHARS:]
        return line


def _time(record: logging.LogRecord) -> str:
    second, millisecond = divmod(round(record.created * 1000), 1000)
    return f"{_second(second)}.{millisecond:03}Z"


@lru_cache(maxsize=2)
def _second(since_epoch: int) -> str:
    """Return the second; the lines of a busy one share it."""
    return datetime.fromtimestamp(since_epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _subject(record: logging.LogRecord) -> dict[str, Any]:
    """What was given as `extra`."""
    return {
        name: value if isinstance(value, int | float) else _cut(str(value))
        for name, value in vars(record).items()
        if name not in _STANDARD and value is not None
    }


def _cut(text: str) -> str:
    """Escape what doesn't print, and cut what is too long."""
    text = _escaped(text)
    return text if len(text) <= MOST_CHARS else text[:MOST_CHARS] + "..."


def _printable(traceback: str) -> str:
    """Escape what doesn't print, but for the ends of lines."""
    return "\n".join(map(_escaped, traceback.split("\n")))


def _escaped(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode()
