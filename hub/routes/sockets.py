"""Where sockets come in: `/ws/desktop` and `/ws/mobile` (docs/protocol.md, "Tokens")."""

from base64 import b64decode
from binascii import Error as BadBase64
from dataclasses import dataclass
from functools import partial
from typing import Any

from sanic import Request, Sanic

from actors.closing import CloseReason
from actors.connection import Connection
from actors.messages import DesktopIdentity, ErrorCode, Fault, MobileIdentity
from hub.auth.refusal import TokenRefused
from hub.auth.tokens import KeysNeeded, TokenIdentity, TokenKind
from hub.node import Node
from hub.refusal import RefusedClient
from hub.routes.asked import acks, resume
from hub.routes.bearer import bearer_token
from hub.routes.problems import Problem
from hub.upgrade import protocol_of

SUBPROTOCOL = "hub.v1"
RETRY_FULL_S = 5
_BEARER = "bearer."
_KEY_BYTES = 16

_CLOSES = {
    "token_invalid": CloseReason.TOKEN_INVALID,
    "token_expired": CloseReason.TOKEN_EXPIRED,
    "forbidden": CloseReason.FORBIDDEN,
    "unavailable": CloseReason.HUB_FULL,
}


@dataclass(frozen=True, slots=True)
class _Ticket:
    """A token as it came. `told_after`: its sender can't read an HTTP error, so it is upgraded first."""

    token: str
    subprotocol: str | None
    told_after: bool


def add_sockets(app: Sanic[Any, Any], node: Node) -> None:
    """Add both routes."""

    async def desktop(request: Request) -> None:
        """A desktop's WebSocket."""
        await _admit(node, request, TokenKind.DESKTOP)

    async def mobile(request: Request) -> None:
        """A phone's WebSocket."""
        await _admit(node, request, TokenKind.MOBILE)

    for handler in (desktop, mobile):
        handler.is_websocket = True  # type: ignore[attr-defined]
        app.add_route(handler, f"/ws/{handler.__name__}", methods=["GET"], name=f"ws_{handler.__name__}")


async def _admit(node: Node, request: Request, kind: TokenKind) -> None:
    key = _upgrade_key(request)
    if not node.ready:
        raise Problem(503, "unavailable", node.why_not_ready(), {"Retry-After": str(node.retry_after_s())})
    if protocol_of(request).crowded:
        node.count_refusal(kind.value, "full")
        raise Problem(503, "unavailable", "the hub is full; try again later", {"Retry-After": str(RETRY_FULL_S)})
    _check_origin(node, request)
    ticket = _ticket(node, request)
    try:
        try:
            identity = node.verifier.verify_now(ticket.token, kind)
        except KeysNeeded:
            identity = await node.verifier.verify(ticket.token, kind)
    except TokenRefused as refused:
        node.count_refusal(kind.value, refused.code)
        if not ticket.told_after:
            raise Problem.of(refused) from None
        _tell_after_upgrade(node, request, key, ticket, refused)
        return
    protocol = protocol_of(request)
    if protocol.hung_up:
        node.count_refusal(kind.value, "gave_up")
        protocol.abort()
        return
    connection = _new_connection(node, request, identity)
    max_bytes = node.settings.max_message_bytes
    protocol.upgrade(key, ticket.subprotocol, connection, max_bytes, node.turns, connection.start)


def _new_connection(node: Node, request: Request, identity: TokenIdentity) -> Connection:
    if isinstance(identity, DesktopIdentity):
        return node.new_desktop(identity, acks=acks(request))
    assert isinstance(identity, MobileIdentity)  # noqa: S101 - by the kind
    return node.new_mobile(identity, resume(request))


def _upgrade_key(request: Request) -> str:
    """Check the upgrade request (RFC 6455, section 4.2.1) and return its key."""
    headers = request.headers
    connection = headers.getone("connection", "").lower()
    if headers.getone("upgrade", "").lower() != "websocket" or "upgrade" not in connection:
        raise Problem(426, "upgrade_required", "this is a WebSocket endpoint", {"Upgrade": "websocket"})
    if headers.getone("sec-websocket-version", "") != "13":
        raise Problem(426, "upgrade_required", "only WebSocket version 13 is spoken", {"Sec-WebSocket-Version": "13"})
    key: str = headers.getone("sec-websocket-key", "")
    try:
        if len(b64decode(key.encode(), validate=True)) == _KEY_BYTES:
            return key
    except (BadBase64, UnicodeEncodeError):
        pass
    raise Problem(400, "bad_request", "Sec-WebSocket-Key has to be 16 bytes in base64")


def _check_origin(node: Node, request: Request) -> None:
    """A browser says which page it acts for; a native client says nothing."""
    origin = request.headers.getone("origin", None)
    if origin is not None and origin.lower() not in node.settings.allowed_origins:
        node.count_refusal("-", "origin")
        raise Problem(403, "forbidden", "pages of this origin may not connect; see HUB_ALLOWED_ORIGINS")


def _ticket(node: Node, request: Request) -> _Ticket:
    """Find the token: in the Authorization header, in the subprotocol, or in the query."""
    offered = [part.strip() for part in request.headers.getone("sec-websocket-protocol", "").split(",")]
    chosen = SUBPROTOCOL if SUBPROTOCOL in offered else None
    credentials = bearer_token(request)
    if credentials is not None:
        return _Ticket(credentials, chosen, told_after=False)
    for part in offered:
        if part.startswith(_BEARER):
            return _Ticket(part[len(_BEARER) :], chosen, told_after=True)
    token = request.args.get("token") if request.query_string else None
    if token and node.settings.allow_query_token:
        return _Ticket(token, chosen, told_after=True)
    node.count_refusal("-", "no_token")
    text = "no token: send Authorization: Bearer TOKEN, or the subprotocols hub.v1, bearer.TOKEN"
    raise Problem.of(TokenRefused("token_invalid", text))


def _tell_after_upgrade(node: Node, request: Request, key: str, ticket: _Ticket, refused: TokenRefused) -> None:
    client = RefusedClient(node.codec.notice(Fault(ErrorCode(refused.code), refused.text)), _CLOSES[refused.code])
    max_bytes = node.settings.max_message_bytes
    node.refused_sockets += 1
    start = partial(client.start, node.refused_gone)
    protocol_of(request).upgrade(key, ticket.subprotocol, client, max_bytes, node.turns, start)
