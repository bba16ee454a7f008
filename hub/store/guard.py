"""Answers go to whoever asked; a bug of one asker must not keep the others waiting."""

import logging
from collections.abc import Callable


def guard(log: logging.Logger, failure: str) -> Callable[..., None]:
    """Return a function that calls what it is given; what that raises goes to the log as `failure`."""

    def guarded(call: Callable[..., object], *arguments: object) -> None:
        try:
            call(*arguments)
        except Exception:
            log.exception(failure)

    return guarded
