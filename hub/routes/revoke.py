"""Taking tokens back before they run out (docs/protocol.md, "Revocation")."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sanic import HTTPResponse, Request, Sanic
from sanic_ext import openapi

from actors.ids import ID_PATTERN
from hub.auth.claims import JTI_CHARS
from hub.node import Node
from hub.revocation.known import Target
from hub.routes.problems import Problem
from hub.routes.service import check_service, json_response, read_body

_WANTED = (
    "name exactly one of jti; device_id with user_id; desktop_id; user_id; and nothing else but expires_at, "
    "in milliseconds"
)
_ID = f"^{ID_PATTERN.pattern}$"


class RevocationBody(BaseModel):
    """The body of `POST /internal/revoke`. A member that is null is wrong, not absent: it could widen what is meant."""

    model_config = ConfigDict(extra="forbid")

    jti: str = Field(default="", min_length=1, max_length=JTI_CHARS, description="one token, by its jti")
    device_id: str = Field(default="", pattern=_ID, description="the tokens of one device; with user_id")
    desktop_id: str = Field(default="", pattern=_ID, description="the tokens of one desktop")
    user_id: str = Field(default="", pattern=_ID, description="all tokens of one user, also of the user's desktops")
    expires_at: int = Field(default=0, gt=0, description="when the last of them runs out, in ms since the epoch")


def add_revocation(app: Sanic[Any, Any], node: Node) -> None:
    """Add `/internal/revoke`."""

    @app.post("/internal/revoke")
    @openapi.summary("Refuse tokens that have not run out yet, and close the connections that they opened.")
    @openapi.secured("service_token")
    @openapi.body({"application/json": RevocationBody.model_json_schema()})
    @openapi.response(200, description="revoked: connections closed here; id; expires_at")
    @openapi.response(503, description="Redis is away: it holds on this node, on the others when Redis is back")
    async def revoke(request: Request) -> HTTPResponse:
        await check_service(node, request)
        body = read_body(request, RevocationBody, _WANTED)
        target, expires_at = _target(body), body.expires_at or None
        if expires_at is not None and expires_at <= node.clock.wall_ms():
            raise Problem(400, "bad_request", "expires_at should be a time to come, in milliseconds since the epoch")
        done = await node.revocations.revoke(target, expires_at)
        if not done.written:
            text = f"Redis is away: {done.closed} connections were closed here; other nodes learn of it when it is back"
            raise Problem(503, "unavailable", text, {"Retry-After": "1"})
        return json_response({"revoked": done.closed, "id": done.revocation_id, "expires_at": done.expires_at})


def _target(body: RevocationBody) -> Target:
    named = body.model_fields_set - {"expires_at"}
    if named == {"device_id", "user_id"}:
        return "device_id", body.user_id, body.device_id
    if named == {"jti"}:
        return "jti", body.jti
    if named == {"desktop_id"}:
        return "desktop_id", body.desktop_id
    if named == {"user_id"}:
        return "user_id", body.user_id
    raise Problem(400, "bad_request", _WANTED)
