"""One round: people talk, faults happen, quiet returns, and then it is looked at what was promised."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from tests.chaos.checker import OFFLINE, ONLINE, Change, Checker, Finding
from tests.chaos.faults import Stage
from tests.support.chaos_people import Desktop, Listener, Phone, Town, until
from tests.support.clients import new_name

Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

USERS = 2
DESKTOPS = 2
"""Of each user. The first one leaves in the end."""
SAYS_S = 0.04
WRITES_S = 0.12
NAPS = 0.2
"""Of all that breaks a link, the part that is a desktop's own going."""
BEFORE_S = 0.5
QUIET_S = 30.0
"""So long everything may take to be as it should, on a machine that is busy with other things."""
AGAIN_S = 1.0


class Round:
    """The people of one round, and what they saw."""

    def __init__(self, stage: Stage, say: Callable[..., Any]) -> None:
        """`say` asks Redis."""
        self.checker = Checker()
        self._stage = stage
        self._say = say
        chance = random.Random(stage.chance.random())
        self._town = Town(self.checker, stage.log, stage.nodes.mint, chance, lambda: stage.nodes.choose(chance))
        self._desktops: list[Desktop] = []
        self._phones: list[Phone] = []
        self._listeners: list[Listener] = []
        for _ in range(USERS):
            self._move_in()

    async def run(self, faults: Sequence[Work]) -> list[Finding]:
        """Let all that happen under traffic, and judge."""
        people: list[Desktop | Phone | Listener] = [*self._desktops, *self._phones, *self._listeners]
        async with _beside([each.live for each in people]):
            await self._all_have_heard()
            async with _beside([self._be_restless, *self._talking()]):
                for fault in faults:
                    await fault()
                await asyncio.sleep(BEFORE_S)
            self._stage.log.say("quiet")
            await self._calm_down()
            self._stage.log.note_outages(self._stage.nodes.outages())
            kept = [finding for user in self._users() for finding in await self._audit(user)]
            await self._ask_nodes()
            bugs = Finding("no node meets a bug", len(self._stage.nodes.all), self._stage.nodes.bugs())
            return [*self.checker.findings(await self._changes()), *kept, bugs]

    # -- traffic -----------------------------------------------------------------------------------------------------

    def _move_in(self) -> None:
        user = new_name("u")
        desktop_ids = [new_name("d") for _ in range(DESKTOPS)]
        self._desktops += [Desktop(self._town, user, each, SAYS_S) for each in desktop_ids]
        self._phones.append(Phone(self._town, user, new_name("v"), desktop_ids, WRITES_S))
        self._listeners.append(Listener(self._town, user, new_name("w"), desktop_ids))

    def _talking(self) -> list[Work]:
        return [*(each.talk for each in self._desktops), *(each.write for each in self._phones)]

    async def _be_restless(self) -> None:
        """Links break, and now and then a desktop takes a nap."""
        chance = self._town.chance
        people: list[Desktop | Phone | Listener] = [*self._desktops, *self._phones, *self._listeners]
        while True:
            await asyncio.sleep(2 * self._stage.restless_s * chance.random())
            if chance.random() < NAPS:
                await chance.choice(self._desktops).nap()
            else:
                chance.choice(people).drop()

    def _users(self) -> list[str]:
        return list(dict.fromkeys(each.user for each in self._desktops))

    def _ears_of(self, desktop: Desktop) -> list[str]:
        phones: list[Phone | Listener] = [*self._phones, *self._listeners]
        ears = [each.ears for each in phones]
        return [each.name for each in ears if each.user == desktop.user]

    # -- quiet -------------------------------------------------------------------------------------------------------

    async def _all_have_heard(self) -> None:
        """Wait until each phone has a newer message of each desktop than any up to now."""
        await asyncio.gather(*(self._has_been_heard(each) for each in self._desktops))

    async def _has_been_heard(self, desktop: Desktop) -> None:
        deadline = asyncio.get_running_loop().time() + QUIET_S
        while asyncio.get_running_loop().time() < deadline:
            n = await desktop.say("agent:response")
            if await until(lambda n=n: self._heard_by_all(desktop, n), AGAIN_S):  # type: ignore[misc]
                return
        self._stage.log.say("unheard", desktop=desktop.desktop_id)
        self.checker.unheard(desktop.desktop_id)

    def _heard_by_all(self, desktop: Desktop, n: int) -> bool:
        newest = self.checker.streams.newest
        return all(newest(ear, desktop.desktop_id) >= n for ear in self._ears_of(desktop))

    async def _calm_down(self) -> None:
        await self._all_have_heard()
        await until(lambda: not any(each.open_posts for each in self._phones), QUIET_S)
        await self._ask_again()
        for number, desktop in enumerate(self._desktops):
            if number % DESKTOPS == 0:
                await desktop.leave()
                self.checker.truly(desktop.desktop_id, OFFLINE, "quit")
            else:
                self.checker.truly(desktop.desktop_id, ONLINE)
        await until(lambda: not self.checker.wrongly_seen(), QUIET_S / 2)

    async def _ask_again(self) -> None:
        """Send again what nobody knows to be taken, for as long as that helps."""
        letters = self.checker.letters
        await until(lambda: not letters.unsettled(), AGAIN_S)
        deadline = asyncio.get_running_loop().time() + QUIET_S / 2
        while letters.unsettled() and asyncio.get_running_loop().time() < deadline:
            for phone in self._phones:
                mine = {m: letter for m, letter in letters.all.items() if letter.phone == phone.ears.name}
                again = [phone.post(m, letter.desktop_id) for m, letter in mine.items() if not letter.taken]
                await asyncio.gather(*again)
            await until(lambda: not letters.unsettled(), AGAIN_S)

    # -- what Redis has ------------------------------------------------------------------------------------------------

    async def _audit(self, user: str) -> list[Finding]:
        """Have everything replayed to a phone that comes now, and compare it with what was to be kept."""
        desktops = [each for each in self._desktops if each.user == user]
        auditor = Listener(self._town, user, new_name("audit"), [each.desktop_id for each in desktops])
        async with _beside([auditor.live]):
            await until(lambda: auditor.resumed >= len(desktops), QUIET_S)
            await until(lambda: not self.checker.wrongly_seen(), AGAIN_S)
        return [
            self.checker.kept(
                each.desktop_id,
                auditor.replayed[each.desktop_id],
                [n for n, at in each.said_at.items() if self._stage.log.may_be_lost(at, each.connected_at)],
            )
            for each in desktops
        ]

    async def _ask_nodes(self) -> None:
        for user in self._users():
            for answer in await asyncio.to_thread(self._stage.nodes.states, user):
                self.checker.answered(*answer)

    async def _changes(self) -> list[Change]:
        entries = await asyncio.to_thread(self._say, "XRANGE", "hub:presence", "-", "+")
        fields = [{name.decode(): text.decode() for name, text in entry.items()} for _, entry in entries]
        return [Change(each["desktop_id"], each["state"], each["reason"]) for each in fields]


@asynccontextmanager
async def _beside(works: Sequence[Work]) -> AsyncIterator[None]:
    """Run something without an end meanwhile; what fails in it fails here."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work()) for work in works]
        yield
        for task in tasks:
            task.cancel()
