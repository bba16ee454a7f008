"""Words from node to node over a real Valkey's channels."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from actors.ids import DesktopId, Epoch, NodeId
from actors.nodes import Gone, Shared, Word
from hub.cluster import keys, listener, speaker
from hub.cluster.words import encode_batch, encode_word
from tests.support.cluster import U1, Member, ValkeyBench, share, valkey_bench, word
from tests.support.presence import CALL_MS, eventually
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.valkey_fixtures",)


@pytest.fixture
async def bench(valkey: ValkeyServer) -> AsyncIterator[ValkeyBench]:
    async with valkey_bench(valkey) as bench:
        yield bench


@pytest.fixture
async def frail_bench(frail_server: ValkeyServer) -> AsyncIterator[ValkeyBench]:
    async with valkey_bench(frail_server) as bench:
        yield bench


async def pair(bench: ValkeyBench) -> tuple[Member, Member]:
    return await bench.join("a/1"), await bench.join("b/1")


def tell(server: ValkeyServer, to: Member, payload: bytes) -> None:
    """Publish something past a speaker."""
    assert server.say("SPUBLISH", keys.channel(to.node_id), payload) == 1  # type: ignore[arg-type]


async def test_all_that_one_turn_has_for_a_node_goes_in_one_publish(bench: ValkeyBench) -> None:
    a, b = await pair(bench)
    a.say(b, *range(100))
    await bench.until(lambda: len(b.heard(a)) == 100)
    said, heard = bench.nodes[a.node_id].speaker, bench.nodes[b.node_id].listener
    assert (said.published, said.published_words) == (1, 100)
    assert (heard.heard, heard.heard_words) == (1, 100)
    assert bench.nodes[a.node_id].counts()["published_words"] == bench.nodes[b.node_id].counts()["heard_words"] == 100
    assert said.published_bytes == len(encode_batch(a.node_id, 1, [encode_word(word(each)) for each in range(100)]))


async def test_a_node_that_is_alone_or_silent_publishes_nothing(
    bench: ValkeyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speaker, "PULSE_S", 0.02)
    a, b = await pair(bench)
    said, heard = bench.nodes[a.node_id].speaker, bench.nodes[b.node_id].listener
    await asyncio.sleep(0.1)
    assert said.published == 0
    a.say(b, 1)
    await bench.until(lambda: heard.heard == 2)
    await asyncio.sleep(0.1)
    assert said.published == heard.heard == 2  # the word, and one pulse
    assert said.published_words == 1


async def test_a_node_notices_its_loss_while_others_are_spoken_to_without_pause(
    bench: ValkeyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speaker, "PULSE_S", 0.05)
    a, b = await pair(bench)
    c = await bench.join("c/1")
    await bench.lose(a, c, 1)

    async def speak() -> None:
        while True:
            a.say(b, 1)
            await asyncio.sleep(0)

    speaking = asyncio.create_task(speak())
    await bench.until(lambda: c.news == [("missed", "a/1")])
    speaking.cancel()


async def test_a_node_that_stops_tells_how_far_it_was(bench: ValkeyBench) -> None:
    a, b = await pair(bench)
    await bench.lose(a, b, 1)
    await bench.leave(a)
    await bench.until(lambda: b.news[:1] == [("missed", "a/1")])


async def test_batches_that_nobody_hears_are_counted(bench: ValkeyBench) -> None:
    a, b = await pair(bench)
    await bench.kill(b)
    a.say(b, 1)
    await bench.until(lambda: bench.nodes[a.node_id].speaker.unheard == 1)


async def test_what_cannot_be_read_is_counted_and_passed_over(bench: ValkeyBench, valkey: ValkeyServer) -> None:
    a, b = await pair(bench)
    tell(valkey, b, b"noise")
    tell(valkey, b, encode_batch(NodeId("x/1"), 1, [encode_word(word(1)), b"\x91\x63"]))
    a.say(b, 1)
    await bench.until(lambda: b.heard(a) == [1])
    heard = bench.nodes[b.node_id].listener
    assert (heard.malformed, heard.unknown) == (1, 1)
    assert b.news[0] == ("x/1", 1)


async def test_what_comes_twice_is_heard_once(bench: ValkeyBench, valkey: ValkeyServer) -> None:
    a, b = await pair(bench)
    for number in (1, 2, 1, 2, 3):
        tell(valkey, b, encode_batch(a.node_id, number, [encode_word(word(number))]))
    await bench.until(lambda: b.heard(a) == [1, 2, 3])
    assert ("missed", "a/1") not in b.news


async def test_of_a_dead_node_that_is_heard_late_gone_is_told_later(bench: ValkeyBench, valkey: ValkeyServer) -> None:
    _, b = await pair(bench)
    tell(valkey, b, encode_batch(NodeId("dead/1"), 1, [encode_word(word(1))]))
    await bench.until(lambda: b.news == [("dead/1", 1), ("gone", "dead/1")])


async def test_after_a_cut_anything_may_be_lost_and_all_is_entered_anew(
    bench: ValkeyBench, valkey: ValkeyServer
) -> None:
    a, b = await pair(bench)
    a.say(b, 1)
    await bench.until(lambda: b.heard(a) == [1])
    valkey.say("CLIENT", "KILL", "TYPE", "PUBSUB")
    await bench.until(lambda: "anew" in b.news)
    assert b.news == [("a/1", 1), ("missed", None), "anew"]
    a.say(b, 2)
    await bench.until(lambda: b.heard(a) == [1, 2])
    assert bench.nodes[b.node_id].listener.outages == 1


async def test_while_redis_is_away_words_are_dropped_and_told_when_it_is_back(
    frail_bench: ValkeyBench, frail_server: ValkeyServer
) -> None:
    a, b = await pair(frail_bench)
    said = frail_bench.nodes[a.node_id].speaker
    frail_server.kill()
    a.say(b, 1)
    await frail_bench.until(lambda: said.outages == 1)
    a.say(b, 2, 3)
    assert said.dropped == 2  # and the first was lost under way
    frail_server.start()
    await frail_bench.until(lambda: ("missed", None) in b.news)
    await frail_bench.until(lambda: not said._away)
    a.say(b, 4)
    await frail_bench.until(lambda: b.heard(a) == [4])
    assert ("missed", "a/1") in b.news
    assert said.outages == 1


async def test_what_tells_of_connections_that_are_over_is_said_when_redis_is_back(
    frail_bench: ValkeyBench, frail_server: ValkeyServer
) -> None:
    a, b = await pair(frail_bench)
    said = frail_bench.nodes[a.node_id].speaker
    over = [Shared(U1, share(n), (Gone(DesktopId("d1"), Epoch(n), 0, "lost"),)) for n in (1, 2)]
    frail_server.say("CLIENT", "PAUSE", 2 * CALL_MS)
    a.cluster.send(b.node_id, over[0])
    await frail_bench.until(lambda: said.outages == 1)
    a.cluster.send(b.node_id, over[1])
    a.cluster.send(b.node_id, Shared(U1, share(3), ()))
    await frail_bench.until(lambda: b.words[-2:] == over)
    a.cluster.send(b.node_id, word(4))
    await frail_bench.until(lambda: b.words[-3:] == [*over, word(4)])


class _Poisoned(list[object]):
    def append(self, item: object) -> None:
        if item == ("a/1", 13):
            raise RuntimeError("injected: a bug")
        super().append(item)


async def test_a_bug_in_hearing_one_word_keeps_no_other(bench: ValkeyBench, caplog: pytest.LogCaptureFixture) -> None:
    a, b = await pair(bench)
    b.news = _Poisoned()
    a.say(b, 1, 13, 2)
    await bench.until(lambda: b.heard(a) == [1, 2])
    assert "a word of another node met a bug" in caplog.text


async def test_a_word_that_cannot_be_encoded_keeps_no_other(bench: ValkeyBench) -> None:
    a, b = await pair(bench)
    a.cluster.send(b.node_id, word(2**70))
    a.say(b, 1)
    await bench.until(lambda: b.heard(a) == [1])
    assert bench.nodes[a.node_id].speaker.dropped == 1
    assert b.news[0] == ("missed", "a/1")


async def test_others_have_their_turn_while_much_is_heard(bench: ValkeyBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "TURN_S", 0.0)
    a, b = await pair(bench)
    turns: list[int] = []
    heard = b.heard

    def hear(sender: NodeId, said: Word) -> None:
        asyncio.get_running_loop().call_soon(lambda: turns.append(len(heard(a))))
        b.news.append((str(sender), len(b.news)))

    bench.nodes[b.node_id].listener._hear = hear
    a.say(b, *range(5))
    await bench.until(lambda: len(turns) == 5)
    assert turns == [1, 2, 3, 4, 5]


async def test_what_waits_while_a_round_trip_is_under_way_goes_with_the_next(bench: ValkeyBench) -> None:
    a, b = await pair(bench)
    said = bench.nodes[a.node_id].speaker
    a.say(b, 1)
    await asyncio.sleep(0)  # the publish is under way
    await asyncio.sleep(0)
    a.say(b, 2)
    a.say(b, 3)
    await bench.until(lambda: b.heard(a) == [1, 2, 3])
    assert said.published == 2


async def test_a_word_for_several_nodes_is_encoded_once(bench: ValkeyBench, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = await pair(bench)
    c = await bench.join("c/1")
    encoded: list[Word] = []

    def encode(said: Word) -> bytes:
        encoded.append(said)
        return encode_word(said)

    monkeypatch.setattr(speaker, "encode_word", encode)
    said = word(1)
    a.cluster.send(b.node_id, said)
    a.cluster.send(c.node_id, said)
    await bench.until(lambda: b.heard(a) == c.heard(a) == [1])
    assert encoded == [said]
    await eventually(lambda: bench.nodes[a.node_id].speaker._latest[0] is None)
