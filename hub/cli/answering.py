"""The desktop's side of a conversation: questions in, one at a time to the agent, what it does told to the phones."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

from hub.cli.agents import Agent, Outcome
from hub.cli.answer import Answer
from hub.client import Connected, Event, HubClient, HubClosed, Message, NotConnected, Welcome

log = logging.getLogger(__name__)

_WAIT_S = 100.0
_TRIES = 3


class Answering:
    """Serves one `HubClient` of a desktop (with `acks`) with one agent, until the client ends.

    Every question gets `agent:status` `thinking`, pieces as `agent:stream`, `agent:status` `idle` or `failed`, and at
    last `agent:response`. Questions wait in a bounded queue; past its bound they get `failed` with `reason` `busy`.
    Pieces that meet no connection are lost (the phones get the whole answer at the end); the rest waits for one.

    A question is acknowledged when the agent has begun with it or it was turned down. Before that the hub keeps it, so
    that it isn't lost with this process.
    """

    def __init__(self, hub: HubClient, agent: Agent, show: Callable[[Event], None], queue_bound: int = 16) -> None:
        """Answer what `hub` brings with `agent`; `show` is told of everything that comes."""
        self._hub = hub
        self._agent = agent
        self._show = show
        self._max_bytes = Welcome().max_bytes
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
            match event:
                case Connected(welcome):
                    self._max_bytes = welcome.max_bytes
                case Message(type="user:message"):
                    await self._take(event)
                case Message(type="session:create"):
                    await self._hub.ack(event)

    async def _take(self, question: Message) -> None:
        try:
            self._questions.put_nowait(question)
        except asyncio.QueueFull:
            await self._turn_down(question, "busy", timeout_s=0)

    async def _answer_all(self) -> None:
        while True:
            question = await self._questions.get()
            text = question.payload.get("text")
            if isinstance(text, str):
                await self._answer(question, text)
            else:
                await self._turn_down(question, "payload.text is missing or no string")

    async def _turn_down(self, question: Message, reason: str, *, timeout_s: float = _WAIT_S) -> None:
        if await self._tell("failed", question, timeout_s=timeout_s, reason=reason):
            await self._hub.ack(question)

    async def _answer(self, question: Message, text: str) -> None:
        answer = Answer(question.message_id, self._max_bytes, self._send_piece)
        await self._tell("thinking", question)
        async with asyncio.TaskGroup() as group:
            group.create_task(answer.stream())
            group.create_task(self._hub.ack(question))  # runs when the agent, which runs first, has begun
            outcome = await self._agent.answer(text, answer.say)
            answer.end()
        await self._conclude(question, answer, outcome)

    async def _conclude(self, question: Message, answer: Answer, outcome: Outcome) -> None:
        if outcome.failure is None:
            await self._tell("idle", question)
        else:
            await self._tell("failed", question, reason=outcome.failure, stderr=outcome.stderr)
        await self._send("agent:response", answer.response(outcome.exit_code))

    async def _tell(self, status: str, question: Message, *, timeout_s: float = _WAIT_S, **more: str) -> bool:
        payload = {"status": status, "in_reply_to": question.message_id, **more}
        return await self._send("agent:status", payload, timeout_s=timeout_s)

    async def _send(self, kind: str, payload: dict[str, Any], *, timeout_s: float = _WAIT_S) -> bool:
        """Send what matters: if the link breaks meanwhile, again, under the same `message_id`; tell whether it went."""
        message_id = uuid4().hex
        for _ in range(_TRIES):
            try:
                await self._hub.send(kind, payload, message_id=message_id, timeout_s=timeout_s)
            except NotConnected as fault:
                log.warning("%s is not sent: %s", kind, fault)
            else:
                return True
        return False

    async def _send_piece(self, payload: dict[str, Any]) -> None:
        with suppress(NotConnected, HubClosed):  # the whole answer follows; and whoever reads learns of the end
            await self._hub.send("agent:stream", payload)
