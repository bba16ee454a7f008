"""`hub phone`: a person's phone in the terminal."""

import asyncio
import sys

import click

from hub.cli.connecting import client, url_option
from hub.cli.ending import run_client
from hub.cli.phone_session import PhoneSession
from hub.cli.phone_view import PhoneView
from hub.cli.roster import NoChoice
from hub.cli.typed_lines import typed_lines
from hub.client import HubClient

_HELP = "type a message and press Enter; /desktops lists who is online, /use ID chooses, /quit ends"


@click.command()
@click.option("--desktop", "desktop_id", metavar="ID", help="The desktop to talk to.  [default: the one online]")
@click.option("--send", "text", metavar="TEXT", help="Send TEXT, print the answer, and exit with 0, or 1 if it failed.")
@url_option
@click.option("--token", envvar="HUB_TOKEN", show_envvar=True, required=True, help="The User Token.")
@click.option(
    "--timeout",
    "timeout_s",
    default=600.0,
    show_default=True,
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    help="How long to wait for an answer before leaving.",
)
def phone(desktop_id: str | None, text: str | None, url: str, token: str, timeout_s: float) -> None:
    """Be a phone: send messages to a desktop, and watch the answers and who is online.

    What is typed goes to the desktop line by line. With --send, standard output carries the answer alone.
    """
    hub = client(url, "mobile", token)
    conversation = _converse(hub, desktop_id, timeout_s) if text is None else _send(hub, desktop_id, text, timeout_s)
    sys.exit(run_client(conversation))


async def _converse(hub: HubClient, desktop_id: str | None, timeout_s: float) -> int:
    view = PhoneView(_write, click.echo)
    session = PhoneSession(hub, view, desktop_id, post_timeout_s=timeout_s)
    view.note(_HELP)
    async with hub:
        return await session.while_reading(_type(session, view, timeout_s))


async def _send(hub: HubClient, desktop_id: str | None, text: str, timeout_s: float) -> int:
    view = PhoneView(_write, _whisper, named=False, apart=not sys.stdout.isatty())
    session = PhoneSession(hub, view, desktop_id, own_only=True, post_timeout_s=timeout_s)
    async with hub:
        return await session.while_reading(_ask_once(session, view, text, timeout_s))


async def _ask_once(session: PhoneSession, view: PhoneView, text: str, timeout_s: float) -> int:
    try:
        async with asyncio.timeout(timeout_s):
            well = await (await session.ask_when_possible(text))
    except TimeoutError:
        view.note(f"no answer in {timeout_s:g} s" if session.waits else f"no desktop in {timeout_s:g} s")
        return 1
    except NoChoice as fault:
        view.note(f"not sent: {fault}")
        return 1
    return 0 if well else 1


async def _type(session: PhoneSession, view: PhoneView, timeout_s: float) -> int:
    """Take what is typed; at the end of the input, wait for the answers that are still to come."""
    patient = not sys.stdin.isatty()  # a person sees that nobody is online yet; a pipe doesn't
    try:
        async for line in typed_lines():
            if line.strip() == "/quit":
                return 0
            async with asyncio.timeout(timeout_s):
                await _take(session, view, line, patient=patient)
        async with asyncio.timeout(timeout_s):
            return 0 if await session.all_answered() else 1
    except TimeoutError:
        view.note(f"no answer in {timeout_s:g} s")
        return 1


async def _take(session: PhoneSession, view: PhoneView, line: str, *, patient: bool) -> None:
    match line.split():
        case []:
            return
        case ["/desktops"]:
            view.note(", ".join(sorted(session.roster.online)) or "no desktop is online")
        case ["/use", desktop_id]:
            session.desktop_id = desktop_id
        case _:
            try:
                if patient:
                    await session.ask_when_possible(line)
                else:
                    session.ask(line)
            except NoChoice as fault:
                view.note(f"not sent: {fault}")


def _write(text: str) -> None:
    click.echo(text, nl=False)


def _whisper(line: str) -> None:
    click.echo(line, err=True)
