"""Where the demo is shown: two columns in a terminal, prefixed lines anywhere else."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol, TypeAlias

import click
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

Side: TypeAlias = Literal["desktop", "phone"]

_ROWS = 18
_BORDERS = 2


class Stage(Protocol):
    """Shows text on one of the two sides, while it is open."""

    def open(self) -> AbstractContextManager[object]:
        """Show what is written inside the `with`."""
        ...

    def write(self, side: Side, text: str) -> None:
        """Show the next piece of text, as it is."""
        ...


def stage() -> Stage:
    """Return the stage that fits the standard output."""
    console = Console()
    return TwoColumns(console) if console.is_terminal and not console.is_dumb_terminal else PlainLines()


class PlainLines:
    """`desktop | line` and `phone   | line`, in the order of the lines' ends."""

    def __init__(self) -> None:
        self._begun: dict[Side, str] = {"desktop": "", "phone": ""}

    def open(self) -> AbstractContextManager[object]:
        """Need nothing."""
        return nullcontext()

    def write(self, side: Side, text: str) -> None:
        """Print the lines that `text` completes."""
        *lines, self._begun[side] = (self._begun[side] + text).split("\n")
        for line in lines:
            click.echo(f"{side:<7} | {line}".rstrip())


class TwoColumns:
    """The desktop on the left, the phone on the right; each shows its last lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows = max(1, min(_ROWS, console.height - 2 * _BORDERS))
        self._texts: dict[Side, str] = {"desktop": "", "phone": ""}
        self._live = Live(self._columns(), console=console, refresh_per_second=20)

    def open(self) -> AbstractContextManager[object]:
        """Draw; what is last seen stays in the terminal."""
        return self._live

    def write(self, side: Side, text: str) -> None:
        """Add `text` to its column."""
        self._texts[side] += text
        self._live.update(self._columns())

    def _columns(self) -> Table:
        columns = Table.grid(expand=True)
        columns.add_column(ratio=1)
        columns.add_column(ratio=1)
        columns.add_row(self._panel("desktop", "cyan"), self._panel("phone", "green"))
        return columns

    def _panel(self, side: Side, colour: str) -> Panel:
        width = max(1, self._console.width // 2 - _BORDERS - 2)
        lines = Text(self._texts[side].rstrip("\n")).wrap(self._console, width)[-self._rows :]
        return Panel(Text("\n").join(lines), title=side, border_style=colour, height=self._rows + _BORDERS)
