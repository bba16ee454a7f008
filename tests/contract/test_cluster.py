"""What every cluster promises: run against a real Valkey, a real cluster of it, and the twin that tests use."""

from collections.abc import AsyncIterator

import pytest

from actors.ids import UserId
from actors.nodes import Share
from hub.cluster import speaker
from hub.cluster.alone import Alone
from tests.support.cluster import U1, Bench, MemoryBench, enter, share, valkey_bench, word

pytest_plugins = ("tests.support.valkey_fixtures",)

NOBODY = Share(9)


@pytest.fixture(params=["valkey", "cluster", "memory"])
async def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(speaker, "PULSE_S", 0.1)
    if request.param == "memory":
        yield MemoryBench()
    else:
        async with valkey_bench(request.getfixturevalue(request.param)) as bench:
            yield bench


@pytest.fixture(params=["valkey", "memory"])
async def frail_bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """One whose store may go away."""
    if request.param == "memory":
        yield MemoryBench()
    else:
        async with valkey_bench(request.getfixturevalue("frail_server")) as bench:
            yield bench


async def test_who_comes_later_sees_who_came_before_and_never_itself(bench: Bench) -> None:
    a, b = await bench.join("a/1"), await bench.join("b/1")
    assert await enter(bench, a, share(1)) == {}
    assert await enter(bench, b, share(2, "d2", phones=3, device="phone")) == {"a/1": share(1)}
    assert await enter(bench, a, share(2)) == {"b/1": share(2, "d2", phones=3, device="phone")}
    assert await enter(bench, a, share(3), UserId("u2")) == {}


async def test_reading_writes_nothing(bench: Bench) -> None:
    a, b = await bench.join("a/1"), await bench.join("b/1")
    await enter(bench, a, share(1))
    assert await enter(bench, b, None) == {"a/1": share(1)}
    assert await enter(bench, a, None) == {}


async def test_an_empty_share_takes_the_nodes_share_away(bench: Bench) -> None:
    a, b = await bench.join("a/1"), await bench.join("b/1")
    await enter(bench, a, share(1))
    await enter(bench, a, NOBODY)
    assert await enter(bench, b, share(1)) == {}


async def test_of_two_that_enter_at_the_same_moment_one_sees_the_other(bench: Bench) -> None:
    a, b = await bench.join("a/1"), await bench.join("b/1")
    for version in range(1, 21):
        user_id = UserId(f"user{version}")
        a.ask("", share(version), user_id)
        b.ask("", share(version), user_id)
        await bench.until(lambda version=version: len(a.answers) == len(b.answers) == version)  # type: ignore[misc]
        assert a.answers[-1][1] or b.answers[-1][1]


async def test_answers_come_later_in_the_order_of_asking_and_the_last_share_stays(bench: Bench) -> None:
    a, b = await bench.join("a/1"), await bench.join("b/1")
    for version in range(1, 8):
        a.ask(f"first {version}", share(version))
    a.ask("look", None)
    assert a.answers == []
    await bench.until(lambda: bool(a.answers))
    a.ask("last", share(9))
    await bench.until(lambda: len(a.answers) == 9)
    assert [label for label, _ in a.answers] == [*(f"first {version}" for version in range(1, 8)), "look", "last"]
    assert await enter(bench, b, None) == {"a/1": share(9)}


async def test_many_users(bench: Bench) -> None:
    a, b = await bench.join("a/1"), await bench.join("b/1")
    for number in range(400):
        a.ask("", share(number), UserId(f"u{number}"))
    await bench.until(lambda: len(a.answers) == 400)
    for number in range(400):
        b.ask(str(number), None, UserId(f"u{number}"))
    await bench.until(lambda: len(b.answers) == 400)
    assert b.answers == [(str(number), {"a/1": share(number)}) for number in range(400)]


async def test_words_are_heard_in_the_order_of_each_sender(bench: Bench) -> None:
    a, b, c = [await bench.join(name) for name in ("a/1", "b/1", "c/1")]
    for number in range(0, 300, 3):
        a.say(c, number, number + 1, number + 2)
        b.say(c, number, number + 1, number + 2)
        a.say(b, number)
    await bench.until(lambda: len(c.heard(a)) == len(c.heard(b)) == 300 and len(b.heard(a)) == 100)
    assert c.heard(a) == c.heard(b) == list(range(300))
    assert b.heard(a) == list(range(0, 300, 3))
    assert not a.news


async def test_what_was_lost_is_told_before_what_comes_behind_it(bench: Bench) -> None:
    a, b = await bench.join("a/1"), await bench.join("b/1")
    a.say(b, 1)
    await bench.until(lambda: b.heard(a) == [1])
    await bench.lose(a, b, 2, 3)
    a.say(b, 4, 5)
    await bench.until(lambda: b.heard(a) == [1, 4, 5])
    assert b.news == [("a/1", 1), ("missed", "a/1"), ("a/1", 4), ("a/1", 5)]


