"""The journal's task on a real Valkey: outages, bugs of others, damaged data, the end. The rules: tests/contract."""

import asyncio
import signal
from typing import Any

import pytest

from actors.ids import DesktopId, Epoch, UserId
from actors.journal import JournalPage
from actors.offsets import BEGINNING, Offset
from hub.journal.journal import GATHER_S, RedisJournal
from hub.journal.limits import JournalLimits
from hub.store.client import connect
from tests.support.journal import D1, STATE, STREAM, U1, Bench, frame, redis_journal, texts_of, valkey_bench
from tests.support.presence import CALL_MS, eventually
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.valkey_fixtures",)

NOWHERE = "unix:///nowhere/valkey.sock"


def ask(journal: RedisJournal, desktop: str = "d1") -> asyncio.Future[JournalPage | None]:
    answer: asyncio.Future[JournalPage | None] = asyncio.get_running_loop().create_future()
    journal.read(U1, DesktopId(desktop), BEGINNING, answer.set_result)
    assert not answer.done()
    return answer


def ignore(_: object) -> None:
    return None


async def test_writes_need_nobody_to_read(valkey: ValkeyServer) -> None:
    async with redis_journal(valkey.url) as journal:
        journal.open(U1, D1, Epoch(5), ignore, ignore)
        journal.append(U1, D1, Offset(5, 1), frame("hi"))
        assert 0 < journal.lag_s < 5
        await eventually(lambda: journal.lag_s == 0)
        assert (journal.written, journal.reads) == (2, 0)
        assert [name for name, _ in valkey.say("XRANGE", STREAM, "-", "+")] == [b"5-0", b"5-1"]


async def test_many_writes_and_reads_stay_in_order(valkey: ValkeyServer) -> None:
    async with redis_journal(valkey.url) as journal:
        answers = []
        for seq in range(1, 501):
            journal.append(U1, D1, Offset(5, seq), frame(str(seq)))
            if seq % 20 == 0:
                answers.append(ask(journal))
        pages = await asyncio.gather(*answers)
        assert [len(page.entries) if page else None for page in pages] == [*range(21, 128, 20), *[128] * 19]
        assert valkey.say("XLEN", STREAM) == 501
        assert (journal.written, journal.reads, journal.dropped) == (500, 25, 0)


async def test_a_write_that_a_read_took_along_costs_no_second_round_trip(valkey: ValkeyServer) -> None:
    valkey.say("CONFIG", "RESETSTAT")
    async with valkey_bench(valkey) as bench:
        bench.append(5, 1)
        assert await bench.told() == "5-0<? 5-1 | ?"
        await asyncio.sleep(GATHER_S * 3)
    assert set(valkey.say("INFO", "commandstats")) >= {"cmdstat_evalsha"}
    assert "cmdstat_ping" not in valkey.say("INFO", "commandstats")


async def test_stop_writes_what_is_pending(valkey: ValkeyServer) -> None:
    async with redis_journal(valkey.url) as journal:
        for seq in range(1, 1001):
            journal.append(U1, D1, Offset(5, seq), frame("x"))
    assert journal.written == 1000
    assert valkey.say("XREVRANGE", STREAM, "+", "-", "COUNT", 1)[0][0] == b"5-1000"
    journal.append(U1, D1, Offset(5, 1001), frame("too late"))
    assert journal.dropped == 1


async def test_stop_ends_in_time_without_redis_and_answers_everybody(caplog: pytest.LogCaptureFixture) -> None:
    async with redis_journal(NOWHERE) as journal:
        journal.append(U1, D1, Offset(5, 1), frame("x"))
        answer = ask(journal)
        async with asyncio.timeout(2):
            await journal.stop(0.3)
            assert await answer is None
            assert await ask(journal) is None
    assert (journal.written, journal.dropped, journal.lag_s) == (0, 1, 0)
    assert "1 writes were not done before the end" in caplog.text


