import io

import pytest
from rich.console import Console

from hub.cli.demo_stage import PlainLines, TwoColumns


def test_plain_lines_are_whole_and_prefixed(capsys: pytest.CaptureFixture[str]) -> None:
    lines = PlainLines()
    with lines.open():
        lines.write("desktop", "one ")
        lines.write("phone", "hello\n\n")
        lines.write("desktop", "two\nthr")
    assert capsys.readouterr().out == "phone   | hello\nphone   |\ndesktop | one two\n"


@pytest.mark.parametrize(("width", "height"), [(100, 24), (40, 8), (30, 6)])
def test_two_columns_show_the_last_lines_whatever_the_size(width: int, height: int) -> None:
    screen = io.StringIO()
    columns = TwoColumns(Console(file=screen, force_terminal=True, width=width, height=height, color_system=None))
    with columns.open():
        for number in range(50):
            columns.write("phone", f"line {number}\n")
        columns.write("desktop", "[bold]as it is[/bold] " + "word " * 30)
    last = screen.getvalue().splitlines()[-height:]
    assert any("line 49" in line for line in last)
    assert max(len(line) for line in last) <= width + len("\x1b[2K\x1b[1A") * height
