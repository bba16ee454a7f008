"""Presence changes as Server-Sent Events, with a Service Token (docs/protocol.md, "Presence changes over HTTP")."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from sanic import Request, Sanic
from sanic_ext import openapi

from actors.offsets import Offset, parse_offset
from hub.auth.refusal import TokenRefused
from hub.auth.tokens import ServiceIdentity
from hub.events.entries import KEEP_ALIVE
from hub.events.listener import Listener
from hub.node import Node
from hub.routes.problems import Problem
from hub.routes.service import check_service
from hub.upgrade import protocol_of

KEEP_ALIVE_S = 15
LOOK_S = 0.5
"""So often is it looked whether the token still opens anything."""
RETRY_FULL_S = 5
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""No proxy is to hold events back (the second one is nginx's)."""


def add_events(app: Sanic[Any, Any], node: Node) -> None:
    """Add `/internal/events`."""

    @app.get("/internal/events")
    @openapi.summary("Presence changes as Server-Sent Events, from now on or behind Last-Event-ID.")
    @openapi.secured("service_token")
    @openapi.parameter("Last-Event-ID", str, location="header", required=False)
    async def events(request: Request) -> None:
        service = await check_service(node, request)
        after = _last_event_id(request)
        if not node.ready:
            raise Problem(503, "unavailable", node.why_not_ready(), {"Retry-After": str(node.retry_after_s())})
        if node.events.crowded:
            text = "too many services listen to this node; try again later"
            raise Problem(503, "unavailable", text, {"Retry-After": str(RETRY_FULL_S)})
        with node.events.listen(after) as listener:
            await _stream(node, request, listener, service)


def _last_event_id(request: Request) -> Offset | None:
    text = request.headers.getone("last-event-id", None)
    if text is None:
        return None
    after = parse_offset(text)
    if after is None:
        raise Problem(400, "bad_request", "Last-Event-ID should be the id of an event; 0-0 asks for all")
    return after


async def _stream(node: Node, request: Request, listener: Listener, service: ServiceIdentity) -> None:
    """Send what comes until the node drains, the token opens nothing more, or the service reads too slowly."""
    response = await request.respond(content_type="text/event-stream", headers=_HEADERS)
    async for chunk in _chunks(listener, partial(_opens, node, service)):
        try:
            async with asyncio.timeout(node.settings.write_stall_s):
                await response.send(chunk)
        except TimeoutError:
            protocol_of(request).abort()
            return
    await response.eof()


async def _chunks(listener: Listener, may_listen: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Yield what the service is sent: first a comment, so that it has the headers."""
    loop = asyncio.get_running_loop()
    yield KEEP_ALIVE
    said_at = loop.time()
    while may_listen() and (events := await listener.take(LOOK_S)) is not None:
        if events or loop.time() - said_at >= KEEP_ALIVE_S:
            yield events or KEEP_ALIVE
            said_at = loop.time()


def _opens(node: Node, service: ServiceIdentity) -> bool:
    """Tell whether the service's token still opens anything."""
    try:
        node.verifier.check_revoked(service)
    except TokenRefused:
        return False
    return node.clock.wall_ms() / 1000 < service.expires_at + node.settings.token_grace_s
