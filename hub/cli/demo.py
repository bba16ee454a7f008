"""`hub demo`: a desktop and a phone in one terminal, talking through a running hub."""

import sys

import click

from hub.cli.connecting import client, url_option
from hub.cli.demo_agent import ScriptedAgent
from hub.cli.demo_play import SCENE_TIMEOUT_S, Play
from hub.cli.demo_stage import stage
from hub.cli.demo_tokens import DESKTOP_ID, DemoTokens, demo_tokens
from hub.cli.ending import run_client
from hub.client import NotConnected

_PACE_S = 0.09
_PAUSE_S = 0.5


@click.command()
@url_option
@click.option("--speed", default=1.0, show_default=True, type=click.FloatRange(min=0.1), help="Twice as fast: 2.")
def demo(url: str, speed: float) -> None:
    """Show a desktop and a phone talking through a running hub; takes about six seconds.

    The tokens are minted with HUB_JWT_SECRET, or with the secret that `hub serve --dev` keeps in HUB_DATA_DIR.
    """
    sys.exit(run_client(_perform(url, demo_tokens(), speed)))


async def _perform(url: str, tokens: DemoTokens, speed: float) -> int:
    scene = stage()
    play = Play(
        client(url, "mobile", tokens.phone),
        client(url, "desktop", tokens.desktop, acks=True),
        DESKTOP_ID,
        ScriptedAgent(_PACE_S / speed),
        scene,
        _PAUSE_S / speed,
    )
    try:
        with scene.open():
            return 0 if await play.perform() else 1
    except NotConnected as fault:
        raise click.ClickException(f"{fault} at {url}: is it running? `hub serve --dev` starts one") from fault
    except TimeoutError as fault:
        raise click.ClickException(f"the hub at {url} took longer than {SCENE_TIMEOUT_S:g} s for a scene") from fault
