"""Tokens for the demo: minted with the hub's own secret, or with the one that `hub serve --dev` left behind."""

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import click

from actors.ids import DesktopId, UserId
from actors.messages import DesktopIdentity, MobileIdentity
from hub.auth.minting import NoSecret, mint
from hub.config import Settings, SettingsError, load_settings
from hub.dev_secret import KEYS, UnsafeDevSecret, with_dev_secret

DESKTOP_ID = "demo-laptop"

_USER_ID = "demo"
_LIFETIME_S = 600


@dataclass(frozen=True, slots=True, repr=False)
class DemoTokens:
    """One for each side, good for ten minutes."""

    phone: str
    desktop: str


def demo_tokens(environ: Mapping[str, str] = os.environ) -> DemoTokens:
    """Mint both.

    Raises:
        click.ClickException: There is no secret to mint with.
    """
    try:
        settings = _settings(environ)
        expires_at = time.time() + _LIFETIME_S
        laptop = DesktopIdentity(DesktopId(DESKTOP_ID), UserId(_USER_ID), expires_at, "Demo laptop", sys.platform)
        return DemoTokens(mint(settings, MobileIdentity(UserId(_USER_ID), expires_at)), mint(settings, laptop))
    except (SettingsError, NoSecret, UnsafeDevSecret, OSError) as fault:
        raise click.ClickException(str(fault)) from fault


def _settings(environ: Mapping[str, str]) -> Settings:
    variables = with_dev_secret({name: text for name, text in environ.items() if name != "HUB_TOKEN"})
    if not any(variables.get(name) for name in KEYS):
        raise click.ClickException(
            "no secret to mint tokens with: set HUB_JWT_SECRET as for the hub, or start `hub serve --dev` in this "
            "folder (it keeps its secret in HUB_DATA_DIR)"
        )
    return load_settings(variables)
