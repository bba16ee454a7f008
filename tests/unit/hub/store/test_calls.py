import asyncio

import pytest
from redis.asyncio import Redis

from hub.presence.scripts import ALL, OWN
from hub.store.calls import CHUNK, Calls, Command, StoreAway
from hub.store.exchange import pack, pack_all
from hub.store.scan import scan
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.valkey_fixtures",)


@pytest.mark.parametrize(
    ("command", "packed"),
    [
        (("PING",), b"*1\r\n$4\r\nPING\r\n"),
        (("SET", "k", 12), b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n12\r\n"),
        (("ECHO", "é\r\n"), b"*2\r\n$4\r\nECHO\r\n$4\r\n\xc3\xa9\r\n\r\n"),
        (("ECHO", ""), b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n"),
        (("ECHO", b"\xff\r\n"), b"*2\r\n$4\r\nECHO\r\n$3\r\n\xff\r\n\r\n"),
        (("ECHO", "é".encode()), b"*2\r\n$4\r\nECHO\r\n$2\r\n\xc3\xa9\r\n"),
    ],
)
def test_pack(command: Command, packed: bytes) -> None:
    assert pack(command).encode("utf-8", "surrogateescape") == packed


async def test_more_batches_than_allowed_wait_for_their_turn(client: Redis) -> None:
    calls = Calls(client, 5, ALL, most=2)
    async with calls.bounded():
        await asyncio.gather(*(calls.run([("PING",)]) for _ in range(20)))
    assert len(client.connection_pool._available_connections) <= 2


async def test_many_chunks_are_answered_in_order(client: Redis) -> None:
    texts = [str(number) for number in range(CHUNK * 5 + 1)]
    calls = Calls(client, 5, ALL)
    async with calls.bounded():
        assert await calls.run([("ECHO", text) for text in texts]) == [text.encode() for text in texts]


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        pack(("ECHO", "\udcff"))


async def test_bytes_come_back_as_they_were(client: Redis) -> None:
    calls = Calls(client, 5, ())
    every = bytes(range(256))
    async with calls.bounded():
        assert await calls.run([("ECHO", every), ("ECHO", "é"), ("ECHO", every[::-1])]) == [
            every,
            "é".encode(),
            every[::-1],
        ]


async def test_one_server_is_its_own_master(client: Redis, valkey: ValkeyServer) -> None:
    valkey.say("HSET", "hub:h", "f", "v")
    valkey.say("SET", "hub:s", "v")
    calls = Calls(client, 5, ())
    async with calls.bounded():
        assert await calls.on_every_master(("DBSIZE",)) == [2]
    assert [page async for page in scan(calls, "hub:*", "hash")] == [["hub:h"]]


async def test_nothing_to_do_is_no_call() -> None:
    client = Redis(host="nowhere.invalid")
    assert await Calls(client, 1, ALL).run([]) == []


async def test_a_forgotten_script_is_loaded_and_the_rest_is_not_repeated(client: Redis, valkey: ValkeyServer) -> None:
    valkey.say("SCRIPT", "FLUSH")
    calls = Calls(client, 5, ALL)
    own: Command = ("EVALSHA", OWN.sha, 1, "hub:owner:d", "u", 4_102_444_800_001)
    async with calls.bounded():
        assert await calls.run([("INCR", "n"), own, ("INCR", "n"), own]) == [1, 1, 2, 1]
    assert valkey.say("GET", "hub:owner:d") == b"u"


async def test_a_wrong_type_stands_among_the_answers(client: Redis, valkey: ValkeyServer) -> None:
    valkey.say("SET", "k", "v")
    calls = Calls(client, 5, ALL)
    async with calls.bounded():
        wrong, right = await calls.run([("HGETALL", "k"), ("GET", "k")])
    assert "WRONGTYPE" in str(wrong)
    assert right == b"v"


async def test_any_other_refusal_is_an_outage(client: Redis) -> None:
    calls = Calls(client, 5, ALL)
    with pytest.raises(StoreAway, match="unknown command"):
        async with calls.bounded():
            await calls.run([("NO-SUCH-COMMAND",)])


async def test_no_argument_of_a_command_is_in_the_text_of_an_outage(client: Redis) -> None:
    """Redis repeats those of a command that it doesn't know, and some are what people wrote."""
    calls = Calls(client, 5, ALL)
    with pytest.raises(StoreAway) as raised:
        async with calls.bounded():
            await calls.run([("NO-SUCH-COMMAND", "what people wrote")])
    assert "what people wrote" in str(raised.value.__cause__)
    assert str(raised.value) == "ResponseError: unknown command 'NO-SUCH-COMMAND'"


async def test_one_batch_has_a_deadline_of_its_own(client: Redis) -> None:
    assert await Calls(client, 5, ()).ask([("ECHO", "a"), ("ECHO", "b")]) == [b"a", b"b"]
    with pytest.raises(StoreAway, match=r"within 0\.05 s"):
        await Calls(client, 0.05, ()).ask([("BLPOP", "nothing", 5)])


async def test_the_deadline_holds_for_all_inside(client: Redis, valkey: ValkeyServer) -> None:
    calls = Calls(client, 0.05, ALL)
    with pytest.raises(StoreAway, match=r"within 0\.05 s"):
        async with calls.bounded():
            await calls.run([("BLPOP", "nothing", 5)])


@pytest.mark.parametrize("size", [0, 511, 512, 5000])
def test_a_batch_is_packed_as_its_commands_are(size: int) -> None:
    body = bytes(range(256)) * 20
    commands: list[Command] = [
        ("PING",),
        ("SPUBLISH", "hub:node:é", body[:size]),
        ("ECHO", "x"),
        ("SET", "k", body[:size]),
    ]
    one_by_one = b"".join(pack(command).encode("utf-8", "surrogateescape") for command in commands)
    assert b"".join(pack_all(commands)) == one_by_one