async def test_stop_ends_in_time_with_redis_hung(frail_server: ValkeyServer) -> None:
    async with redis_journal(frail_server.url) as journal:
        frail_server.signal(signal.SIGSTOP)
        try:
            journal.append(U1, D1, Offset(5, 1), frame("x"))
            answer = ask(journal)
            async with asyncio.timeout(2):
                await journal.stop(0.1)
                assert await answer is None
        finally:
            frail_server.signal(signal.SIGCONT)
    assert journal.dropped == 1


async def test_a_journal_that_was_never_started_answers_none_and_ends() -> None:
    client = connect(NOWHERE, CALL_MS)
    journal = RedisJournal(client, JournalLimits(), timeout_s=1, available=lambda: True)
    assert await ask(journal) is None
    await journal.stop(1)
    await client.aclose()


async def test_too_many_reads_are_not_kept_waiting(valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.journal.pending.MOST_READS", 2)
    async with redis_journal(valkey.url) as journal:
        pages = await asyncio.gather(*(ask(journal) for _ in range(3)))
    assert [page is None for page in pages] == [False, False, True]


async def test_a_batch_that_timed_out_is_written_once(frail_server: ValkeyServer) -> None:
    async with valkey_bench(frail_server) as bench:
        bench.open(5)
        assert await bench.told() == "5-0<0-0 | ?"
        frail_server.signal(signal.SIGSTOP)
        try:
            bench.append(5, 1, "one")
            bench.append(5, 2, "two")
            bench.close(5, 3)
            assert await bench.page() is None
        finally:
            frail_server.signal(signal.SIGCONT)
        await bench.store.done()
        await eventually(lambda: journal_of(bench).lag_s == 0)
        assert texts_of(await bench.page()) == ["one", "two"]
        assert await bench.told() == "5-0<0-0 5-1 5-2 | 5-3"
        assert journal_of(bench).outages == 1


async def test_an_outage_is_told_once_without_what_was_said(
    frail_server: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "hub.journal")
    async with valkey_bench(frail_server) as bench:
        await bench.store.go_away()
        for seq in range(1, 4):
            bench.append(5, seq, "a secret")
            assert await bench.page() is None
        assert journal_of(bench).lag_s > 0
        await bench.store.come_back()
        assert await bench.told() == "5-0<? 5-1 5-2 5-3 | ?"
    assert [record.getMessage().partition(",")[0] for record in caplog.records] == [
        "journal: Redis is away",
        "journal: Redis is back",
    ]
    assert "a secret" not in caplog.text


async def test_redis_is_not_asked_before_it_is_said_to_be_available(frail_server: ValkeyServer) -> None:
    available = False
    client = connect(frail_server.url, CALL_MS)
    journal = RedisJournal(client, JournalLimits(), timeout_s=1, available=lambda: available)
    await journal.start()
    frail_server.kill()
    assert await ask(journal) is None
    frail_server.start()
    journal.append(U1, D1, Offset(5, 1), frame("x"))
    await asyncio.sleep(0.6)
    assert await ask(journal) is None
    assert frail_server.say("EXISTS", STREAM) == 0
    available = True
    await eventually(lambda: journal.lag_s == 0)
    assert journal.outages == 1
    await journal.stop(1)
    await client.aclose()


@pytest.mark.parametrize(
    ("refuse", "allow"),
    [
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        ("ACL SETUSER default -xadd", "ACL SETUSER default +xadd"),
    ],
)
async def test_a_redis_that_takes_no_writes_is_away(frail_server: ValkeyServer, refuse: str, allow: str) -> None:
    async with valkey_bench(frail_server) as bench:
        bench.open(5)
        await bench.store.done()
        frail_server.say(*refuse.split())
        bench.append(5, 1)
        assert await bench.page() is None
        frail_server.say(*allow.split())
        await eventually(lambda: journal_of(bench).lag_s == 0)
        assert await bench.told() == "5-0<0-0 5-1 | ?"
        assert journal_of(bench).dropped == 0


async def test_a_lost_opening_is_not_papered_over(valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.journal.pending.MOST_WRITES", 2)
    async with valkey_bench(valkey) as bench:
        bench.open(5)
        bench.close(5, 3)
        await bench.store.done()
        bench.open(6)
        bench.close(6, 4)
        bench.open(7)
        bench.append(7, 1)
        assert journal_of(bench).dropped == 2
        assert await bench.told() == "5-0<0-0 7-0<? 7-1 | ?"


async def test_who_writes_is_told_to_wait_before_anything_is_given_up(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.journal.pending.MOST_WRITES", 20)
    async with valkey_bench(valkey) as bench:
        journal, relieved = journal_of(bench), []
        crowded = []
        bench.open(5)
        for seq in range(1, 12):
            bench.append(5, seq)
            crowded.append(journal.crowded)
        assert crowded == [False] * 9 + [True] * 2
        journal.when_relieved(lambda: relieved.append(journal.lag_s))
        await eventually(lambda: bool(relieved))
        assert (journal.crowded, journal.dropped) == (False, 0)


async def test_nobody_waits_for_a_redis_that_is_away(
    frail_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.journal.pending.MOST_WRITES", 20)
    async with valkey_bench(frail_server) as bench:
        journal, relieved = journal_of(bench), []
        await bench.store.done()
        frail_server.kill()
        for seq in range(1, 16):
            bench.append(5, seq)
        assert journal.crowded
        journal.when_relieved(lambda: relieved.append(True))
        await eventually(lambda: bool(relieved))
        for seq in range(16, 20):
            bench.append(5, seq)
        assert not journal.crowded


async def test_one_askers_bug_is_its_own(valkey: ValkeyServer, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    async with redis_journal(valkey.url) as journal:
        journal.open(U1, D1, Epoch(6), ignore, ignore)
        journal.open(U1, D1, Epoch(5), fail, ignore)
        journal.read(U1, D1, BEGINNING, fail)
        assert await ask(journal) is not None
        assert (journal.written, journal.stale, journal.reads) == (1, 1, 2)
    assert caplog.text.count("what the journal answered met a bug") == 2


async def test_a_bug_costs_one_batch(valkey: ValkeyServer, caplog: pytest.LogCaptureFixture) -> None:
    async with redis_journal(valkey.url) as journal:
        journal.append(U1, D1, Offset(5, 1), b"")
        assert await ask(journal) is None
        journal.append(U1, D1, Offset(5, 2), frame("fine"))
        assert texts_of(await ask(journal)) == ["fine"]
        assert (journal.dropped, journal.outages) == (1, 0)
    assert "the journal met a bug" in caplog.text


async def test_scripts_that_redis_forgot_are_loaded_and_the_order_stays(valkey: ValkeyServer) -> None:
    async with valkey_bench(valkey) as bench:
        for epoch in (5, 6):
            valkey.say("SCRIPT", "FLUSH")
            bench.open(epoch)
            bench.append(epoch, 1)
            bench.close(epoch, 1)
            assert (await bench.told()).endswith(f"{epoch}-1 | {epoch}-1")


async def test_a_journal_with_other_limits_keeps_the_order_from_its_first_batch_on(valkey: ValkeyServer) -> None:
    async with valkey_bench(valkey) as bench, valkey_bench(valkey, JournalLimits(messages=17)) as other:
        bench.open(5)
        assert await bench.told() == "5-0<0-0 | ?"
        other.append(5, 1)
        assert await other.told() == "5-0<0-0 5-1 | ?"


async def test_damaged_entries_are_left_out(valkey: ValkeyServer) -> None:
    async with valkey_bench(valkey) as bench:
        bench.append(5, 1)
        await bench.store.done()
        for name, *fields in (("5-2", "other", "x"), ("5-3", "a", "5-1"), ("6-0", "f", "x"), ("7-0", "a", "nonsense")):
            valkey.say("XADD", STREAM, name, *fields)
        assert await bench.told() == "5-0<? 5-1 7-0<? | ?"
        assert await bench.told(newest=1) in {"5-1 7-0<? | ?", "7-0<? | ?"}
        bench.append(5, 4)
        bench.append(8, 1)
        assert await bench.told() == "5-0<? 5-1 7-0<? 8-0<? 8-1 | ?"


async def test_a_page_of_damaged_entries_is_not_the_end(valkey: ValkeyServer) -> None:
    async with valkey_bench(valkey) as bench:
        for seq in range(1, 300):
            valkey.say("XADD", STREAM, f"5-{seq}", "other", "x")
        bench.append(5, 300)
        assert await bench.told() == "5-300 | ?"


async def test_a_damaged_state_is_made_anew(valkey: ValkeyServer) -> None:
    async with valkey_bench(valkey, JournalLimits(messages=3)) as bench:
        bench.open(5)
        bench.append(5, 1)
        await bench.store.done()
        valkey.say("HSET", STATE, "epoch", "x", "end", "y", "bytes", "z", "oldest", "", "until", "nan")
        assert await bench.told() == "5-0<0-0 5-1 | ?"
        bench.open(4)
        bench.append(5, 2)
        bench.append(5, 3)
        assert await bench.told() == "5-1 5-2 5-3 | ?"
        assert bench.stale == [(4, 5)]


async def test_a_state_that_is_gone_is_made_anew_from_the_stream(valkey: ValkeyServer) -> None:
    async with valkey_bench(valkey) as bench:
        bench.open(5)
        bench.append(5, 1)
        await bench.store.done()
        valkey.say("DEL", STATE)
        assert await bench.told() == "5-0<0-0 5-1 | ?"
        bench.open(4)
        bench.open(6)
        assert await bench.told() == "5-1 6-0<? | ?"
        assert bench.stale == [(4, 5)]


@pytest.mark.parametrize("key", [STREAM, STATE])
async def test_a_key_of_another_program_is_left_alone(valkey: ValkeyServer, key: str) -> None:
    valkey.say("SET", key, "theirs")
    async with valkey_bench(valkey) as bench:
        bench.open(5)
        bench.append(5, 1)
        bench.close(5, 1)
        bench.journal.append(UserId("u2"), D1, Offset(5, 1), frame("of u2"))
        assert await bench.told() == "| ?"
        journal = journal_of(bench)
        assert (journal.written, journal.dropped, journal.outages) == (1, 3, 0)
    assert valkey.say("GET", key) == b"theirs"
    assert sorted(valkey.say("KEYS", "*{u1}*")) == [key.encode()]


async def test_the_keys_expire(valkey: ValkeyServer) -> None:
    async with valkey_bench(valkey, JournalLimits(age_s=16)) as bench:
        bench.open(5)
        bench.append(5, 1)
        await bench.store.done()
        assert 15_000 < ttl(valkey, STREAM) <= 17_000
        assert 29 * 86_400_000 < ttl(valkey, STATE) <= 30 * 86_400_000 + 1000
        valkey.say("HSET", STATE, "until", 1)
        valkey.say("PERSIST", STREAM)
        bench.append(5, 2)
        await bench.store.done()
        assert 15_000 < ttl(valkey, STREAM) <= 17_000


async def test_bytes_are_counted_as_they_come_and_go(valkey: ValkeyServer) -> None:
    async with valkey_bench(valkey, JournalLimits(messages=3)) as bench:
        for seq, text in enumerate(("1", "22", "333", "4444", "äöü"), 1):
            bench.append(5, seq, text)
        await bench.store.done()
        assert valkey.say("HGET", STATE, "bytes") == b"13"
        valkey.say("DEL", STREAM)
        bench.append(5, 6, "666666")
        await bench.store.done()
        assert valkey.say("HGET", STATE, "bytes") == b"6"


async def test_a_large_message_in_a_full_journal_takes_several_calls_to_make_room(valkey: ValkeyServer) -> None:
    async with valkey_bench(valkey, JournalLimits(bytes=1000)) as bench:
        for seq in range(1, 101):
            bench.append(5, seq, "x" * 10)
        bench.append(5, 101, "x" * 1000)
        await bench.store.done()
        assert valkey.say("XLEN", STREAM) == 102 - 64
        bench.append(5, 102, "x")
        assert await bench.told() == "5-102 | ?"


def ttl(valkey: ValkeyServer, key: str) -> int:
    found: Any = valkey.say("PTTL", key)
    assert isinstance(found, int)
    return found


def journal_of(bench: Bench) -> RedisJournal:
    assert isinstance(bench.journal, RedisJournal)
    return bench.journal
