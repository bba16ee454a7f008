"""The keeper and its stream: what is read, what is written, and what an outage or a lost stream does to it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from hub.revocation import keeper as keeper_module
from hub.revocation.entries import fields_of
from hub.revocation.keeper import FORGET_EVERY_S, RevocationKeeper
from hub.revocation.known import KnownRevocations, Revocation, Target
from hub.revocation.stream import PAGE, Entry, RevocationStream
from hub.store.calls import StoreAway
from tests.support.actors import HandClock
from tests.support.presence import eventually
from tests.unit.hub.revocation.support import DESKTOP, LATER_MS, NOW_MS, TOKEN, USER, phone, revocation

MONTH_S = 30 * 86_400
LEEWAY_S = 10


class MemoryStream:
    """The stream of all nodes, in memory. `fault` is raised in the place of an answer."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.fault: Exception | None = None
        self.reads = 0
        self.failures = 0
        self._number = 0

    async def read(self, first: bytes | None) -> list[Entry]:
        await self._answer()
        self.reads += 1
        start = 0 if first is None else int(first)
        return [entry for entry in self.entries if int(entry[0]) >= start][:PAGE]

    async def append(self, revocations: Sequence[Revocation]) -> None:
        await self._answer()
        for each in revocations:
            self._number += 1
            fields = [str(field).encode() for field in fields_of(each)]
            self.entries.append([b"%d" % self._number, fields])

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if self.fault is not None:
            self.failures += 1
            raise self.fault

    def targets(self) -> list[bytes]:
        return [fields[3] for _, fields in self.entries]


class KeptNode:
    """One node's keeper; it closes nothing, and notes what it should."""

    def __init__(self, stream: MemoryStream) -> None:
        self.clock = HandClock()
        self.known = KnownRevocations(self.clock)
        self.concerned: list[Target] = []
        self.keeper = RevocationKeeper(
            cast("RevocationStream", stream),
            self.known,
            longest_s=MONTH_S,
            leeway_s=LEEWAY_S,
            clock=self.clock,
            close=self._close,
            monotonic=self.clock.monotonic,
        )

    def _close(self, targets: Collection[Target]) -> int:
        self.concerned += targets
        return len(targets)

    def targets(self) -> set[Target]:
        return {each.target for each in self.known}


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "READ_EVERY_S", 0.001)


@asynccontextmanager
async def running(stream: MemoryStream) -> AsyncIterator[KeptNode]:
    node = KeptNode(stream)
    await node.keeper.start()
    try:
        yield node
    finally:
        await node.keeper.stop()


async def _read_again(stream: MemoryStream) -> None:
    """Wait until the stream was read from beginning to end, twice: once may have begun before."""
    reached = stream.reads + 2
    await eventually(lambda: stream.reads >= reached)


async def test_a_revocation_holds_here_at_once_and_is_in_the_stream() -> None:
    stream = MemoryStream()
    async with running(stream) as node:
        revoking = asyncio.create_task(node.keeper.revoke(USER, None))
        await asyncio.sleep(0)
        assert node.known.cover(phone())
        done = await revoking
        assert (done.closed, done.written) == (1, True)
        await eventually(lambda: node.keeper.unwritten == 0)
        await _read_again(stream)
        assert stream.targets() == [b'["user_id","u1"]']
        assert node.concerned == [USER], "what is read back changes nothing"


async def test_it_holds_for_as_long_as_asked_and_the_clocks_may_differ() -> None:
    async with running(MemoryStream()) as node:
        assert (await node.keeper.revoke(USER, LATER_MS)).expires_at == LATER_MS
        assert [each.until for each in node.known] == [LATER_MS + LEEWAY_S * 1000]


@pytest.mark.parametrize("expires_at", [None, NOW_MS + 2 * MONTH_S * 1000])
async def test_it_holds_for_the_longest_time_at_most(expires_at: int | None) -> None:
    async with running(MemoryStream()) as node:
        latest = NOW_MS + MONTH_S * 1000
        assert (await node.keeper.revoke(USER, expires_at)).expires_at == latest
        assert [each.until for each in node.known] == [latest + LEEWAY_S * 1000]


