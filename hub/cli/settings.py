"""Settings for commands: read them, or leave with exit code 2 and one line for every violation."""

import os
import sys

import click

from hub.config import Settings, SettingsError, load_settings
from hub.dev_secret import UnsafeDevSecret, with_dev_secret

BAD_SETTINGS = 2
"""Exit code when the environment can't be used."""


def settings_or_exit(*, dev: bool = False, dev_secret: bool = False) -> Settings:
    """Read the settings from the environment; what is wrong goes to standard error.

    Args:
        dev: Make up a secret where no key is set.
        dev_secret: Where no key is set, take the secret that `hub serve --dev` left in `HUB_DATA_DIR`. For minting
            only: a hub outside development must not start with it.
    """
    try:
        return load_settings(with_dev_secret(os.environ) if dev_secret else None, dev=dev)
    except (UnsafeDevSecret, OSError) as error:
        click.echo(str(error), err=True)
        sys.exit(BAD_SETTINGS)
    except SettingsError as error:
        for line in error.lines:
            click.echo(line, err=True)
        sys.exit(BAD_SETTINGS)
