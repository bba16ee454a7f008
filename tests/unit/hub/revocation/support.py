"""Revocations, and who carries the tokens."""

from actors.ids import DesktopId, DeviceId, UserId
from actors.messages import DesktopIdentity, MobileIdentity
from hub.revocation.known import Revocation, Target
from tests.support.actors import WALL_S

NOW_MS = WALL_S * 1000
LATER_MS = NOW_MS + 60_000

USER: Target = ("user_id", "u1")
DESKTOP: Target = ("desktop_id", "d1")
DEVICE: Target = ("device_id", "u1", "phone")
TOKEN: Target = ("jti", "t1")


def revocation(target: Target, at: int = NOW_MS, until: int = LATER_MS, name: str = "r1") -> Revocation:
    return Revocation(name, target, at, until)


def desktop(
    desktop_id: str = "d1", user: str = "u1", *, token: str | None = None, issued_at: float = WALL_S - 1
) -> DesktopIdentity:
    return DesktopIdentity(DesktopId(desktop_id), UserId(user), WALL_S + 3600, token_id=token, issued_at=issued_at)


def phone(
    user: str = "u1", device: str | None = "phone", *, token: str | None = None, issued_at: float = WALL_S - 1
) -> MobileIdentity:
    device_id = None if device is None else DeviceId(device)
    return MobileIdentity(UserId(user), WALL_S + 3600, device_id, token_id=token, issued_at=issued_at)
