import asyncio

from actors.offsets import BEGINNING, Offset
from hub.events.listener import Listener

HERE = Offset(2, 0)


def listener() -> tuple[Listener, list[str]]:
    """A listener, and how often it has asked for more."""
    asked: list[str] = []
    return Listener(BEGINNING, lambda: asked.append("more")), asked


async def test_it_takes_what_it_was_given_once() -> None:
    one, asked = listener()
    one.give(b"events", HERE, more=False)
    assert one.at == HERE
    rooms = [one.has_room]
    assert await one.take(10) == b"events"
    assert [*rooms, one.has_room] == [False, True]
    assert await one.take(0.001) == b""
    assert asked == []


async def test_who_has_taken_a_page_asks_for_the_next() -> None:
    one, asked = listener()
    one.give(b"page", HERE, more=True)
    assert asked == []
    await one.take(10)
    assert asked == ["more"]


async def test_a_page_in_which_nothing_was_whole_is_passed_over() -> None:
    one, asked = listener()
    one.give(b"", HERE, more=True)
    assert (one.at, one.has_room, asked) == (HERE, True, ["more"])


async def test_it_waits_for_what_comes() -> None:
    one, _ = listener()
    taking = asyncio.create_task(one.take(10))
    await asyncio.sleep(0)
    one.give(b"events", HERE, more=False)
    assert await taking == b"events"


async def test_the_end_comes_at_once() -> None:
    one, _ = listener()
    taking = asyncio.create_task(one.take(10))
    await asyncio.sleep(0)
    one.end()
    assert await taking is None
    assert await one.take(10) is None
