"""The desktop's side of a conversation: questions in, one at a time to the agent, what it does told to the phones."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

from hub.cli.agents import Agent, Outcome
from hub.cli.answer import Answer
from hub.client import Event, HubClient, HubClosed, Message, NotConnected

log = logging.getLogger(__name__)

_WAIT_S = 100.0
_TRIES = 3


class Answering:
    """Serves one `HubClient` of a desktop with one agent, until the client ends.

    Every question gets `agent:status` `thinking`, pieces as `agent:stream`, `agent:status` `idle` or `failed`, and at
    last `agent:response`. Questions wait in a bounded queue; past its bound they get `failed` with `reason` `busy`.
    Pieces that meet no connection are lost (the phones get the whole answer at the end); the rest waits for one.
    """

    def __init__(self, hub: HubClient, agent: Agent, show: Callable[[Event], None], queue_bound: int = 16) -> None:
        """Answer what `hub` brings with `agent`; `show` is told of everything that comes."""
        self._hub = hub
        self._agent = agent
        self._show = show
        self._questions: asyncio.Queue[Message] = asyncio.Queue(queue_bound)

    async def serve(self) -> None:
        """Run until the client is closed.

        Raises:
            HubClosed: The hub doesn't want this client back.
        """
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._answer_all())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _read(self) -> None:
        async for event in self._hub.events():
            self._show(event)
            if isinstance(event, Message) and event.type == "user:message":
                await self._take(event)

    async def _take(self, question: Message) -> None:
        try:
            self._questions.put_nowait(question)
        except asyncio.QueueFull:
            await self._tell("failed", question, timeout_s=0, reason="busy")

    async def _answer_all(self) -> None:
        while True:
            question = await self._questions.get()
            text = question.payload.get("text")
            if not isinstance(text, str):
                await self._tell("failed", question, reason="payload.text is missing or no string")
                continue
            try:
                await self._answer(question, text)
            except NotConnected as fault:
                log.warning("a question was dropped: %s", fault)

    async def _answer(self, question: Message, text: str) -> None:
        max_bytes = (await self._hub.ready(_WAIT_S)).max_bytes
        answer = Answer(question.message_id, max_bytes, self._send_piece)
        await self._tell("thinking", question)
        async with asyncio.TaskGroup() as group:
            group.create_task(answer.stream())
            outcome = await self._agent.answer(text, answer.say)
            answer.end()
        await self._conclude(question, answer, outcome)

    async def _conclude(self, question: Message, answer: Answer, outcome: Outcome) -> None:
        if outcome.failure is None:
            await self._tell("idle", question)
        else:
            await self._tell("failed", question, reason=outcome.failure, stderr=outcome.stderr)
        await self._send("agent:response", answer.response(outcome.exit_code))

    async def _tell(self, status: str, question: Message, *, timeout_s: float = _WAIT_S, **more: str) -> None:
        payload = {"status": status, "in_reply_to": question.message_id, **more}
        await self._send("agent:status", payload, timeout_s=timeout_s)

    async def _send(self, kind: str, payload: dict[str, Any], *, timeout_s: float = _WAIT_S) -> None:
        """Send what matters: if the link breaks meanwhile, again, under the same `message_id`."""
        message_id = uuid4().hex
        for _ in range(_TRIES):
            try:
                await self._hub.send(kind, payload, message_id=message_id, timeout_s=timeout_s)
            except NotConnected as fault:
                log.warning("%s is not sent: %s", kind, fault)
            else:
                return

    async def _send_piece(self, payload: dict[str, Any]) -> None:
        with suppress(NotConnected, HubClosed):  # the whole answer follows; and whoever reads learns of the end
            await self._hub.send("agent:stream", payload)
