"""Sweeping: several hubs, big mailboxes, lost sweepers, letters that come meanwhile."""

import time
from collections.abc import Callable

import pytest
from redis.asyncio import Redis

from actors.ids import DesktopId
from actors.mail import Receipt, Sender
from hub.mail import keys
from hub.mail.ledger import Ledger
from hub.mail.limits import MailLimits
from hub.mail.lua import SCANNED
from hub.mail.scripts import MailScripts, build
from hub.mail.sweep import AT_ONCE, LEASE_MS, Sweeper
from hub.store.calls import Calls, Command, Reply
from tests.support.mail import D1, PHONE, U1, make_letter, redis_desk
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.valkey_fixtures",)

SCRIPTS = build(MailLimits())
LEASED = "u1 d1 leased"


class Sweeping:
    """A sweeper that is turned by hand."""

    def __init__(self, client: Redis, scripts: MailScripts = SCRIPTS) -> None:
        self.told: list[tuple[Sender, Receipt]] = []
        self.calls = Calls(client, 5, scripts.all)
        self.ledger = Ledger(lambda sender, receipt: self.told.append((sender, receipt)))
        self.sweeper = Sweeper(self.calls, scripts, self.ledger, 1)

    @property
    def messages(self) -> list[str]:
        return [receipt.message_id for _, receipt in self.told]

    async def whole(self) -> None:
        """Take turns until there is nothing more to do for now."""
        while True:
            await self.sweeper.turn()
            if self.sweeper.due_at > time.monotonic():
                return


async def put(client: Redis, *letters: tuple[str, int | None], desktop: str = D1) -> None:
    """Store letters, each with how many ms it is valid (negative: it has been over for so long)."""
    async with redis_desk(client) as desk:
        for message, valid_ms in letters:
            valid_until = None if valid_ms is None else desk.now_ms() + valid_ms
            await desk.store(make_letter(message, valid_until=valid_until, desktop=desktop))


_LET_RUN_OUT = """
local entries = redis.call('XRANGE', KEYS[1], '-', '+')
redis.call('DEL', KEYS[1])
for i, entry in ipairs(entries) do
  local fields = entry[2]
  if i <= #entries - tonumber(ARGV[1]) then fields[#fields] = '1' end
  redis.call('XADD', KEYS[1], entry[1], unpack(fields))
end
return #entries - tonumber(ARGV[1])
"""


def let_run_out(valkey: ValkeyServer, desktop: str = D1, *, but: int = 0) -> int:
    """Have all letters but the last ones run out, as time would (`v` is their last field); return how many."""
    valkey.say("ZADD", keys.EXPIRING, 1, keys.member(U1, DesktopId(desktop)))
    count: int = valkey.say("EVAL", _LET_RUN_OUT, 1, keys.mailbox(U1, DesktopId(desktop)), but)
    return count


def index(valkey: ValkeyServer) -> dict[str, float]:
    return {member.decode(): score for member, score in valkey.say("ZRANGE", keys.EXPIRING, 0, -1, "WITHSCORES")}


async def test_nothing_is_due(client: Redis, valkey: ValkeyServer) -> None:
    await put(client, ("1", 60_000))
    before = index(valkey)
    sweeping = Sweeping(client)
    await sweeping.whole()
    assert (index(valkey), sweeping.told) == (before, [])


async def test_what_is_over_is_told_and_the_next_one_is_in_the_index(client: Redis, valkey: ValkeyServer) -> None:
    await put(client, ("1", None), ("2", 60_000), ("3", 50_000))
    let_run_out(valkey, but=2)
    sweeping = Sweeping(client)
    await sweeping.whole()
    assert sweeping.messages == ["1"]
    fields = valkey.say("XRANGE", keys.mailbox(U1, D1), "-", "+")
    assert index(valkey) == {"u1 d1": float(fields[1][1][b"v"])}


async def test_an_emptied_mailbox_leaves_the_index(client: Redis, valkey: ValkeyServer) -> None:
    await put(client, ("1", None))
    let_run_out(valkey)
    sweeping = Sweeping(client)
    await sweeping.whole()
    assert (sweeping.told[0][0], sweeping.messages, index(valkey)) == (PHONE, ["1"], {})
    assert sweeping.ledger.expired == 1


