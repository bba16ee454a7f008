"""Errors over HTTP: `application/problem+json` (RFC 9457), with a `code` that programs can read."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from sanic import HTTPResponse, Request
from sanic.exceptions import RequestCancelled, SanicException
from sanic.handlers import ErrorHandler

from hub.auth.refusal import TokenRefused

log = logging.getLogger("hub.http")

_CODES = {
    400: ("bad_request", "the request could not be read"),
    404: ("not_found", "there is nothing at this path; see /docs"),
    405: ("method_not_allowed", "this path doesn't take this method; see /docs"),
    408: ("request_timeout", "the request took too long to arrive"),
    413: ("too_large", "the request is larger than this path takes"),
    503: ("unavailable", "not now; try again later"),
}


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it so
    """An HTTP error: what a route raises. `text` is one line for the client's developer."""

    def __init__(self, status: int, code: str, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text
        self.headers = dict(headers or {})

    @classmethod
    def of(cls, refused: TokenRefused) -> "Problem":
        """A token that opens nothing."""
        headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "5"}}.get(refused.status)
        return cls(refused.status, refused.code, refused.text, headers)


def problem_response(problem: Problem) -> HTTPResponse:
    """Return the response for a problem."""
    body = {"type": "about:blank", "title": HTTPStatus(problem.status).phrase, "status": problem.status}
    return HTTPResponse(
        msgspec.json.encode({**body, "code": problem.code, "detail": problem.text}),
        status=problem.status,
        headers=problem.headers,
        content_type="application/problem+json",
    )


class ProblemErrors(ErrorHandler):
    """Has Sanic answer every error as a problem, and log no URL: a token may be in its query."""

    def default(self, request: Request, exception: Exception) -> HTTPResponse:
        """Return the problem that fits the exception."""
        if isinstance(exception, Problem):
            return problem_response(exception)
        if isinstance(exception, RequestCancelled):
            # The client hung up, or its time was up: nothing that went wrong here, and nobody reads the answer.
            log.debug("a request was broken off: %s", request.method)
            return problem_response(Problem(408, *_CODES[408]))
        status = exception.status_code if isinstance(exception, SanicException) else 500
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.SERVICE_UNAVAILABLE:
            log.error("a request failed: %s", request.method, exc_info=exception)
            return problem_response(Problem(500, "internal_error", "the hub failed; this is its fault, not yours"))
        code, text = _CODES.get(status, ("http_error", HTTPStatus(status).phrase.lower()))
        return problem_response(Problem(status, code, text))
