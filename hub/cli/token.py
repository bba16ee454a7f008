"""`hub token`: mint a token with the hub's own secret. The token alone goes to standard output."""

import re
import sys
import time
from typing import TYPE_CHECKING

import click

from actors.ids import DesktopId, DeviceId, UserId
from hub.cli.settings import BAD_SETTINGS, settings_or_exit

if TYPE_CHECKING:
    from hub.auth.tokens import TokenIdentity

_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


class _Ttl(click.ParamType[int]):
    """A duration such as 90, 15m, 12h or 30d, as seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"([1-9][0-9]{0,8})([smhd]?)", str(value))
        if match is None:
            self.fail(f"{value!r} should be a duration such as 90 (seconds), 15m, 12h or 30d", param, ctx)
        return int(match[1]) * _UNITS_S[match[2]]


_ttl = click.option(
    "--ttl", type=_Ttl(), default="24h", show_default=True, help="How long it lasts: 90, 15m, 12h, 30d."
)


@click.group()
def token() -> None:
    """Mint a token with HUB_JWT_SECRET (or the first of HUB_JWT_SECRETS) and print it."""


@token.command()
@click.option("--id", "desktop_id", required=True, help="The desktop's id (sub).")
@click.option("--user", required=True, help="Its owner's user id.")
@click.option("--name", help="The name that its owner sees.")
@click.option("--platform", help="The platform that its owner sees.")
@_ttl
def desktop(*, desktop_id: str, user: str, name: str | None, platform: str | None, ttl: int) -> None:
    """Mint a Desktop Token."""
    from actors.messages import DesktopIdentity

    _print_token(DesktopIdentity(DesktopId(desktop_id), UserId(user), time.time() + ttl, name, platform))


@token.command()
@click.option("--user", required=True, help="The user's id (sub).")
@click.option("--device", help="The device's id: of two connections of one device the newer wins.")
@_ttl
def mobile(*, user: str, device: str | None, ttl: int) -> None:
    """Mint a User Token, for a phone, tablet or browser."""
    from actors.messages import MobileIdentity

    _print_token(MobileIdentity(UserId(user), time.time() + ttl, DeviceId(device) if device else None))


@token.command()
@click.option("--id", "service", required=True, help="The service's name (sub).")
@_ttl
def internal(*, service: str, ttl: int) -> None:
    """Mint a Service Token, for look-ups of presence."""
    from hub.auth.tokens import ServiceIdentity

    _print_token(ServiceIdentity(service, time.time() + ttl))


def _print_token(identity: "TokenIdentity") -> None:
    from hub.auth.minting import NoSecret, mint

    try:
        click.echo(mint(settings_or_exit(dev_secret=True), identity))
    except (NoSecret, ValueError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(BAD_SETTINGS)
