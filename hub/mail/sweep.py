"""Takes out of the mailboxes what is over, so that senders learn of it even if the desktop never comes back."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from redis.exceptions import ResponseError

from hub.mail import keys
from hub.mail.ledger import Ledger
from hub.mail.scripts import MailScripts
from hub.store.calls import Calls, Command, Reply

AT_ONCE = 16
"""So many mailboxes are looked into in one round trip."""
LEASE_MS = 60_000
"""After this time another hub looks into a mailbox whose sweeper was lost on its way."""


@dataclass(slots=True)
class _Walk:
    """How far a mailbox was gone through, and when the next letter in that part runs out."""

    reached: str = "0-0"
    soonest: int | None = None


class Sweeper:
    """Goes through mailboxes in which something is over, as `keys.EXPIRING` tells; a bounded piece a turn.

    Who takes a mailbox takes it out of the index in the same step, and leaves a lease there in case of not coming to
    the end. Whatever is stored meanwhile puts the mailbox into the index itself. At the end the next letter's time is
    put there, if it is sooner, and only then the lease goes. So several hubs may sweep, and no letter is missed.
    """

    def __init__(
        self,
        calls: Calls,
        scripts: MailScripts,
        ledger: Ledger,
        every_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Sweep nothing yet; the first turn is due `every_s` from now."""
        self._calls = calls
        self._scripts = scripts
        self._ledger = ledger
        self._every_s = every_s
        self._monotonic = monotonic
        self._walks: dict[str, _Walk] = {}
        self.due_at = monotonic() + every_s

    def forget(self) -> None:
        """Redis went away: what was begun is left to the leases."""
        self._walks.clear()
        self.due_at = self._monotonic() + self._every_s

    async def turn(self) -> None:
        """Go on with what was begun, or look for more; at most three round trips.

        Raises:
            StoreAway: If Redis can't be asked.
        """
        if not self._walks:
            await self._begin()
        if self._walks:
            await self._walk_on()
            self.due_at = self._monotonic()
        else:
            self.due_at = self._monotonic() + self._every_s

    async def _begin(self) -> None:
        (due,) = await self._ask((*self._scripts.due.on(keys.EXPIRING), AT_ONCE, LEASE_MS))
        if not isinstance(due, ResponseError):
            self._walks = {member.decode(errors="replace"): _Walk() for member in due}

    async def _walk_on(self) -> None:
        replies = await self._ask(*(self._expire(member, walk.reached) for member, walk in self._walks.items()))
        ended: list[Command] = []
        for (member, walk), reply in zip(list(self._walks.items()), replies, strict=True):
            if not self._note(member, walk, reply):
                del self._walks[member]
                if walk.soonest is not None:
                    ended.append(("ZADD", keys.EXPIRING, "LT", walk.soonest, member))
                ended.append(("ZREM", keys.EXPIRING, f"{member} leased"))
        await self._ask(*ended)

    def _expire(self, member: str, after: str) -> Command:
        return (*self._scripts.expire.on(*keys.of_mailbox(*keys.mailbox_of(member))), after)

    def _note(self, member: str, walk: _Walk, reply: Reply) -> bool:
        """Take what was found; tell whether there is more of that mailbox."""
        if isinstance(reply, ResponseError):
            return False
        reached, soonest, expired = reply
        self._ledger.note_expired(*keys.mailbox_of(member), expired)
        if soonest and (walk.soonest is None or int(soonest) < walk.soonest):
            walk.soonest = int(soonest)
        walk.reached = reached.decode()
        return walk.reached != ""

    async def _ask(self, *commands: Command) -> list[Reply]:
        return await self._calls.ask(commands)