async def test_the_loss_of_the_first_words_is_noticed(bench: Bench) -> None:
    a, b = await bench.join("a/1"), await bench.join("b/1")
    await bench.lose(a, b, 1)
    a.say(b, 2)
    await bench.until(lambda: len(b.news) == 2)
    assert b.news == [("missed", "a/1"), ("a/1", 2)]


async def test_the_loss_of_the_last_words_is_noticed_once(bench: Bench) -> None:
    a, b = await bench.join("a/1"), await bench.join("b/1")
    a.say(b, 1)
    await bench.until(lambda: b.heard(a) == [1])
    await bench.lose(a, b, 2)
    await bench.until(lambda: len(b.news) == 2)
    assert b.news == [("a/1", 1), ("missed", "a/1")]
    a.say(b, 3)
    await bench.until(lambda: len(b.news) == 3)
    assert b.news[2:] == [("a/1", 3)]


async def test_words_to_nobody_harm_nobody(bench: Bench) -> None:
    a, b = await bench.join("a/1"), await bench.join("b/1")
    c = await bench.join("c/1")
    await bench.kill(c)
    a.say(c, 1)
    a.say(b, 2)
    await bench.until(lambda: b.heard(a) == [2])


async def test_of_a_killed_node_the_others_hear_once_and_its_shares_are_seen_no_more(bench: Bench) -> None:
    a, b, c = [await bench.join(name) for name in ("a/1", "b/1", "c/1")]
    await enter(bench, a, share(1))
    assert await enter(bench, b, share(1, "d2")) == {"a/1": share(1)}
    await enter(bench, c, None)
    await bench.kill(a)
    await bench.until(lambda: ("gone", "a/1") in b.news and ("gone", "a/1") in c.news)
    assert await enter(bench, c, None) == {"b/1": share(1, "d2")}
    assert await enter(bench, b, None) == {}
    assert b.news == c.news == [("gone", "a/1")]


async def test_of_a_node_that_leaves_the_others_hear_too(bench: Bench) -> None:
    a, b = await bench.join("a/1"), await bench.join("b/1")
    await enter(bench, a, share(1))
    await bench.leave(a)
    await bench.until(lambda: b.news == [("gone", "a/1")])
    assert await enter(bench, b, share(1, "d2")) == {}


async def test_a_node_that_was_taken_for_dead_enters_everything_anew(bench: Bench) -> None:
    a, b = await bench.join("a/1"), await bench.join("b/1")
    await enter(bench, a, share(1))
    assert await enter(bench, b, None) == {"a/1": share(1)}
    await bench.lose_lease(a)
    await bench.until(lambda: "anew" in a.news)
    await enter(bench, a, share(1))
    assert await enter(bench, b, None) == {"a/1": share(1)}
    a.say(b, 1)
    await bench.until(lambda: b.heard(a) == [1])
    assert b.news[0] == ("gone", "a/1")


async def test_away_everything_is_answered_none_and_entered_anew_when_it_is_back(frail_bench: Bench) -> None:
    bench = frail_bench
    a, b = await bench.join("a/1"), await bench.join("b/1")
    await enter(bench, a, share(1))
    await enter(bench, b, share(1, "d2"))
    a.say(b, 1)
    await bench.until(lambda: b.heard(a) == [1])
    await bench.go_away()
    assert await enter(bench, a, share(2)) is None
    a.say(b, 2)
    assert await enter(bench, b, share(2, "d2")) is None
    assert await enter(bench, b, None) is None
    await bench.come_back()
    await bench.until(lambda: all("anew" in each.news and ("missed", None) in each.news for each in (a, b)))
    await enter(bench, a, share(2))
    assert await enter(bench, b, share(2, "d2")) == {"a/1": share(2)}
    a.say(b, 3)
    await bench.until(lambda: b.heard(a) == [1, 3])
    assert b.news.index(("missed", "a/1")) < b.news.index(("a/1", 3))
    assert not any(each[0] == "gone" for member in (a, b) for each in member.news if isinstance(each, tuple))


async def test_lost_data_is_entered_anew_and_nobody_is_taken_for_dead(bench: Bench) -> None:
    a, b = await bench.join("a/1"), await bench.join("b/1")
    await enter(bench, a, share(1))
    await enter(bench, b, share(1, "d2"))
    await bench.lose_everything()
    await bench.until(lambda: a.news == b.news == ["anew"])
    await enter(bench, a, share(1))
    assert await enter(bench, b, share(1, "d2")) == {"a/1": share(1)}


async def test_who_is_alone_by_design_is_answered_at_once() -> None:
    alone, answers = Alone(), list[object]()
    alone.enter(U1, share(1), answers.append)
    assert answers == [{}]
    with pytest.raises(AssertionError, match="no node b/1"):
        alone.send(UserId("b/1"), word(1))  # type: ignore[arg-type]
