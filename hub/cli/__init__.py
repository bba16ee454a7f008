"""The command `hub`. Each command lives in a file of its own, and is imported when it runs."""

from importlib import import_module

import click

_COMMANDS = {
    "serve": "Run the hub.",
    "token": "Mint a token for a desktop, a mobile or a service.",
    "config": "Show the settings in force and where they come from.",
    "doctor": "Look for what is wrong, and say what to do about it.",
    "demo": "Show a desktop and a phone talking through a running hub.",
    "phone": "Be a phone: send messages to a desktop and watch the answers.",
    "desktop": "Be a desktop: run a command for every message of its owner.",
}


class _LazyGroup(click.Group):
    """A group that knows its commands' names and summaries without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(import_module(f"hub.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - the convention between this file and its commands
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tether-hub", prog_name="hub")
def main() -> None:
    """Tether Hub: between AI agents on desktops and the phones of their owners."""
