"""What every journal promises: run against Redis' scripts on a real Valkey, a cluster of it, and the twin.

Journals are written down as `E-0<AFTER` for an opening, `E-S` for a message, and the head behind `|`; `?` is what
nobody knows.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.ids import DesktopId, UserId
from actors.journal import Written
from actors.offsets import BEGINNING, Offset
from hub.journal.limits import JournalLimits
from hub.journal.scripts import PAGE_BYTES, PAGE_ENTRIES
from tests.support.journal import Bench, frame, memory_bench, texts_of, valkey_bench
from tests.support.memory_journal import DEFAULT_LIMITS
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.valkey_fixtures",)

MakeBench: TypeAlias = Callable[[JournalLimits], Awaitable[Bench]]


@pytest.fixture(params=["valkey", "cluster", "memory"])
async def make_bench(request: pytest.FixtureRequest) -> AsyncIterator[MakeBench]:
    async with AsyncExitStack() as stack:

        async def make(limits: JournalLimits) -> Bench:
            if request.param == "memory":
                return memory_bench(limits)
            return await stack.enter_async_context(valkey_bench(request.getfixturevalue(request.param), limits))

        yield make


@pytest.fixture
async def bench(make_bench: MakeBench) -> Bench:
    return await make_bench(DEFAULT_LIMITS)


@pytest.fixture(params=["valkey", "memory"])
async def frail_bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """One whose store may go away."""
    if request.param == "memory":
        yield memory_bench(DEFAULT_LIMITS)
    else:
        async with valkey_bench(request.getfixturevalue("frail_server")) as bench:
            yield bench


async def test_of_a_desktop_that_never_spoke_there_is_nothing(bench: Bench) -> None:
    assert await bench.told() == "| 0-0"


async def test_messages_come_back_in_order_as_they_were(bench: Bench) -> None:
    bench.open(5)
    bench.append(5, 1, "first")
    bench.append(5, 4, "zweite: äöü 🎈")
    bench.append(5, 10, "third " + "x" * 70_000)
    page = await bench.page()
    assert page is not None
    assert [entry.offset for entry in page.entries] == [(5, 0), (5, 1), (5, 4), (5, 10)]
    assert page.entries[2] == Written(Offset(5, 4), frame("zweite: äöü 🎈"))
    assert texts_of(page)[2] == "third " + "x" * 70_000
    assert (page.more, page.head) == (False, None)


async def test_reading_begins_behind_the_offset(bench: Bench) -> None:
    bench.open(5)
    for seq in (1, 2, 3):
        bench.append(5, seq)
    assert await bench.told(Offset(5, 0)) == "5-1 5-2 5-3 | ?"
    assert await bench.told(Offset(5, 2)) == "5-3 | ?"
    assert await bench.told(Offset(5, 3)) == "| ?"
    assert await bench.told(Offset(2**64 - 1, 2**64 - 1)) == "| ?"


async def test_desktops_and_users_have_journals_of_their_own(bench: Bench) -> None:
    bench.open(5)
    bench.journal.append(UserId("u2"), DesktopId("d1"), Offset(7, 1), frame("of u2"))
    bench.journal.append(UserId("u1"), DesktopId("d2"), Offset(8, 1), frame("of d2"))
    assert await bench.told() == "5-0<0-0 | ?"


async def test_ends_and_openings_chain_the_connections(bench: Bench) -> None:
    bench.open(5)
    bench.append(5, 1)
    bench.close(5, 3)
    assert await bench.told() == "5-0<0-0 5-1 | 5-3"
    bench.open(6)
    assert await bench.told(Offset(5, 1)) == "6-0<5-3 | ?"
    bench.append(6, 2)
    bench.close(6, 2)
    assert await bench.told() == "5-0<0-0 5-1 6-0<5-3 6-2 | 6-2"


async def test_an_end_that_was_never_told_is_not_known(bench: Bench) -> None:
    bench.open(5)
    bench.append(5, 1)
    bench.open(6)
    assert await bench.told() == "5-0<0-0 5-1 6-0<? | ?"


async def test_a_connection_that_only_passed_things_on_is_in_the_chain(bench: Bench) -> None:
    bench.open(5)
    bench.close(5, 9)
    bench.open(6)
    bench.append(6, 1)
    assert await bench.told() == "5-0<0-0 6-0<5-9 6-1 | ?"


async def test_a_stale_connection_writes_nothing_and_hears_of_the_newer_one(bench: Bench) -> None:
    bench.open(5)
    bench.append(5, 1)
    bench.open(6)
    bench.append(5, 2)
    bench.append(5, 3)
    bench.open(4)
    bench.append(4, 1)
    bench.append(6, 1)
    assert await bench.told() == "5-1 6-0<? 6-1 | ?", "what 5-0 said of its predecessor is not so"
    assert bench.stale == [(5, 6), (4, 6)]


async def test_a_connection_is_told_which_one_wrote_before_it(bench: Bench) -> None:
    bench.open(5)
    bench.append(5, 1)
    bench.open(7)
    bench.open(7)  # As after an answer that was lost.
    bench.append(9, 1)
    bench.open(9)
    bench.open(8)
    await bench.store.done()
    assert bench.behind == [(7, 5), (7, 5)]


async def test_a_stale_end_changes_nothing_and_a_closed_connection_hears_nothing(bench: Bench) -> None:
    bench.open(6)
    bench.open(5)
    bench.close(5, 2)
    bench.append(6, 1)
    assert await bench.told() == "6-1 | ?", "5 was between 0-0 and 6"
    assert bench.stale == []


async def test_what_is_repeated_changes_nothing(bench: Bench) -> None:
    bench.open(5)
    bench.close(5, 4)
    for _ in range(2):
        bench.open(6)
        bench.append(6, 1, "once")
        bench.append(6, 3, "once more")
        bench.close(6, 5)
    assert await bench.told() == "5-0<0-0 6-0<5-4 6-1 6-3 | 6-5"
    bench.append(6, 1, "something else")
    bench.close(6, 2)
    assert texts_of(await bench.page()) == ["once", "once more"]
    assert await bench.told(Offset(6, 3)) == "| 6-5"


async def test_an_opening_that_is_repeated_does_not_undo_the_end(bench: Bench) -> None:
    bench.open(5)
    bench.close(5, 2)
    bench.open(5)
    assert await bench.told() == "5-0<0-0 | 5-2"


async def test_bound_by_count(make_bench: MakeBench) -> None:
    bench = await make_bench(JournalLimits(messages=3))
    bench.open(5)
    for seq in range(1, 6):
        bench.append(5, seq)
    assert await bench.told() == "5-3 5-4 5-5 | ?"


async def test_openings_alone_are_bounded_too(make_bench: MakeBench) -> None:
    bench = await make_bench(JournalLimits(messages=3))
    for epoch in range(5, 11):
        bench.open(epoch)
    assert await bench.told() == "8-0<? 9-0<? 10-0<? | ?"


async def test_bound_by_bytes(make_bench: MakeBench) -> None:
    bench = await make_bench(JournalLimits(bytes=1000))
    bench.open(5)
    for seq in range(1, 6):
        bench.append(5, seq, "x" * 300)
    assert await bench.told() == "5-3 5-4 5-5 | ?"
    bench.append(5, 6, "x" * 700)
    assert await bench.told() == "5-5 5-6 | ?"


async def test_the_newest_stays_however_large_it_is(make_bench: MakeBench) -> None:
    bench = await make_bench(JournalLimits(bytes=1000))
    bench.open(5)
    bench.append(5, 1)
    bench.append(5, 2, "x" * 2000)
    assert await bench.told() == "5-2 | ?"
    bench.append(5, 3)
    assert await bench.told() == "5-3 | ?"


async def test_bound_by_age(make_bench: MakeBench) -> None:
    bench = await make_bench(JournalLimits(age_s=0.5))
    bench.open(5)
    bench.append(5, 1)
    await bench.store.pass_time(0.4)
    bench.append(5, 2)
    await bench.store.pass_time(0.2)
    bench.append(5, 3)
    assert await bench.told() == "5-2 5-3 | ?"


async def test_the_chain_outlives_the_messages(make_bench: MakeBench) -> None:
    bench = await make_bench(JournalLimits(age_s=0.1, bytes=1000))
    bench.open(5)
    bench.append(5, 1, "x" * 900)
    bench.close(5, 2)
    await bench.store.pass_time(0.2)
    assert await bench.told() == "| 5-2"
    bench.open(6)
    bench.append(6, 1, "x" * 900)
    assert await bench.told() == "6-0<5-2 6-1 | ?"


async def test_a_page_is_bounded_by_count(bench: Bench) -> None:
    bench.open(5)
    for seq in range(1, PAGE_ENTRIES + 2):
        bench.append(5, seq)
    page = await bench.page()
    assert page is not None
    assert (len(page.entries), page.more) == (PAGE_ENTRIES, True)
    rest = await bench.page(page.entries[-1].offset)
    assert rest is not None
    assert [entry.offset.seq for entry in rest.entries] == [PAGE_ENTRIES, PAGE_ENTRIES + 1]
    assert not rest.more
    full = await bench.page(Offset(5, 1))
    assert full is not None
    assert (len(full.entries), full.more) == (PAGE_ENTRIES, False)


async def test_a_page_is_bounded_by_bytes_and_holds_one_at_least(bench: Bench) -> None:
    bench.open(5)
    sizes = (PAGE_BYTES - 10, 10, 1, PAGE_BYTES + 1, PAGE_BYTES)
    for seq, size in enumerate(sizes, 1):
        bench.append(5, seq, "x" * size)
    after, pages = Offset(5, 0), []
    while True:
        page = await bench.page(after)
        assert page is not None
        pages.append([len(text) for text in texts_of(page)])
        if not page.more:
            break
        after = page.entries[-1].offset
    assert pages == [[PAGE_BYTES - 10, 10], [1], [PAGE_BYTES + 1], [PAGE_BYTES]]


@pytest.mark.parametrize(
    ("newest", "told"),
    [
        (0, "| ?"),
        (1, "6-2 | ?"),
        (2, "6-1 6-2 | ?"),
        (3, "5-2 6-0<5-9 6-1 6-2 | ?"),
        (4, "5-1 5-2 6-0<5-9 6-1 6-2 | ?"),
        (5, "5-1 5-2 6-0<5-9 6-1 6-2 | ?"),
    ],
)
async def test_only_the_newest(bench: Bench, newest: int, told: str) -> None:
    bench.open(5)
    bench.append(5, 1)
    bench.append(5, 2)
    bench.close(5, 9)
    bench.open(6)
    bench.append(6, 1)
    bench.append(6, 2)
    words = (await bench.told(Offset(5, 0), newest)).split()
    # An opening directly before the first of the newest may be there or not.
    if words[0] != told.split(maxsplit=1)[0] and "<" in words[0]:
        words = words[1:]
    assert " ".join(words) == told


async def test_the_newest_of_many(bench: Bench) -> None:
    bench.open(5)
    for seq in range(1, 301):
        bench.append(5, seq)
    assert await bench.told(BEGINNING, 200) == " ".join(f"5-{seq}" for seq in range(101, 301)) + " | ?"


async def test_data_that_was_lost_is_not_made_up(bench: Bench) -> None:
    bench.open(5)
    bench.append(5, 1)
    await bench.store.lose_everything()
    assert await bench.told() == "| 0-0"
    bench.append(5, 2)
    assert await bench.told() == "5-0<? 5-2 | ?"
    bench.close(5, 3)
    bench.open(6)
    assert await bench.told(Offset(5, 2)) == "6-0<5-3 | ?"


async def test_an_end_tells_of_a_connection_whose_data_was_lost(bench: Bench) -> None:
    bench.open(5)
    bench.append(5, 1)
    await bench.store.lose_everything()
    bench.close(5, 3)
    assert await bench.told() == "5-0<? | 5-3"


async def test_away_reads_get_no_answer_and_writes_wait(frail_bench: Bench) -> None:
    bench = frail_bench
    bench.open(5)
    bench.append(5, 1)
    await bench.store.go_away()
    bench.append(5, 2)
    bench.close(5, 3)
    assert await bench.page() is None
    bench.open(6)
    bench.append(6, 1)
    bench.open(4)
    assert await bench.page() is None
    assert bench.stale == []
    await bench.store.come_back()
    assert await bench.told() == "5-1 5-2 6-0<5-3 6-1 | ?"
    assert bench.stale == [(4, 6)]


Step: TypeAlias = tuple[str, int, int]

steps = st.one_of(
    st.tuples(st.just("open"), st.integers(1, 4), st.just(0)),
    st.tuples(st.just("append"), st.integers(1, 4), st.integers(1, 6)),
    st.tuples(st.just("close"), st.integers(1, 4), st.integers(1, 6)),
    st.tuples(st.just("lose"), st.just(0), st.just(0)),
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(steps, max_size=25), after=st.tuples(st.integers(0, 4), st.integers(0, 6)))
def test_the_scripts_do_what_the_twin_does(valkey: ValkeyServer, history: list[Step], after: tuple[int, int]) -> None:
    valkey.say("FLUSHALL")
    asyncio.run(_compare(valkey, history, Offset(*after)))


async def _compare(valkey: ValkeyServer, history: list[Step], after: Offset) -> None:
    limits = JournalLimits(messages=5, bytes=500)
    twin = memory_bench(limits)
    async with valkey_bench(valkey, limits) as bench:
        for each in (bench, twin):
            for step in history:
                await _take(each, step)
        for newest in (None, 0, 2):
            page, expected = await bench.page(after, newest), await twin.page(after, newest)
            assert page == expected
        assert (bench.stale, bench.behind) == (twin.stale, twin.behind)


async def _take(bench: Bench, step: Step) -> None:
    match step:
        case ("open", epoch, _):
            bench.open(epoch)
        case ("append", epoch, seq):
            bench.append(epoch, seq, f"m{epoch}-{seq}" + "x" * 50 * seq)
        case ("close", epoch, seq):
            bench.close(epoch, seq)
        case _:
            await bench.store.lose_everything()
