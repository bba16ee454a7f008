"""Where a desktop is: what other services ask, with a Service Token (docs/protocol.md, "Presence over HTTP")."""

from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, Field, ValidationError
from sanic import HTTPResponse, Request, Sanic
from sanic_ext import openapi

from actors.ids import DesktopId, UserId
from hub.node import Node
from hub.presence.answers import PresenceAnswer
from hub.routes.problems import Problem
from hub.routes.service import check_service, checked_id, json_response

MOST_IDS = 1000


class PresenceQuery(BaseModel):
    """The body of `POST /internal/presence/query`."""

    desktop_ids: list[str] = Field(max_length=MOST_IDS, description="ids of desktops")


def add_presence(app: Sanic[Any, Any], node: Node) -> None:
    """Add the look-ups."""

    @app.get("/internal/presence/desktops/<desktop_id:str>", unquote=True)
    @openapi.summary("Where one desktop is.")
    @openapi.secured("service_token")
    async def desktop(request: Request, desktop_id: str) -> HTTPResponse:
        await check_service(node, request)
        answer = await node.presence.desktop(DesktopId(checked_id(desktop_id)))
        return json_response(_public(answer))

    @app.get("/internal/presence/users/<user_id:str>", unquote=True)
    @openapi.summary("Where a user's desktops are.")
    @openapi.secured("service_token")
    async def user(request: Request, user_id: str) -> HTTPResponse:
        await check_service(node, request)
        found = await node.presence.user(UserId(checked_id(user_id)))
        desktops = [_public(answer) for answer in found.desktops]
        return json_response(
            {"user_id": found.user_id, "state": found.state, "as_of": found.as_of, "desktops": desktops}
        )

    @app.post("/internal/presence/query")
    @openapi.summary(f"Where up to {MOST_IDS} desktops are, in the order asked for.")
    @openapi.secured("service_token")
    @openapi.body({"application/json": PresenceQuery.model_json_schema()})
    async def query(request: Request) -> HTTPResponse:
        await check_service(node, request)
        ids = [DesktopId(checked_id(desktop_id)) for desktop_id in _read_query(request).desktop_ids]
        return json_response({"desktops": [_public(answer) for answer in await node.presence.desktops(ids)]})


def _read_query(request: Request) -> PresenceQuery:
    try:
        return PresenceQuery.model_validate_json(request.body, strict=True)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"])) or "body"
        text = f'{where}: {fault["msg"]}; send {{"desktop_ids": [...]}} with at most {MOST_IDS} ids'
        raise Problem(400, "bad_request", text) from None


def _public(answer: PresenceAnswer) -> dict[str, Any]:
    return asdict(answer)
