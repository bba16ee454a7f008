import asyncio

import pytest

from hub.client.mailbox import Mailbox


async def test_order_is_kept() -> None:
    mailbox: Mailbox[int] = Mailbox(3)
    for number in range(3):
        await mailbox.put(number)
    assert [await mailbox.get() for _ in range(3)] == [0, 1, 2]


async def test_a_full_one_makes_the_writer_wait() -> None:
    mailbox: Mailbox[int] = Mailbox(1)
    await mailbox.put(1)
    writing = asyncio.create_task(mailbox.put(2))
    await asyncio.sleep(0)
    assert not writing.done()
    assert await mailbox.get() == 1
    await writing
    assert await mailbox.get() == 2


async def test_an_empty_one_makes_the_reader_wait() -> None:
    mailbox: Mailbox[int] = Mailbox(1)
    reading = asyncio.create_task(mailbox.get())
    await asyncio.sleep(0)
    assert not reading.done()
    await mailbox.put(1)
    assert await reading == 1


async def test_closed_gives_what_is_left_and_then_the_end() -> None:
    mailbox: Mailbox[int] = Mailbox(2)
    await mailbox.put(1)
    mailbox.close()
    assert [await mailbox.get() for _ in range(3)] == [1, None, None]


async def test_closed_with_a_fault_gives_what_is_left_and_then_the_fault() -> None:
    mailbox: Mailbox[int] = Mailbox(2)
    await mailbox.put(1)
    mailbox.close(LookupError("gone"))
    assert await mailbox.get() == 1
    for _ in range(2):
        with pytest.raises(LookupError):
            await mailbox.get()


async def test_closing_wakes_the_reader() -> None:
    mailbox: Mailbox[int] = Mailbox(1)
    reading = asyncio.create_task(mailbox.get())
    await asyncio.sleep(0)
    mailbox.close()
    assert await reading is None
