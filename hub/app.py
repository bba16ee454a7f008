"""The Sanic application: wiring only."""

import resource
import secrets
from typing import Any

from sanic import Sanic
from sanic_ext import Extend
from sanic_ext.extensions.openapi.extension import OpenAPIExtension

from hub.config import Settings
from hub.node import Node
from hub.routes.events import KEEP_ALIVE_S, add_events
from hub.routes.health import add_health
from hub.routes.letters import add_letters
from hub.routes.nodes import add_nodes
from hub.routes.presence import add_presence
from hub.routes.problems import ProblemErrors
from hub.routes.revoke import add_revocation
from hub.routes.sockets import add_sockets
from hub.upgrade import Door

SPARE_SOCKETS = 64
OWN_FILES = 32
"""Descriptors that the hub needs for itself: Redis, Valkey, key files, logs."""

_CONFIG = {
    "ACCESS_LOG": False,
    "FALLBACK_ERROR_FORMAT": "json",
    "GRACEFUL_SHUTDOWN_TIMEOUT": 1.0,
    "KEEP_ALIVE_TIMEOUT": 75,
    "REQUEST_BUFFER_SIZE": 65536,
    "REQUEST_MAX_HEADER_SIZE": 16384,
    "REQUEST_MAX_SIZE": 262_144,
    "REQUEST_TIMEOUT": 5,
    "RESPONSE_TIMEOUT": 2 * KEEP_ALIVE_S,
    "OAS_URL_PREFIX": "/docs",
    "API_TITLE": "Tether Hub",
    "API_DESCRIPTION": "Presence, messages to desktops, and health. The WebSocket contract is in docs/protocol.md.",
}


def create_app(settings: Settings, node: Node) -> Sanic[Any, Any]:
    """Return the application that serves `node`."""
    app: Sanic[Any, Any] = Sanic(
        f"tether-hub-{secrets.token_hex(4)}", error_handler=ProblemErrors(), configure_logging=False
    )
    app.config.update(_CONFIG)
    app.ctx.door = _door(settings, node)
    Extend(app, extensions=[OpenAPIExtension], built_in_extensions=False)
    app.ext.openapi.add_security_scheme("service_token", "http", scheme="bearer", bearer_format="JWT")
    add_sockets(app, node)
    add_health(app, node)
    add_presence(app, node)
    add_letters(app, node)
    add_nodes(app, node)
    add_events(app, node)
    add_revocation(app, node)
    return app


def _door(settings: Settings, node: Node) -> Door:
    """Open as many sockets as there are descriptors for, less what the hub needs itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    own, spare = min(OWN_FILES, hard // 2), min(SPARE_SOCKETS, hard // 8)
    most = max(1, hard - own - spare)
    if settings.max_connections is not None:
        most = min(most, settings.max_connections)
    return Door(most, spare, settings.handshake_deadline_s, lambda: node.open_sockets)