async def test_another_node_learns_of_it_and_closes_what_it_concerns() -> None:
    stream = MemoryStream()
    async with running(stream) as node, running(stream) as other:
        await node.keeper.revoke(TOKEN, None)
        await node.keeper.revoke(USER, None)
        await eventually(lambda: other.targets() == {TOKEN, USER})
        assert other.concerned == [TOKEN, USER]
        assert list(other.known) == list(node.known)


async def test_all_is_known_before_a_start_is_over() -> None:
    stream = MemoryStream()
    many = [revocation(("user_id", f"u{number}")) for number in range(2 * PAGE + 1)]
    await stream.append(many)
    async with running(stream) as node:
        assert node.keeper.in_force == len(many)
        assert node.keeper.up_to_date


@pytest.mark.parametrize("count", [0, 1, PAGE - 1, PAGE, PAGE + 1])
async def test_no_entry_is_missed_at_the_end_of_a_page(count: int) -> None:
    stream = MemoryStream()
    async with running(stream) as node:
        await stream.append([revocation(USER)])
        await eventually(lambda: node.keeper.in_force == 1)
        await stream.append([revocation(("jti", f"t{number}")) for number in range(count)])
        await eventually(lambda: node.keeper.in_force == 1 + count)


async def test_what_is_over_and_what_is_no_revocation_goes_by() -> None:
    stream = MemoryStream()
    await stream.append([revocation(USER, until=NOW_MS)])
    stream.entries.append([b"2", [b"junk", b"junk"]])
    async with running(stream) as node:
        assert (node.keeper.in_force, node.keeper.up_to_date) == (0, True)


async def test_while_redis_is_away_it_holds_here_and_is_written_later() -> None:
    stream = MemoryStream()
    async with running(stream) as node, running(stream) as other:
        stream.fault = StoreAway("no answer")
        done = await node.keeper.revoke(USER, None)
        assert (done.closed, done.written) == (1, False)
        assert node.known.cover(phone())
        await eventually(lambda: not node.keeper.up_to_date and not other.keeper.up_to_date)
        assert node.keeper.unwritten == 1
        stream.fault = None
        await eventually(lambda: other.targets() == {USER})
        await eventually(lambda: node.keeper.unwritten == 0 and node.keeper.up_to_date)
        assert len(stream.entries) == 1


async def test_a_store_that_takes_no_writes_is_read_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    class Full(MemoryStream):
        full = True

        async def append(self, revocations: Sequence[Revocation]) -> None:
            if self.full:
                raise StoreAway("out of memory")
            await super().append(revocations)

    stream = Full()
    async with running(stream) as node:
        assert not (await node.keeper.revoke(USER, None)).written
        await _read_again(stream)
        assert (node.keeper.up_to_date, node.keeper.unwritten) == (True, 1)
        stream.full = False
        await eventually(lambda: node.keeper.unwritten == 0)
        assert len(stream.entries) == 1
    assert caplog.text == ""


async def test_a_start_without_redis_goes_on_and_reads_later() -> None:
    stream = MemoryStream()
    await stream.append([revocation(USER)])
    stream.fault = StoreAway("no answer")
    async with running(stream) as node:
        assert (node.keeper.up_to_date, node.keeper.in_force) == (False, 0)
        stream.fault = None
        await eventually(lambda: node.keeper.up_to_date)
        assert node.concerned == [USER]


async def test_a_start_doesnt_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(MemoryStream):
        async def _answer(self) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(keeper_module, "START_S", 0.01)
    async with running(Silent()) as node:
        assert not node.keeper.up_to_date


async def test_what_a_lost_stream_held_is_written_again() -> None:
    stream = MemoryStream()
    async with running(stream) as node, running(stream) as other:
        for target in (USER, DESKTOP, TOKEN):
            await node.keeper.revoke(target, None)
        await eventually(lambda: len(other.known) == 3 and other.keeper.unwritten == node.keeper.unwritten == 0)
        stream.entries.clear()
        await eventually(
            lambda: {b'["user_id","u1"]', b'["desktop_id","d1"]', b'["jti","t1"]'} == set(stream.targets())
        )
        await eventually(lambda: other.keeper.unwritten == node.keeper.unwritten == 0)
        assert len(other.concerned) == 3


