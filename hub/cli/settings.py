"""Settings for commands: read them, or leave with exit code 2 and one line for every violation."""

import sys

import click

from hub.config import Settings, SettingsError, load_settings

BAD_SETTINGS = 2
"""Exit code when the environment can't be used."""


def settings_or_exit(*, dev: bool = False) -> Settings:
    """Read the settings from the environment; what is wrong goes to standard error."""
    try:
        return load_settings(dev=dev)
    except SettingsError as error:
        for line in error.lines:
            click.echo(line, err=True)
        sys.exit(BAD_SETTINGS)