async def test_a_big_mailbox_is_gone_through_in_pieces(client: Redis, valkey: ValkeyServer) -> None:
    await put(client, *((str(number), None) for number in range(SCANNED + 20)))
    assert let_run_out(valkey, but=1) == SCANNED + 19
    sweeping = Sweeping(client)
    await sweeping.sweeper.turn()
    assert len(sweeping.told) == SCANNED
    assert index(valkey).keys() == {LEASED}
    await sweeping.whole()
    assert len(sweeping.told) == SCANNED + 19
    assert index(valkey).keys() == {"u1 d1"}


async def test_many_mailboxes_are_taken_some_at_a_time(client: Redis, valkey: ValkeyServer) -> None:
    desktops = [f"d{number}" for number in range(AT_ONCE + 3)]
    for desktop in desktops:
        await put(client, (desktop, None), desktop=desktop)
        let_run_out(valkey, desktop)
    sweeping = Sweeping(client)
    await sweeping.sweeper.turn()
    assert len(sweeping.told) == AT_ONCE
    await sweeping.whole()
    assert sorted(sweeping.messages) == sorted(desktops)


async def test_of_several_hubs_one_tells(client: Redis, valkey: ValkeyServer) -> None:
    await put(client, *((str(number), None) for number in range(10)))
    let_run_out(valkey)
    one, other = Sweeping(client), Sweeping(client)
    await one.whole()
    await other.whole()
    assert (len(one.told), len(other.told)) == (10, 0)


async def test_a_lost_sweepers_mailbox_is_taken_up_when_its_lease_is_over(client: Redis, valkey: ValkeyServer) -> None:
    await put(client, ("1", None))
    let_run_out(valkey)
    before = time.time() * 1000
    valkey.say("EVAL", SCRIPTS.due.text, 1, keys.EXPIRING, AT_ONCE, LEASE_MS)  # and then its hub is killed
    assert before + LEASE_MS - 1000 < index(valkey)[LEASED] < before + LEASE_MS + 10_000
    other = Sweeping(client)
    await other.whole()
    assert other.told == []
    valkey.say("ZADD", keys.EXPIRING, 1, LEASED)
    await other.whole()
    assert (other.messages, index(valkey)) == (["1"], {})


@pytest.mark.parametrize("valid_ms", [30_000, 90_000, None])
async def test_a_letter_that_comes_meanwhile_stays_in_the_index(
    client: Redis, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch, valid_ms: int | None
) -> None:
    await put(client, ("1", None))
    let_run_out(valkey)
    sweeping = Sweeping(client)
    run: Callable[[list[Command]], object] = sweeping.calls.run

    async def run_and_store(commands: list[Command]) -> list[Reply]:
        replies: list[Reply] = await run(commands)  # type: ignore[misc]
        if commands[0][1] == SCRIPTS.expire.sha:
            await put(client, ("2", valid_ms))
        return replies

    monkeypatch.setattr(sweeping.calls, "run", run_and_store)
    await sweeping.sweeper.turn()
    [(member, score)] = index(valkey).items()
    assert member == "u1 d1"
    assert abs(score - time.time() * 1000 - (valid_ms or 86_400_000)) < 10_000


async def test_what_other_programs_put_into_the_index_goes(client: Redis, valkey: ValkeyServer) -> None:
    for member in ("", "nobody", "é é", "a\r\nb c", "u9 d9"):
        valkey.say("ZADD", keys.EXPIRING, 1, member)
    sweeping = Sweeping(client)
    await sweeping.whole()
    assert (index(valkey), sweeping.told) == ({}, [])


async def test_a_mailbox_of_another_program_leaves_the_index(client: Redis, valkey: ValkeyServer) -> None:
    valkey.say("SET", keys.mailbox(U1, D1), "1")
    valkey.say("ZADD", keys.EXPIRING, 1, "u1 d1")
    sweeping = Sweeping(client)
    await sweeping.whole()
    assert (index(valkey), sweeping.told) == ({}, [])
