"""What other services send to desktops, with a Service Token (docs/protocol.md, "Messages over HTTP")."""

import asyncio
import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from sanic import HTTPResponse, Request, Sanic
from sanic_ext import openapi

from actors.ids import DesktopId, UserId
from actors.mail import Receipt, Status
from actors.messages import Envelope, ErrorCode, Fault
from hub.node import Node
from hub.routes.letter_bodies import read_message, read_session
from hub.routes.problems import Problem
from hub.routes.service import check_service, checked_id, json_response
from hub.wire import JsonCodec

MOST_AT_ONCE = 128
"""So many are on their way to the mailroom; of 256 KiB each at most, they leave half of its room to the phones."""
SPARE_S = 0.5
"""On top of two round trips to Redis, the one under way and the next: then nobody knows what became of it."""
RETRY_S = 1

_STATUSES = {
    ErrorCode.DESKTOP_NOT_FOUND: 404,
    ErrorCode.DESKTOP_OFFLINE: 409,
    ErrorCode.BAD_PAYLOAD: 422,
    ErrorCode.QUEUE_FULL: 429,
    ErrorCode.UNAVAILABLE: 503,
}
_COMMON = {"message_id": {"type": "string", "minLength": 1, "maxLength": 128}, "valid_until": {"type": "integer"}}
_MESSAGE = {"type": "object", "required": ["payload"], "properties": {"payload": {"type": "object"}, **_COMMON}}
_SESSION = {"type": "object", "required": ["session_id"], "properties": {"session_id": {"type": "string"}, **_COMMON}}

_Reader = Callable[[JsonCodec, DesktopId, bytes], Envelope]


def add_letters(app: Sanic[Any, Any], node: Node) -> None:
    """Add `/internal/users/U/desktops/D/messages` and `.../sessions`."""
    counter = _Counter(node)

    @app.post("/internal/users/<user_id:str>/desktops/<desktop_id:str>/messages", unquote=True)
    @openapi.summary("Send a user:message to a user's desktop.")
    @openapi.secured("service_token")
    @openapi.body({"application/json": _MESSAGE})
    async def messages(request: Request, user_id: str, desktop_id: str) -> HTTPResponse:
        return await counter.take(request, user_id, desktop_id, read_message)

    @app.post("/internal/users/<user_id:str>/desktops/<desktop_id:str>/sessions", unquote=True)
    @openapi.summary("Send a session:create to a user's desktop.")
    @openapi.secured("service_token")
    @openapi.body({"application/json": _SESSION})
    async def sessions(request: Request, user_id: str, desktop_id: str) -> HTTPResponse:
        return await counter.take(request, user_id, desktop_id, read_session)


class _Counter:
    """Where services hand in their letters, a bounded number at a time."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._under_way = 0

    async def take(self, request: Request, user_id: str, desktop_id: str, read: _Reader) -> HTTPResponse:
        """Send what the request asks for, and answer with what became of it."""
        node = self._node
        await check_service(node, request)
        user, desktop = UserId(checked_id(user_id)), DesktopId(checked_id(desktop_id))
        if not node.ready:
            raise Problem(503, "unavailable", node.why_not_ready(), {"Retry-After": str(node.retry_after_s())})
        if len(request.body) > node.settings.max_message_bytes:
            raise Problem(413, "too_large", "a message has at most HUB_MAX_MESSAGE_BYTES")
        envelope = read(node.codec, desktop, request.body)
        if self._under_way >= MOST_AT_ONCE:
            raise _unavailable("too many messages of services are on their way; send it again")
        self._under_way += 1
        try:
            outcome = await self._send(user, desktop, envelope)
        finally:
            self._under_way -= 1
        return _answer(outcome)

    async def _send(self, user_id: UserId, desktop_id: DesktopId, envelope: Envelope) -> Receipt | Fault:
        await self._check_owner(user_id, desktop_id)
        answered: asyncio.Future[Receipt | Fault] = asyncio.get_running_loop().create_future()

        def answer(outcome: Receipt | Fault) -> None:
            if not answered.done():  # It is cancelled when nobody waits any more.
                answered.set_result(outcome)

        self._node.post.send_for_service(user_id, desktop_id, envelope, answer)
        try:
            async with asyncio.timeout(2 * self._node.settings.redis_timeout_s + SPARE_S):
                return await answered
        except TimeoutError:
            raise _unavailable("what became of the message isn't known yet; send it again, with its id") from None

    async def _check_owner(self, user_id: UserId, desktop_id: DesktopId) -> None:
        """See that the desktop is this user's: by the node's memory, or else by what is in Redis."""
        if self._node.supervisor.desktop_of(user_id, desktop_id) is not None:
            return
        found = await self._node.presence.desktop(desktop_id)
        if found.state == "unknown":
            raise _unavailable("whether the user has this desktop can't be told right now; send it again")
        if found.user_id != user_id:
            raise Problem(404, ErrorCode.DESKTOP_NOT_FOUND, "none of the user's desktops has this id")


def _answer(outcome: Receipt | Fault) -> HTTPResponse:
    if isinstance(outcome, Fault):
        retry_ms = outcome.retry_after_ms
        headers = {} if retry_ms is None else {"Retry-After": str(math.ceil(retry_ms / 1000))}
        raise Problem(_STATUSES[outcome.code], outcome.code, outcome.text, headers)
    body: dict[str, str] = {
        "message_id": outcome.message_id,
        "desktop_id": outcome.desktop_id,
        "status": outcome.status,
    }
    if outcome.latest is not None:
        body["latest"] = outcome.latest
    return json_response(body, HTTPStatus.ACCEPTED if outcome.status is Status.STORED else HTTPStatus.OK)


def _unavailable(text: str) -> Problem:
    return Problem(503, "unavailable", text, {"Retry-After": str(RETRY_S)})
