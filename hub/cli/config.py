"""`hub config`: the settings in force, where they come from, and what they are for. Secrets are masked."""

import sys

import click

from hub.cli.settings import settings_or_exit


@click.command()
@click.option("--dev", is_flag=True, help="Show what `hub serve --dev` would run with.")
def config(*, dev: bool) -> None:
    """Show the settings in force and where they come from; secrets are masked.

    A table on a terminal; elsewhere one line a setting: variable, value, source and description, separated by tabs.
    """
    from hub.config_view import describe_settings

    lines = describe_settings(settings_or_exit(dev=dev))
    if _on_terminal():
        _print_table([(line.variable, line.value, line.source, line.description) for line in lines])
        return
    for line in lines:
        click.echo(f"{line.variable}\t{line.value}\t{line.source}\t{line.description}")


def _on_terminal() -> bool:
    return sys.stdout.isatty()


def _print_table(rows: list[tuple[str, str, str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("variable", "value", "from", "what for", box=None, header_style="bold")
    for row in rows:
        # Text, so that brackets in a value are no markup.
        table.add_row(*map(Text, row))
    Console().print(table)
