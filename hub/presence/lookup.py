"""Reading presence from Redis, without keeping the event loop for long."""

import asyncio
from collections.abc import Iterator, Sequence

from redis.exceptions import ResponseError

from actors.clock import Clock
from actors.ids import DesktopId, UserId
from actors.messages import KnownDesktop, PresenceRecord
from hub.presence import fields, keys
from hub.presence.answers import PresenceAnswer, UserPresence
from hub.store.calls import Calls, Command, Reply, StoreAway

MOST_DESKTOPS = 1000
SLICE = 100
"""So many desktops are asked for in one round trip: some 2 ms of CPU."""


class Lookup:
    """Answers questions. A key that another program uses for something else counts as absent."""

    def __init__(self, calls: Calls, clock: Clock) -> None:
        self._calls = calls
        self._clock = clock

    async def known_of(self, user_ids: Sequence[UserId]) -> list[list[KnownDesktop]]:
        """Return the desktops of each user, the one seen last first; raises StoreAway."""
        async with self._calls.bounded():
            return await self._known_of(user_ids)

    async def desktops(self, desktop_ids: Sequence[DesktopId]) -> list[PresenceAnswer]:
        """Tell where desktops are, in the order asked; all share one deadline."""
        if len(desktop_ids) > MOST_DESKTOPS:
            raise ValueError(f"at most {MOST_DESKTOPS} desktops can be asked for at once")
        answers: list[PresenceAnswer] = []
        try:
            async with self._calls.bounded():
                for start in range(0, len(desktop_ids), SLICE):
                    answers += await self._slice(desktop_ids[start : start + SLICE])
                    await asyncio.sleep(0)
        except StoreAway:
            as_of = self._clock.wall_ms()
            answers += [PresenceAnswer(each, "unknown", as_of) for each in desktop_ids[len(answers) :]]
        return answers

    async def user(self, user_id: UserId) -> UserPresence:
        """Tell where a user's desktops are."""
        as_of = self._clock.wall_ms()
        try:
            async with self._calls.bounded():
                [known] = await self._known_of([user_id])
                names = [keys.record(user_id, each.desktop_id) for each in known]
                records = [_record(reply) for reply in await self._calls.run([("HGETALL", name) for name in names])]
        except StoreAway:
            return UserPresence(user_id, "unknown", as_of)
        answers = tuple(
            _online(record, as_of) if record else _away(each, user_id, as_of)
            for each, record in zip(known, records, strict=True)
        )
        return UserPresence(user_id, "online" if any(records) else "offline", as_of, answers)

    async def _known_of(self, user_ids: Sequence[UserId]) -> list[list[KnownDesktop]]:
        """Ask whether a user has any desktops before asking what they are called: most who come first have none."""
        scores = await self._calls.run([("ZREVRANGE", keys.desktops(each), 0, -1, "WITHSCORES") for each in user_ids])
        seen = {
            user_id: fields.pairs(reply)
            for user_id, reply in zip(user_ids, scores, strict=True)
            if reply and not isinstance(reply, ResponseError)
        }
        entries = await self._calls.run([("HGETALL", keys.known(user_id)) for user_id in seen])
        desktop_ids = [DesktopId(each.decode()) for some in seen.values() for each in some]
        owners = iter(await self._calls.run([("GET", keys.owner(each)) for each in desktop_ids]))
        known = {
            user_id: _known(user_id, seen[user_id], reply, owners) for user_id, reply in zip(seen, entries, strict=True)
        }
        return [known.get(user_id, []) for user_id in user_ids]

    async def _slice(self, desktop_ids: Sequence[DesktopId]) -> list[PresenceAnswer]:
        as_of = self._clock.wall_ms()
        replies = await self._calls.run([("GET", keys.owner(each)) for each in desktop_ids])
        owners = [UserId(reply.decode()) if isinstance(reply, bytes) else None for reply in replies]
        owned = [(user, each) for user, each in zip(owners, desktop_ids, strict=True) if user is not None]
        replies = await self._calls.run([("HGETALL", keys.record(*pair)) for pair in owned])
        records = {pair: _record(reply) for pair, reply in zip(owned, replies, strict=True)}
        found = {pair[1]: _online(record, as_of) for pair, record in records.items() if record}
        found |= await self._past([pair for pair, record in records.items() if not record], as_of)
        return [found.get(each) or PresenceAnswer(each, "offline", as_of) for each in desktop_ids]

    async def _past(self, pairs: list[tuple[UserId, DesktopId]], as_of: int) -> dict[DesktopId, PresenceAnswer]:
        """Tell of desktops that have an owner and no record."""
        commands: list[Command] = []
        for user_id, desktop_id in pairs:
            commands += [("ZSCORE", keys.desktops(user_id), desktop_id), ("HGET", keys.known(user_id), desktop_id)]
        replies = await self._calls.run(commands)
        answers = {}
        for (user_id, desktop_id), score, value in zip(pairs, replies[::2], replies[1::2], strict=True):
            if isinstance(score, bytes):
                known = fields.known_desktop(desktop_id.encode(), score, value if isinstance(value, bytes) else None)
                answers[desktop_id] = _away(known, user_id, as_of)
        return answers


def _known(user_id: UserId, scores: dict[bytes, bytes], names: Reply, owners: Iterator[Reply]) -> list[KnownDesktop]:
    """Put the answers together, without what moved to another user while nobody of the former owner was told."""
    values = {} if isinstance(names, ResponseError) else fields.pairs(names)
    return [
        fields.known_desktop(each, score, values.get(each))
        for each, score in scores.items()
        if next(owners) in (user_id.encode(), None)
    ]


def _record(reply: Reply) -> PresenceRecord | None:
    return None if isinstance(reply, ResponseError) else fields.read_record(fields.pairs(reply))


def _online(record: PresenceRecord, as_of: int) -> PresenceAnswer:
    return PresenceAnswer(
        desktop_id=record.desktop_id,
        state="online",
        as_of=as_of,
        user_id=record.user_id,
        last_seen=record.last_seen,
        node_id=record.node_id,
        connection_id=record.connection_id,
        name=record.name,
        platform=record.platform,
        since=record.since,
    )


def _away(known: KnownDesktop, user_id: UserId, as_of: int) -> PresenceAnswer:
    return PresenceAnswer(
        desktop_id=known.desktop_id,
        state="offline",
        as_of=as_of,
        user_id=user_id,
        last_seen=known.last_seen,
        name=known.name,
        platform=known.platform,
    )