async def test_a_stream_that_was_set_back_is_read_anew() -> None:
    stream = MemoryStream()
    async with running(stream) as node:
        await node.keeper.revoke(USER, None)
        await node.keeper.revoke(DESKTOP, None)
        await eventually(lambda: node.keeper.unwritten == 0)
        # Another node's entries, under numbers that were read before.
        del stream.entries[1]
        stream.entries.append([b"2", [str(field).encode() for field in fields_of(revocation(TOKEN))]])
        await eventually(lambda: node.targets() == {USER, DESKTOP, TOKEN})
        await eventually(lambda: b'["desktop_id","d1"]' in stream.targets())


async def test_more_than_one_batch_is_written_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = MemoryStream()
    monkeypatch.setattr(keeper_module, "WRITTEN_AT_ONCE", 2)
    async with running(stream) as node:
        stream.fault = StoreAway("no answer")
        for number in range(7):
            await node.keeper.revoke(("jti", f"t{number}"), None)
        monkeypatch.setattr(keeper_module, "READ_EVERY_S", 0.5)
        stream.fault = None
        assert await eventually(lambda: len(stream.entries) == 7) < 1
        await eventually(lambda: node.keeper.unwritten == 0)
        assert len(stream.entries) == 7


async def test_what_waits_for_redis_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = MemoryStream()
    monkeypatch.setattr(keeper_module, "MOST", 2)
    async with running(stream) as node:
        stream.fault = StoreAway("no answer")
        for target in (USER, DESKTOP, TOKEN):
            await node.keeper.revoke(target, None)
        assert node.keeper.unwritten == 2


async def test_a_longer_one_is_not_lost_behind_a_shorter_one_that_waits() -> None:
    stream = MemoryStream()
    async with running(stream) as node:
        stream.fault = StoreAway("no answer")
        await node.keeper.revoke(USER, LATER_MS)
        node.clock.passed_s = 1
        await node.keeper.revoke(USER, LATER_MS - 1000)
        stream.fault = None
        async with running(stream) as other:
            await eventually(lambda: other.targets() == {USER})
            [held] = other.known
            assert (held.at, held.until) == (NOW_MS + 1000, LATER_MS + LEEWAY_S * 1000)


async def test_an_older_one_in_the_stream_doesnt_stand_for_a_newer_one_that_waits() -> None:
    stream = MemoryStream()
    async with running(stream) as node:
        stream.fault = StoreAway("no answer")
        await node.keeper.revoke(USER, None)
        [newer] = node.known
        stream.fault = None
        await stream.append([revocation(USER, NOW_MS - 1000)])
        await eventually(lambda: len(stream.entries) == 2 and node.keeper.unwritten == 0)
        assert stream.entries[1][1] == [str(field).encode() for field in fields_of(newer)]


async def test_what_is_over_is_forgotten_now_and_then() -> None:
    async with running(MemoryStream()) as node:
        await node.keeper.revoke(USER, LATER_MS)
        node.clock.passed_s = 60 + LEEWAY_S + FORGET_EVERY_S
        await eventually(lambda: node.keeper.in_force == 0)
        assert node.keeper.dropped == 0


async def test_a_bug_is_logged_once_and_read_on(caplog: pytest.LogCaptureFixture) -> None:
    stream = MemoryStream()
    async with running(stream) as node:
        stream.fault = RuntimeError("injected")
        await eventually(lambda: not node.keeper.up_to_date)
        failed = stream.failures
        await eventually(lambda: stream.failures >= failed + 3)
        stream.fault = None
        await eventually(lambda: node.keeper.up_to_date)
    assert len([record for record in caplog.records if record.exc_info]) == 1


async def test_what_never_reached_redis_is_told_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    stream = MemoryStream()
    with caplog.at_level(logging.WARNING):
        async with running(stream) as node:
            stream.fault = StoreAway("no answer")
            await node.keeper.revoke(USER, None)
    assert "1 revocations never reached Redis" in caplog.text
