"""A new token on a live connection (`auth:refresh`)."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from actors.messages import DesktopIdentity, ErrorCode, Fault, Identity, MobileIdentity
from hub.auth.claims import TokenKind
from hub.auth.refusal import TokenRefused
from hub.auth.tokens import KeysNeeded, TokenIdentity, TokenVerifier

MOST_WAITING = 1024
"""Refreshes that may wait for keys at once; more are told to come back."""

_RETRY_MS = 5_000

Answer: TypeAlias = Callable[[Identity | Fault], None]

_log = logging.getLogger(__name__)


class LiveRefresher:
    """Checks new tokens for live connections: the port `actors.ports.Authenticator`.

    Every answer comes later, never from within `refresh`, and exactly once, also when the hub stops. Use it on one
    event loop.
    """

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier
        self._waiting: set[asyncio.Task[Identity | Fault]] = set()

    def refresh(self, current: Identity, token: str, answer: Answer) -> None:
        """Check `token`, and answer with the identity to go on with, or with what is wrong.

        It must be of the same kind and for the same subject; for a desktop also of the same owner, for a mobile of the
        same device or of none. A mobile keeps the device that it came with.
        """
        loop = asyncio.get_running_loop()
        try:
            verdict = self._judge_now(current, token)
        except KeysNeeded:
            if len(self._waiting) < MOST_WAITING:
                self._wait_for_keys(loop, current, token, answer)
                return
            verdict = _come_back()
        loop.call_soon(self._tell, answer, verdict)

    async def aclose(self) -> None:
        """End what is under way; whoever waits is told `unavailable`."""
        waiting = set(self._waiting)
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(waiting)
            await asyncio.sleep(0)  # their answers are calls of the next turn

    def _judge_now(self, current: Identity, token: str) -> Identity | Fault:
        try:
            return _carry_over(current, self._verifier.verify_now(token, _kind(current)))
        except TokenRefused as refused:
            return _fault(refused)

    async def _judge(self, current: Identity, token: str) -> Identity | Fault:
        try:
            return _carry_over(current, await self._verifier.verify(token, _kind(current)))
        except TokenRefused as refused:
            return _fault(refused)

    def _tell(self, answer: Answer, verdict: Identity | Fault) -> None:
        """Answer. The token may have been revoked since it was checked, and for a device that it doesn't name."""
        if not isinstance(verdict, Fault):
            try:
                self._verifier.check_revoked(verdict)
            except TokenRefused as refused:
                verdict = _fault(refused)
        answer(verdict)

    def _wait_for_keys(self, loop: asyncio.AbstractEventLoop, current: Identity, token: str, answer: Answer) -> None:
        def finish(task: asyncio.Task[Identity | Fault]) -> None:
            self._waiting.discard(task)
            self._tell(answer, _outcome(task))

        task = loop.create_task(self._judge(current, token), name="auth-refresh")
        self._waiting.add(task)
        task.add_done_callback(finish)


def _outcome(task: asyncio.Task[Identity | Fault]) -> Identity | Fault:
    if task.cancelled():
        return _come_back()
    bug = task.exception()
    if bug is not None:
        _log.error("auth:refresh failed", exc_info=bug)
        return _come_back()
    return task.result()


def _kind(current: Identity) -> TokenKind:
    return TokenKind.DESKTOP if isinstance(current, DesktopIdentity) else TokenKind.MOBILE


def _carry_over(current: Identity, new: TokenIdentity) -> Identity | Fault:
    match current, new:
        case DesktopIdentity(), DesktopIdentity() if _subject(new) == _subject(current):
            return new
        case MobileIdentity(device_id=device), MobileIdentity() if _subject(new) == _subject(current):
            if new.device_id in (None, device):
                return replace(new, device_id=device)
    return Fault(ErrorCode.FORBIDDEN, "the new token is for somebody else; it should have the same sub and owner")


def _subject(identity: Identity) -> tuple[str, ...]:
    match identity:
        case DesktopIdentity(desktop_id=desktop, user_id=owner):
            return (desktop, owner)
        case MobileIdentity(user_id=user):
            return (user,)


def _fault(refused: TokenRefused) -> Fault:
    retry_after_ms = _RETRY_MS if refused.code == "unavailable" else None
    return Fault(ErrorCode(refused.code), refused.text, retry_after_ms=retry_after_ms)


def _come_back() -> Fault:
    return Fault(ErrorCode.UNAVAILABLE, "the token can't be checked now; try again later", retry_after_ms=_RETRY_MS)
