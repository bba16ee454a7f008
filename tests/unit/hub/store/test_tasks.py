"""How tasks rest, and how they are ended."""

import asyncio
import contextlib

import pytest

from hub.store.tasks import doze, finish


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_task_may_end_by_itself_within_the_deadline() -> None:
    task = asyncio.create_task(asyncio.sleep(0.01))
    await finish(task, deadline_s=5)
    assert not task.cancelled()


async def test_a_task_that_does_not_end_is_cancelled_at_the_deadline() -> None:
    task = asyncio.create_task(forever())
    await finish(task, deadline_s=0.01)
    assert task.cancelled()


@pytest.mark.parametrize(("deadline_s", "ends_by_itself"), [(None, False), (0, True)])
async def test_without_a_deadline_nothing_is_waited_for(deadline_s: float | None, ends_by_itself: bool) -> None:
    """A deadline of 0 is one turn of the loop, in which what is ready is done."""
    task = asyncio.create_task(asyncio.sleep(0))
    await finish(task, deadline_s=deadline_s)
    assert task.cancelled() is not ends_by_itself


@pytest.mark.parametrize("deadline_s", [None, 5])
async def test_what_a_task_raised_is_not_raised(deadline_s: float | None) -> None:
    async def fail() -> None:
        raise RuntimeError("injected: a bug")

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    await finish(task, deadline_s=deadline_s)
    assert isinstance(task.exception(), RuntimeError)


async def test_a_task_that_swallows_its_cancellation_is_awaited_all_the_same() -> None:
    done: list[str] = []

    async def swallow() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await forever()
        await asyncio.sleep(0.01)
        done.append("all")

    task = asyncio.create_task(swallow())
    await asyncio.sleep(0)
    await finish(task)
    assert done == ["all"]


async def test_several_are_cancelled_before_any_is_awaited() -> None:
    barrier = asyncio.Barrier(2)

    async def wait_for_the_other() -> None:
        try:
            await forever()
        finally:
            await barrier.wait()

    tasks = [asyncio.create_task(wait_for_the_other()) for _ in range(2)]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await finish(*tasks)
    assert all(task.cancelled() for task in tasks)


@pytest.mark.parametrize("deadline_s", [None, 5])
async def test_what_was_never_started_needs_no_end(deadline_s: float | None) -> None:
    await finish(None, deadline_s=deadline_s)
    await finish(deadline_s=deadline_s)


async def test_a_nap_ends_when_it_is_time() -> None:
    wake = asyncio.Event()
    async with asyncio.timeout(5):
        await doze(wake, 0.01)
    assert wake.is_set()


async def test_a_nap_ends_when_it_is_woken() -> None:
    wake = asyncio.Event()
    asyncio.get_running_loop().call_soon(wake.set)
    async with asyncio.timeout(5):
        await doze(wake, 3600)
    assert wake.is_set()


async def test_a_nap_that_was_ended_wakes_nobody_later() -> None:
    wake = asyncio.Event()
    wake.set()
    await doze(wake, 0)
    wake.clear()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not wake.is_set()
