"""`hub serve`: run the hub."""

import asyncio
import gc
import os
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial

import click
import uvloop

from actors.ids import DesktopId, UserId
from actors.messages import DesktopIdentity, MobileIdentity
from hub.auth.minting import NoSecret, mint
from hub.auth.tokens import ServiceIdentity
from hub.cli.settings import BAD_SETTINGS, settings_or_exit
from hub.config import Settings, SettingsError, load_settings
from hub.config_view import list_settings
from hub.dev_secret import UnsafeDevSecret, ensure_dev_secret
from hub.embedded_valkey import DataDirInUse, EmbeddedValkeyFailed
from hub.logs import configure_logs
from hub.workers.process import WorkerFailed

CANNOT_RUN = 1
_DAY_S = 86_400


class _CommandWithSettings(click.Command):
    """Shows the settings below the options: they are the environment's, not the command line's."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Settings: environment variables; `hub config` shows what is in force"):
            formatter.write_dl(
                [(line.variable, f"{line.description} [{line.value or 'unset'}]") for line in list_settings()]
            )


@click.command(cls=_CommandWithSettings)
@click.option("--dev", is_flag=True, help="Development: make a secret, log for people, print ready tokens.")
def serve(*, dev: bool) -> None:
    """Run the hub until SIGTERM."""
    settings, environment = _dev_settings() if dev else (settings_or_exit(), os.environ)
    configure_logs(settings.log_format, settings.log_level)
    started = partial(_print_how_to_try, settings) if dev else _print_url
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serving(settings, environment, started))
    except (DataDirInUse, EmbeddedValkeyFailed, OSError) as error:
        click.echo(f"hub serve: {error}", err=True)
        sys.exit(CANNOT_RUN)
    except WorkerFailed as failure:
        click.echo(f"hub serve: {failure}", err=True)
        sys.exit(failure.exit_code)


def _serving(
    settings: Settings, environment: Mapping[str, str], started: Callable[[str], object]
) -> Coroutine[None, None, None]:
    """Return what is to run. The parent of several workers does without what only nodes need, some 25 MB."""
    if settings.workers == 1:
        gc.disable()  # What a start makes stays; the hub looks for garbage once it serves.
        from hub.server import serve as run_alone

        return run_alone(settings, started)
    from hub.workers.parent import serve_with_workers

    return serve_with_workers(settings, environment, started)


def _dev_settings() -> tuple[Settings, Mapping[str, str]]:
    """Settings with the secret that is kept in the data directory, so that other terminals can mint with it.

    Returns:
        The settings, and the environment that says the same.
    """
    settings = settings_or_exit(dev=True)
    if "jwt_secret" not in settings.generated:
        return settings, os.environ
    try:
        made_up = {"HUB_JWT_SECRET": ensure_dev_secret(settings.data_dir), "HUB_LOG_FORMAT": "pretty"}
        environment = {**made_up, **os.environ, "HUB_JWT_SECRET": made_up["HUB_JWT_SECRET"]}
        return load_settings(environment, dev=True), environment
    except (UnsafeDevSecret, OSError) as error:
        click.echo(f"hub serve: {error}", err=True)
        sys.exit(CANNOT_RUN)
    except SettingsError as error:
        click.echo("\n".join(error.lines), err=True)
        sys.exit(BAD_SETTINGS)


def _print_url(url: str) -> None:
    click.echo(f"Tether Hub is up at {url}")


def _print_how_to_try(settings: Settings, url: str) -> None:
    """Say where the hub is, and give a token of each kind with a line to try it."""
    click.echo(f"\nTether Hub is up at {url} (development mode; API at {url}/docs, metrics at {url}/metrics)\n")
    expires_at = time.time() + _DAY_S
    desktop = DesktopIdentity(DesktopId("my-desktop"), UserId("me"), expires_at, "My desktop", sys.platform)
    phone = MobileIdentity(UserId("me"), expires_at)
    service = ServiceIdentity("my-service", expires_at)
    ws = url.replace("http", "ws", 1)
    hub = sys.argv[0]
    try:
        tries = [
            ("Desktop Token", mint(settings, desktop), f"{hub} desktop --url {ws} --exec cat --token $TOKEN"),
            ("User Token", mint(settings, phone), f"{hub} phone --url {ws} --token $TOKEN"),
            (
                "Service Token",
                mint(settings, service),
                f'curl -H "Authorization: Bearer $TOKEN" {url}/internal/presence/users/me',
            ),
        ]
    except NoSecret as reason:
        click.echo(f"No ready tokens: {reason}")
        return
    for kind, token, line in tries:
        click.echo(f"{kind}, good for a day. Try it in another terminal:\n  TOKEN={token}\n  {line}\n")
    click.echo(f"Or watch a desktop and a phone talk: {hub} demo --url {ws}\nStop with Ctrl-C.\n")
