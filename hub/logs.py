"""Logs: one line an event, JSON or pretty, to standard error. Never a token, never a payload.

Text that a client chose can reach a log only through `structlog`'s renderers, which escape it; long values are cut.
"""

import logging
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger

MOST_CHARS = 500


def configure_logs(log_format: str, level: str) -> None:
    """Send all logging, the libraries' too, through one renderer.

    Args:
        log_format: `json` or `pretty`.
        level: `debug`, `info`, `warning` or `error`.
    """
    renderer = (
        structlog.processors.JSONRenderer(ensure_ascii=True)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    traceback = [structlog.processors.format_exc_info] if log_format == "json" else []
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *traceback, _cut, renderer],
    )
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(level.upper())
    for name in ("sanic.root", "sanic.error", "sanic.access", "sanic.server", "sanic.websockets"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "sanic.access"
        logger.setLevel(max(logging.WARNING, root.level))
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _cut(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Escape control characters and cut what is too long, but for tracebacks."""
    for key, value in event.items():
        if isinstance(value, str) and key != "exception":
            printable = value if value.isprintable() else value.encode("unicode_escape").decode()
            event[key] = printable if len(printable) <= MOST_CHARS else printable[:MOST_CHARS] + "…"
    return event
