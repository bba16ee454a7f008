import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from hub.cli import main


def test_help_names_every_command() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for name in ("serve", "token", "config", "demo", "phone", "desktop"):
        assert f"  {name} " in result.output


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, hub.cli\n"
        "hub.cli.main(['--help'], standalone_mode=False)\n"
        "heavy = {'pydantic', 'sanic', 'jwt', 'redis', 'rich', 'httpx', 'websockets'} & sys.modules.keys()\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", ["token", "config"])
def test_a_command_is_found_when_it_is_asked_for(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.name == name


def test_an_unknown_command_is_an_error() -> None:
    result = CliRunner().invoke(main, ["sevre"])
    assert result.exit_code == 2
    assert "No such command 'sevre'" in result.output


def test_the_version_is_told() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert result.output.startswith("hub, version ")
