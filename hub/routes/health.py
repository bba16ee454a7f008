"""What orchestrators ask: is it alive, may traffic go there, how is it doing."""

from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from sanic import HTTPResponse, Request, Sanic
from sanic.response import json, raw
from sanic_ext import openapi

from hub.metrics import NodeCollector
from hub.node import Node


def add_health(app: Sanic[Any, Any], node: Node) -> None:
    """Add `/healthz`, `/readyz` and `/metrics`.

    The figures of this process are in `app.ctx.registry`; `/metrics` answers with what `app.ctx.figures` returns, which
    is these unless it is replaced (hub/workers/figures.py).
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(NodeCollector(node, lambda: app.ctx.door.turned_away))
    ProcessCollector(registry=registry)

    async def own_figures() -> bytes:
        return generate_latest(registry)

    app.ctx.registry, app.ctx.figures = registry, own_figures

    @app.get("/healthz")
    @openapi.summary("Is the hub alive? Its supervisor's loop turns.")
    @openapi.response(200, description="alive")
    @openapi.response(503, description="the supervisor is stuck: restart the hub")
    async def healthz(_: Request) -> HTTPResponse:
        return json({"status": "alive" if node.alive else "stuck"}, status=200 if node.alive else 503)

    @app.get("/readyz")
    @openapi.summary("May traffic go there? Redis away is `degraded`, not unready: local routing goes on.")
    @openapi.response(200, description="ready")
    @openapi.response(503, description="starting or draining")
    async def readyz(_: Request) -> HTTPResponse:
        redis = "here" if node.mirror.available else "away"
        body = {"status": node.state, "node_id": node.node_id, "redis": redis, "degraded": redis == "away"}
        if node.ready:
            return json(body)
        return json(body, status=503, headers={"Retry-After": str(node.retry_after_s())})

    @app.get("/metrics")
    @openapi.summary("Prometheus metrics.")
    async def metrics(_: Request) -> HTTPResponse:
        return raw(await app.ctx.figures(), content_type=CONTENT_TYPE_LATEST)
