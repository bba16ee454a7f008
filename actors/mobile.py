"""A phone's connection: what it may say, and what becomes of it."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from actors.closing import CloseReason
from actors.connection import Connection
from actors.ids import DesktopId
from actors.messages import (
    FROM_DESKTOPS,
    FROM_MOBILES,
    FROM_NOBODY_YET,
    FROM_THE_HUB,
    Delivery,
    Envelope,
    ErrorCode,
    Fault,
    MobileIdentity,
)

ADDRESSED = FROM_MOBILES
NOT_ALLOWED = FROM_DESKTOPS | FROM_THE_HUB | FROM_NOBODY_YET

RETRY_UNAVAILABLE_MS = 500


class MobileConnection(Connection):
    """Sends messages to the desktops of its own user, and watches them."""

    kind = "mobile"
    probed = True
    sends = ADDRESSED
    not_allowed = NOT_ALLOWED

    __slots__ = ()

    identity: MobileIdentity

    def _accept(self, envelope: Envelope, now: float) -> None:
        kind = envelope.type
        answer = self._ANSWERS.get(kind)
        if answer is not None:
            answer(self, envelope, now)
        else:
            self._refuse_type(envelope, now)

    def _address(self, envelope: Envelope, now: float) -> None:
        target = self._around.codec.addressed_desktop(envelope)
        if isinstance(target, Fault):
            self._refuse(envelope.type, target, now)
            return
        self._route(envelope, target, now)

    def _route(self, envelope: Envelope, target: DesktopId, now: float) -> None:
        """Deliver, or say why not. A message that comes before the store has told of past desktops waits for that."""
        delivery = self._supervisor.relay_to_desktop(self.identity, target, envelope, now)
        if delivery is Delivery.DELIVERED:
            self._around.tallies.relayed[envelope.type] += 1
            return
        if delivery is Delivery.UNKNOWN_YET:
            again = partial(self._route, envelope, target, now)
            if self._supervisor.await_known(self.identity.user_id, again):
                return
        code, text, retry_after_ms = _UNDELIVERED[delivery]
        self._count(envelope.type, code.value)
        self.offer(self._around.codec.notice(Fault(code, text, envelope.message_id, retry_after_ms)), now)

    def _join(self) -> bool:
        return self._supervisor.join_mobile(self)

    def _part(self, reason: CloseReason) -> None:
        self._supervisor.part_mobile(self)

    def _tags(self) -> dict[str, object]:
        return {**super()._tags(), "device_id": self.identity.device_id}

    _ANSWERS: ClassVar[dict[str, Callable[["MobileConnection", Envelope, float], None]]] = {
        "user:message": _address,
        "session:create": _address,
        "heartbeat": Connection._heartbeat,
        "goodbye": Connection._goodbye,
        "auth:refresh": Connection._refresh,
    }


_UNDELIVERED: dict[Delivery, tuple[ErrorCode, str, int | None]] = {
    Delivery.NOT_FOUND: (ErrorCode.DESKTOP_NOT_FOUND, "none of your desktops has this desktop_id", None),
    Delivery.OFFLINE: (ErrorCode.DESKTOP_OFFLINE, "the desktop is not connected; nothing was delivered", None),
    Delivery.FULL: (ErrorCode.QUEUE_FULL, "the desktop reads too slowly; nothing was delivered, send it again", 1000),
    Delivery.UNKNOWN_YET: (
        ErrorCode.UNAVAILABLE,
        "whether you have this desktop can't be told right now; nothing was delivered, send it again",
        RETRY_UNAVAILABLE_MS,
    ),
}
