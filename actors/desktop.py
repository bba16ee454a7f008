"""A desktop's connection: what it may say, and what becomes of it."""

from collections.abc import Callable
from typing import ClassVar

from actors.closing import CloseReason
from actors.connection import Connection
from actors.ids import ConnectionId, Epoch
from actors.messages import FROM_DESKTOPS, FROM_MOBILES, FROM_NOBODY_YET, FROM_THE_HUB, DesktopIdentity, Envelope
from actors.ports import Authenticator, DesktopRoute, MobileRoute
from actors.registry import User
from actors.supervisor import Supervisor, Surroundings

RELAYED = FROM_DESKTOPS
NOT_ALLOWED = FROM_MOBILES | FROM_THE_HUB | FROM_NOBODY_YET


class DesktopConnection(Connection):
    """Relays the agent's answers to its owner's phones, and has an epoch."""

    kind = "desktop"
    probed = False
    sends = RELAYED
    not_allowed = NOT_ALLOWED

    __slots__ = ("_home", "_said", "_stamp", "epoch")

    identity: DesktopIdentity

    def __init__(
        self,
        connection_id: ConnectionId,
        identity: DesktopIdentity,
        epoch: Epoch,
        around: Surroundings,
        supervisor: Supervisor,
        auth: Authenticator,
    ) -> None:
        super().__init__(connection_id, identity, around, supervisor, auth)
        self.epoch = epoch
        self._stamp = around.codec.mobile_stamp(identity.desktop_id)
        self._said: str | None = None
        self._home: User[DesktopRoute, MobileRoute] | None = None

    def _accept(self, envelope: Envelope, now: float) -> None:
        kind = envelope.type
        if kind in RELAYED:
            around = self._around
            frame = around.codec.to_mobile(envelope, self._stamp)
            heard = 0 if self._home is None else self._supervisor.relay_to_mobiles(self._home, frame, now)
            if heard:
                around.tallies.relayed[kind] += heard
            else:
                around.tallies.unheard[kind] += 1
            return
        answer = self._ANSWERS.get(kind)
        if answer is not None:
            answer(self, envelope, now)
        else:
            self._refuse_type(envelope, now)

    def _farewell(self, reason: str) -> None:
        self._said = reason

    def _join(self) -> bool:
        joined = self._supervisor.join_desktop(self)
        self._home = self._supervisor.home(self.identity.user_id)
        return joined

    def _part(self, reason: CloseReason) -> None:
        self._supervisor.part_desktop(self, self._said or reason.value.presence, graced=reason.value.graced)

    def _tags(self) -> dict[str, object]:
        return {**super()._tags(), "desktop_id": self.identity.desktop_id}

    def _still_relays(self) -> bool:
        # While the hub drains, what the desktop sent before it saw the close still goes to its owner's phones.
        return self._closing is CloseReason.RESTARTING

    _ANSWERS: ClassVar[dict[str, Callable[["DesktopConnection", Envelope, float], None]]] = {
        "heartbeat": Connection._heartbeat,
        "goodbye": Connection._goodbye,
        "auth:refresh": Connection._refresh,
    }
