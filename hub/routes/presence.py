"""Where a desktop is: what other services ask, with a Service Token (docs/protocol.md, "Presence over HTTP")."""

from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, Field
from sanic import HTTPResponse, Request, Sanic
from sanic_ext import openapi

from actors.ids import DesktopId, UserId
from hub.node import Node
from hub.presence.answers import PresenceAnswer
from hub.routes.service import check_service, checked_id, json_response, read_body

MOST_IDS = 1000
_WANTED = f'send {{"desktop_ids": [...]}} with at most {MOST_IDS} ids'


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
        body = read_body(request, PresenceQuery, _WANTED)
        ids = [DesktopId(checked_id(desktop_id)) for desktop_id in body.desktop_ids]
        return json_response({"desktops": [_public(answer) for answer in await node.presence.desktops(ids)]})


def _public(answer: PresenceAnswer) -> dict[str, Any]:
    return asdict(answer)
