"""Which nodes there are (docs/protocol.md, "Nodes")."""

from importlib.metadata import version
from typing import Any

from sanic import HTTPResponse, Request, Sanic
from sanic_ext import openapi

from hub.node import Node
from hub.routes.service import check_service, json_response

VERSION = version("tether-hub")
KINDS = ("desktop", "mobile")


def add_nodes(app: Sanic[Any, Any], node: Node) -> None:
    """Add `/internal/nodes`."""

    @app.get("/internal/nodes")
    @openapi.summary("Which nodes there are, and how many clients each has.")
    @openapi.secured("service_token")
    async def nodes(request: Request) -> HTTPResponse:
        await check_service(node, request)
        return json_response({"nodes": [_view(node)]})


def _view(node: Node) -> dict[str, Any]:
    return {
        "node_id": node.node_id,
        "state": node.state,
        "since": node.since,
        "version": VERSION,
        "connections": {kind: len(node.supervisor.open_routes(kind)) for kind in KINDS},
    }
