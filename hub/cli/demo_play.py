"""The play: a phone is there, its desktop comes online, answers two questions, and leaves.

In the middle of the second answer the phone's link breaks; it comes back, and gets what it missed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from hub.cli.agents import Agent, Outcome, Say
from hub.cli.answering import Answering
from hub.cli.demo_agent import QUESTIONS
from hub.cli.demo_stage import Stage
from hub.cli.phone_session import PhoneSession
from hub.cli.phone_view import PhoneView
from hub.cli.wording import describe, outcome, printable
from hub.client import Event, HubClient, Message

T = TypeVar("T")

SCENE_TIMEOUT_S = 10.0

_CONNECT_TIMEOUT_S = 5.0
_WORDS_BEFORE_THE_TUNNEL = 5


class Play:
    """One performance. The pauses between the scenes are for people; no scene relies on them."""

    def __init__(
        self, phone: HubClient, desktop: HubClient, desktop_id: str, agent: Agent, stage: Stage, pause_s: float
    ) -> None:
        """Cast the play; `pause_s` is in seconds."""
        self._view = _WithReceipts(
            lambda text: stage.write("phone", text), lambda line: stage.write("phone", f"{line}\n")
        )
        self._session = PhoneSession(phone, self._view, desktop_id)
        self._answering = Answering(desktop, _Overheard(agent, stage, self._cut_in), self._show_desktop)
        self._phone = phone
        self._desktop = desktop
        self._desktop_id = desktop_id
        self._stage = stage
        self._pause_s = pause_s

    async def perform(self) -> bool:
        """Play it all; tell whether every question was answered well.

        Raises:
            NotConnected: There is no hub.
            TimeoutError: A scene took longer than ten seconds.
            HubClosed: The hub doesn't want one of the two.
        """
        async with self._phone:
            return await self._session.while_reading(self._watch())

    async def _watch(self) -> bool:
        await self._phone.ready(_CONNECT_TIMEOUT_S)
        async with self._desktop:
            answering = asyncio.create_task(self._answering.serve())
            try:
                well = await self._talk()
                await self._desktop.close("demo_over")
            finally:
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)
        await self._scene(self._session.roster.until(lambda: not self._is_online()))
        await asyncio.sleep(self._pause_s)
        return well

    async def _talk(self) -> bool:
        await self._desktop.ready(_CONNECT_TIMEOUT_S)
        await self._scene(self._session.roster.until(self._is_online))
        return all([await self._ask(question) for question in QUESTIONS])

    async def _ask(self, question: str) -> bool:
        await asyncio.sleep(self._pause_s)
        self._stage.write("phone", f"you: {question}\n")
        well = await self._scene(self._session.ask(question))
        await asyncio.sleep(self._pause_s)
        return well

    def _cut_in(self, question: str, words: int) -> None:
        if question == QUESTIONS[-1] and words == _WORDS_BEFORE_THE_TUNNEL:
            self._view.note("(a tunnel: the phone's link breaks)")
            self._phone.drop()

    async def _scene(self, awaited: Awaitable[T]) -> T:
        async with asyncio.timeout(SCENE_TIMEOUT_S):
            return await awaited

    def _is_online(self) -> bool:
        return self._desktop_id in self._session.roster.online

    def _show_desktop(self, event: Event) -> None:
        match event:
            case Message(type="user:message", payload=payload, user_id=user):
                self._stage.write("desktop", f"{user} asks: {payload.get('text')}\n")
            case _ if line := describe(event):
                self._stage.write("desktop", f"{line}\n")


class _WithReceipts(PhoneView):
    """Also shows that all went well, which a phone at work doesn't mention."""

    def show(self, event: Event) -> None:
        match event:
            case Message(type="receipt", payload=payload):
                self.note(f"receipt: {printable(str(outcome(payload)))}")
            case _:
                super().show(event)


class _Overheard:
    """An agent whose words are also shown on its own side, and counted: `said` is told of each."""

    def __init__(self, agent: Agent, stage: Stage, said: Callable[[str, int], None]) -> None:
        self._agent = agent
        self._stage = stage
        self._said = said

    async def answer(self, question: str, say: Say) -> Outcome:
        words = 0

        async def both(piece: str) -> None:
            nonlocal words
            words += 1
            self._stage.write("desktop", piece)
            await say(piece)
            self._said(question, words)

        return await self._agent.answer(question, both)
