"""Asks the store for users' desktops of the past: many users in one round trip."""

import asyncio
import logging
from collections.abc import Callable
from itertools import islice

from actors.ids import UserId
from actors.messages import KnownDesktop
from hub.presence.store import RedisPresenceStore
from hub.store.calls import StoreAway
from hub.store.guard import guard

log = logging.getLogger("hub.presence")
_guarded = guard(log, "the answer to a question for known desktops failed")

BATCH = 100
BATCH_DELAY_S = 0.02
"""Phones come in crowds: whoever comes within this time is asked about in one round trip."""

Answer = Callable[[list[KnownDesktop] | None], None]


class KnownLoader:
    """Collects questions for a moment, and while a round trip is under way, and asks them together."""

    def __init__(self, store: RedisPresenceStore) -> None:
        self._store = store
        self._asked: dict[UserId, list[Answer]] = {}
        self._wake = asyncio.Event()

    def ask(self, user_id: UserId, answer: Answer) -> None:
        """Have `answer` called once, later: with the desktops, or with None if the store can't be asked."""
        self._asked.setdefault(user_id, []).append(answer)
        self._wake.set()

    async def run(self) -> None:
        """Answer questions until cancelled; what is open then is answered with None."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await asyncio.sleep(BATCH_DELAY_S)
                while self._asked:
                    await self._round_trip()
        finally:
            self._answer(self._asked, None)

    async def _round_trip(self) -> None:
        users = list(islice(self._asked, BATCH))
        answers = {user_id: self._asked.pop(user_id) for user_id in users}
        known: list[list[KnownDesktop]] | None = None
        try:
            known = await self._store.known_of(users)
        except StoreAway:
            known = None  # the mirror's own probe tells the log
        finally:
            self._answer(answers, known)

    @staticmethod
    def _answer(asked: dict[UserId, list[Answer]], known: list[list[KnownDesktop]] | None) -> None:
        for index, answers in enumerate(asked.values()):
            for answer in answers:
                _guarded(answer, None if known is None else known[index])
        asked.clear()
