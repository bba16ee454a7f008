"""What every path under `/internal` asks for: a Service Token, and ids that are ids."""

from typing import NoReturn, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError
from sanic import HTTPResponse, Request

from actors.ids import ID_PATTERN, is_id
from hub.auth.refusal import TokenRefused
from hub.auth.tokens import ServiceIdentity, TokenKind
from hub.node import Node
from hub.routes.bearer import bearer_token
from hub.routes.problems import Problem

Body = TypeVar("Body", bound=BaseModel)


async def check_service(node: Node, request: Request) -> ServiceIdentity:
    """Return which service asks.

    Raises:
        Problem: Its token opens nothing here, or there is none.
    """
    token = bearer_token(request)
    try:
        if token is None:
            _refuse_without_token()
        return await node.verifier.verify(token, TokenKind.INTERNAL)
    except TokenRefused as refused:
        node.count_refusal("internal", refused.code)
        raise Problem.of(refused) from None


def _refuse_without_token() -> NoReturn:
    raise TokenRefused("token_invalid", "no token: send Authorization: Bearer TOKEN with a Service Token")


def checked_id(text: str) -> str:
    """Return `text`, which is to name a user or a desktop.

    Raises:
        Problem: 400, if it can't.
    """
    if not is_id(text):
        raise Problem(400, "bad_request", f"an id matches {ID_PATTERN.pattern}")
    return text


def read_body(request: Request, model: type[Body], wanted: str) -> Body:
    """Read a JSON body.

    Raises:
        Problem: 400, with what is wrong first and what is `wanted`.
    """
    try:
        return model.model_validate_json(request.body, strict=True)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"])) or "body"
        raise Problem(400, "bad_request", f"{where[:100]}: {fault['msg']}; {wanted}") from None


def json_response(body: object, status: int = 200) -> HTTPResponse:
    """Return a response of `body` as JSON."""
    return HTTPResponse(msgspec.json.encode(body), status=status, content_type="application/json")
