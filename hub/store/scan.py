"""Going through all keys, bit by bit; others' calls run in between."""

from collections.abc import AsyncIterator

from hub.store.calls import Calls

COUNT = 500
"""So many keys are looked at in one call."""


async def scan(calls: Calls, pattern: str, kind: str) -> AsyncIterator[list[str]]:
    """Yield the names of the keys that match, of every master, a few hundred at a time; each page has its own deadline.

    A name may come twice, and one whose slot moves meanwhile may not come at all.

    Args:
        calls: Makes the calls; don't call this inside `bounded`.
        pattern: As SCAN takes it.
        kind: What the keys hold: `hash`, `stream`, `zset` or `string`.

    Raises:
        StoreAway: If Redis can't be asked.
    """
    async with calls.bounded():
        masters = await calls.masters()
    for master in masters:
        cursor = "0"
        while True:
            async with calls.bounded():
                (reply,) = await calls.run([("SCAN", cursor, "MATCH", pattern, "COUNT", COUNT, "TYPE", kind)], master)
            cursor = reply[0].decode()
            if reply[1]:
                yield [name.decode() for name in reply[1]]
            if cursor == "0":
                break
