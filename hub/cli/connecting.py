"""The hub's address on the command line, the same for all terminal clients."""

from collections.abc import Callable
from typing import Any

import click

from hub.client import HubClient, Role

url_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--url", default="ws://127.0.0.1:8080", show_default=True, help="Where the hub is."
)


def client(url: str, role: Role, token: str, *, acks: bool = False) -> HubClient:
    """Return a client for `url`; a desktop's `acks` are those of `HubClient`.

    Raises:
        click.BadParameter: `url` is no address of a hub.
    """
    try:
        return HubClient(url, role, token, acks=acks)
    except ValueError as fault:
        raise click.BadParameter(str(fault), param_hint="--url") from fault
