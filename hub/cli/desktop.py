"""`hub desktop`: puts any command-line program behind a desktop."""

import shutil
import sys

import click

from hub.cli.agents import Outcome, Say
from hub.cli.answering import Answering
from hub.cli.connecting import client, url_option
from hub.cli.ending import run_client
from hub.cli.program import Program
from hub.cli.wording import describe, printable
from hub.client import Event, HubClient, Message


@click.command()
@click.option("--exec", "command", required=True, metavar="COMMAND", help="The program to run for every message.")
@url_option
@click.option("--token", envvar="HUB_TOKEN", show_envvar=True, required=True, help="The Desktop Token.")
@click.option(
    "--timeout",
    "timeout_s",
    default=600.0,
    show_default=True,
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    help="How long the program may take for one message.",
)
def desktop(command: str, url: str, token: str, timeout_s: float) -> None:
    """Be a desktop: run COMMAND for every message of its owner.

    The message's text is the program's standard input, and what the program prints is streamed back as it comes.
    COMMAND is split as a shell would, but no shell runs it: for pipes and variables write --exec "sh -c '...'".
    The environment variable keeps the token out of the list of processes.
    """
    program = _program(command, timeout_s)
    sys.exit(run_client(_serve(client(url, "desktop", token, acks=True), program)))


def _program(command: str, timeout_s: float) -> Program:
    try:
        program = Program(command, timeout_s)
    except ValueError as fault:
        raise click.BadParameter(str(fault), param_hint="--exec") from fault
    if shutil.which(program.name) is None:
        raise click.BadParameter(f"there is no program {program.name!r}", param_hint="--exec")
    return program


async def _serve(hub: HubClient, program: Program) -> int:
    async with hub:
        await Answering(hub, _Reported(program), _show).serve()
    return 0


def _show(event: Event) -> None:
    match event:
        case Message(type="user:message", user_id=user, message_id=message_id):
            click.echo(f"message {printable(message_id or '-')} from {printable(user or '-')}")
        case _ if line := describe(event):
            click.echo(line)


class _Reported:
    """A program whose ends are also told to whoever sits at the desktop."""

    def __init__(self, program: Program) -> None:
        self._program = program

    async def answer(self, question: str, say: Say) -> Outcome:
        outcome = await self._program.answer(question, say)
        if outcome.failure is None:
            click.echo("answered")
        else:
            click.echo(f"failed: {outcome.failure}\n{printable(outcome.stderr)}".rstrip())
        return outcome
