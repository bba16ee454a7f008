"""The agent of the demo: knows a few sentences, and takes its time over them like a real one."""

import asyncio
import re
from collections.abc import Mapping

from hub.cli.agents import Outcome, Say

QUESTIONS = ("What are you?", "Is my computer safe to leave alone?")

_ANSWERS: Mapping[str, str] = {
    QUESTIONS[0]: "An agent on your computer.\nEvery word that you read here\ncame through the hub as it was said.\n",
    QUESTIONS[1]: "All quiet: 3 builds green,\n1 review waiting for you,\nand the cat is off the keyboard.\n",
}


class ScriptedAgent:
    """Says its answers word by word, `pace_s` seconds apart."""

    def __init__(self, pace_s: float) -> None:
        self._pace_s = pace_s

    async def answer(self, question: str, say: Say) -> Outcome:
        """Say what is known about `question`."""
        for word in re.findall(r"\S+\s*", _ANSWERS.get(question, "That I don't know.\n")):
            await asyncio.sleep(self._pace_s)
            await say(word)
        return Outcome()
