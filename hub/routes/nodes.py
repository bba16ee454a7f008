"""Which nodes there are (docs/protocol.md, "Nodes")."""

from typing import Any

from sanic import HTTPResponse, Request, Sanic
from sanic_ext import openapi

from hub.node import Node
from hub.routes.service import check_service, json_response


def add_nodes(app: Sanic[Any, Any], node: Node) -> None:
    """Add `/internal/nodes`."""

    @app.get("/internal/nodes")
    @openapi.summary("Which nodes there are, and how many clients each has.")
    @openapi.secured("service_token")
    async def nodes(request: Request) -> HTTPResponse:
        await check_service(node, request)
        return json_response({"nodes": node.nodes()})
