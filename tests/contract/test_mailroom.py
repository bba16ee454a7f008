"""What every mailroom promises: run against Redis' scripts on a real Valkey, a cluster of it, and the one in memory."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import pytest

from actors.ids import DesktopId
from actors.mail import (
    SERVICE,
    KeptReceipt,
    Known,
    MailPage,
    NotStored,
    Receipt,
    Sender,
    Status,
    Stored,
    TooFast,
    nameless_key,
)
from actors.offsets import BEGINNING, Offset
from hub.mail.limits import MailLimits
from hub.mail.lua import MOST_KEPT, PAGE_BYTES, PAGE_LETTERS
from hub.store.client import Client, connect
from tests.support.mail import D1, PHONE, U1, Desk, MemoryDesk, make_letter, redis_desk
from tests.support.presence import CALL_MS, eventually
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.valkey_fixtures",)

SOON_MS = 200  # so long that a letter is stored in time on a machine that stalls
AN_HOUR_MS = 3_600_000


Open = Callable[[MailLimits], AbstractAsyncContextManager[Desk]]


@asynccontextmanager
async def memory_desk(limits: MailLimits) -> AsyncIterator[Desk]:
    yield MemoryDesk(limits)


@pytest.fixture(params=["valkey", "cluster", "memory"])
def open_desk(request: pytest.FixtureRequest) -> Open:
    if request.param == "memory":
        return memory_desk
    client: Client = request.getfixturevalue("client" if request.param == "valkey" else "cluster_client")
    return partial(redis_desk, client)


@pytest.fixture
async def desk(open_desk: Open) -> AsyncIterator[Desk]:
    async with open_desk(MailLimits()) as desk:
        yield desk


def expired_receipt(message: str) -> tuple[Sender, Receipt]:
    return PHONE, Receipt(message, D1, Status.EXPIRED)


async def store(desk: Desk, message: str, text: str = "x") -> Stored:
    answer = await desk.store(make_letter(message, text))
    assert isinstance(answer, Stored)
    return answer


async def messages(desk: Desk, after: Offset = BEGINNING) -> list[str | None]:
    return [letter.message_id for _, letter in await desk.read_all(after)]


# -- storing and reading -------------------------------------------------------------------------------------------


async def test_an_empty_mailbox(desk: Desk) -> None:
    assert await desk.read() == MailPage((), BEGINNING, more=False)


@pytest.mark.parametrize("device", ["p1", None])
@pytest.mark.parametrize("valid_until", [None, 4_102_444_800_000])
@pytest.mark.parametrize("text", ["x", '{"text":"grüße 🚀\u0000|"}', "y" * 70_000])
async def test_a_letter_is_read_as_it_was_stored(
    desk: Desk, device: str | None, valid_until: int | None, text: str
) -> None:
    letter = make_letter("m|:1 é", text, device=device, valid_until=valid_until)
    answer = await desk.store(letter)
    assert isinstance(answer, Stored)
    assert await desk.read() == MailPage(((answer.entry, letter),), answer.entry, more=False)


async def test_every_answer_names_the_entry_before_it_also_when_that_has_left(desk: Desk) -> None:
    first = await store(desk, "1")
    await desk.settle(make_letter("1", "x"))
    second = await store(desk, "2")
    assert (first.previous, second.previous) == (BEGINNING, first.entry)
    assert second.entry > first.entry


async def test_reading_goes_on_behind_an_entry(desk: Desk) -> None:
    places = [(await store(desk, str(number))).entry for number in range(5)]
    assert await messages(desk, places[2]) == ["3", "4"]
    assert await desk.read(places[4]) == MailPage((), places[4], more=False)


async def test_an_emptied_mailbox_still_knows_its_newest_entry(desk: Desk) -> None:
    entry = (await store(desk, "1")).entry
    await desk.settle(make_letter("1", "x"))
    assert await desk.read() == MailPage((), entry, more=False)


async def test_a_page_ends_at_its_most_letters(desk: Desk) -> None:
    for number in range(PAGE_LETTERS + 1):
        await store(desk, str(number))
    page = await desk.read()
    assert (len(page.letters), page.more, page.reached) == (PAGE_LETTERS, True, page.letters[-1][0])
    assert await messages(desk, page.reached) == [str(PAGE_LETTERS)]


async def test_a_page_ends_at_its_most_bytes_but_holds_one_letter(desk: Desk) -> None:
    for number, size in enumerate([PAGE_BYTES - 1, 1, 1, PAGE_BYTES + 1, 1]):
        await store(desk, str(number), "x" * size)
    pages = [await desk.read()]
    while pages[-1].more:
        pages.append(await desk.read(pages[-1].reached))
    assert [[letter.message_id for _, letter in page.letters] for page in pages] == [["0", "1"], ["2"], ["3"], ["4"]]


async def test_mailboxes_are_apart(desk: Desk) -> None:
    await store(desk, "1")
    answer = await desk.store(make_letter("1", "other", desktop="d2"))
    assert isinstance(answer, Stored)
    assert answer.previous == BEGINNING
    assert isinstance(await desk.store(make_letter("1", "other", user="u2")), Stored)
    assert [letter.frame for _, letter in (await desk.read()).letters] == [make_letter("1", "x").frame]
    assert len((await desk.read(desktop=DesktopId("d2"))).letters) == 1


# -- how fast ------------------------------------------------------------------------------------------------------


async def too_fast(desk: Desk, burst: int) -> tuple[int, TooFast]:
    """Store letters until one is too many: after so many, not less than the burst. A machine that stalls lets more."""
    for number in range(1000):
        answer = await desk.store(make_letter(str(number), desktop=f"d{number % 2}", device=["p1", None][number % 2]))
        if isinstance(answer, TooFast):
            assert number >= burst
            return number, answer
    raise AssertionError("the user was never too fast")


async def test_the_phones_of_a_user_together_have_a_pace(open_desk: Open) -> None:
    async with open_desk(MailLimits(rate=2, burst=3)) as desk:
        refused, answer = await too_fast(desk, 3)
        assert 0 < answer.wait_ms <= 500
        await desk.pass_ms(answer.wait_ms)
        assert isinstance(await desk.store(make_letter(str(refused))), Stored)


async def test_what_was_refused_is_not_remembered_and_costs_nothing(open_desk: Open) -> None:
    async with open_desk(MailLimits(rate=0.01, burst=2)) as desk:
        assert await too_fast(desk, 2) == (2, TooFast(pytest.approx(100_000, rel=0.05)))  # type: ignore[arg-type]
        for _ in range(3):
            assert isinstance(await desk.store(make_letter("other")), TooFast)
        assert await messages(desk) == ["1"]
        last = await desk.store(make_letter("other"))
        assert isinstance(last, TooFast)
        assert last.wait_ms <= 100_000


async def test_only_what_is_new_and_a_phones_counts_against_the_pace(open_desk: Open) -> None:
    async with open_desk(MailLimits(rate=0.01, burst=2)) as desk:
        await store(desk, "1")
        for number in range(5):
            assert await desk.store(make_letter("1", "x")) == Known(Status.STORED)
            assert await desk.store(make_letter("1", "y")) is NotStored.OTHER_CONTENT
            assert isinstance(await desk.store(make_letter(f"s{number}", device=SERVICE)), Stored)
            assert isinstance(await desk.store(make_letter("1", user=f"other{number}")), Stored)
        assert await desk.store(make_letter("2", valid_until=1)) is NotStored.EXPIRED
        assert isinstance(await desk.store(make_letter("3")), TooFast)
        assert await desk.store(make_letter("1", "x")) == Known(Status.STORED)


# -- duplicates ----------------------------------------------------------------------------------------------------


async def test_a_duplicate_is_told_what_became_of_the_first(desk: Desk) -> None:
    letter = make_letter()
    await desk.store(letter)
    latest = [await desk.store(letter)]
    for status in (Status.DELIVERED, Status.ACKNOWLEDGED):
        await desk.settle(letter, status)
        latest.append(await desk.store(letter))
    assert latest == [Known(Status.STORED), Known(Status.DELIVERED), Known(Status.ACKNOWLEDGED)]
    assert await messages(desk) == []


async def test_a_key_that_was_used_for_something_else(desk: Desk) -> None:
    await store(desk, "1")
    assert await desk.store(make_letter("1", "y")) is NotStored.OTHER_CONTENT
    assert await messages(desk) == ["1"]


async def test_letters_without_a_name_are_remembered_like_others(desk: Desk) -> None:
    letter = make_letter(key=nameless_key("node/1"))
    assert isinstance(await desk.store(letter), Stored)
    assert await desk.store(letter) == Known(Status.STORED)
    assert await messages(desk) == [None]


async def test_a_copy_that_comes_after_the_outcome_is_not_stored(desk: Desk) -> None:
    letter = make_letter()
    await desk.settle(letter)
    assert await desk.store(letter) == Known(Status.DELIVERED)
    assert await desk.store(make_letter("1", "y")) is NotStored.OTHER_CONTENT
    assert await messages(desk) == []
    assert await desk.acknowledge("1") == PHONE


# -- outcomes ------------------------------------------------------------------------------------------------------


async def test_a_letter_leaves_when_it_is_done(desk: Desk) -> None:
    await store(desk, "1")
    await store(desk, "2")
    await desk.settle(make_letter("1", "x"), done=False)
    assert await messages(desk) == ["1", "2"]
    await desk.settle(make_letter("1", "x"), done=True)
    assert await messages(desk) == ["2"]


@pytest.mark.parametrize("before", [Status.DELIVERED, Status.EXPIRED, Status.ACKNOWLEDGED])
async def test_a_status_never_goes_back(desk: Desk, before: Status) -> None:
    letter = make_letter()
    await desk.store(letter)
    await desk.settle(letter, before, done=False)
    await desk.settle(letter, Status.DELIVERED, done=False)
    assert await desk.store(letter) == Known(before)


async def test_what_expired_may_still_be_acknowledged(desk: Desk) -> None:
    letter = make_letter()
    await desk.store(letter)
    await desk.settle(letter, Status.EXPIRED)
    assert await desk.acknowledge("1") == PHONE
    assert await desk.store(letter) == Known(Status.ACKNOWLEDGED)


@pytest.mark.parametrize("device", ["p1", None])
async def test_an_acknowledgement_names_the_sender_once(desk: Desk, device: str | None) -> None:
    letter = make_letter(device=device)
    await desk.store(letter)
    assert await desk.acknowledge("1") == Sender(U1, letter.device_id)
    assert await desk.acknowledge("1") is None
    assert await desk.acknowledge("never sent") is None
    assert await messages(desk) == []


async def test_what_is_asked_at_once_is_done_and_answered_in_order(desk: Desk) -> None:
    heard: list[str] = []
    letter = make_letter()
    desk.room.store(letter, lambda answer: heard.append(type(answer).__name__))
    desk.room.settle(letter, Status.DELIVERED, done=True, answer=lambda: heard.append("settled"))
    desk.room.store(letter, lambda answer: heard.append(str(answer)))
    desk.room.read(U1, D1, BEGINNING, lambda page: heard.append(str(page and page.letters)))
    assert heard == []
    await desk.kept()
    assert heard == ["Stored", "settled", str(Known(Status.DELIVERED)), "()"]


# -- bounds --------------------------------------------------------------------------------------------------------


async def test_a_mailbox_holds_so_many_letters(open_desk: Open) -> None:
    async with open_desk(MailLimits(messages=2)) as desk:
        await store(desk, "1")
        await store(desk, "2")
        assert await desk.store(make_letter("3", "x")) is NotStored.FULL
        assert await desk.store(make_letter("2", "x")) == Known(Status.STORED)
        await desk.settle(make_letter("1", "x"))
        await store(desk, "3")
        assert await messages(desk) == ["2", "3"]


async def test_a_mailbox_holds_so_many_bytes_of_text(open_desk: Open) -> None:
    async with open_desk(MailLimits(bytes=10)) as desk:
        await store(desk, "1", "é" * 3)
        assert await desk.store(make_letter("2", "x" * 5)) is NotStored.FULL
        await store(desk, "2", "x" * 4)
        await desk.acknowledge("1")
        assert await desk.store(make_letter("3", "x" * 7)) is NotStored.FULL
        await store(desk, "3", "x" * 6)


async def test_what_is_over_in_a_full_mailbox_makes_room_when_it_is_swept(open_desk: Open) -> None:
    async with open_desk(MailLimits(messages=2)) as desk:
        await desk.store(make_letter("1", valid_until=desk.now_ms() + SOON_MS))
        await store(desk, "2")
        await desk.pass_ms(SOON_MS + 2)
        assert await desk.store(make_letter("3")) is NotStored.FULL
        await desk.sweep()
        await store(desk, "3")
        assert desk.told == [expired_receipt("1")]


async def test_only_so_many_are_remembered(open_desk: Open) -> None:
    async with open_desk(MailLimits(messages=2, remembered_messages=3)) as desk:
        for number in range(1, 5):
            await store(desk, str(number))
            await desk.settle(make_letter(str(number), "x"))
        assert await desk.store(make_letter("2", "x")) == Known(Status.DELIVERED)
        assert isinstance(await desk.store(make_letter("1", "x")), Stored)


async def test_what_is_still_in_the_mailbox_is_never_forgotten(open_desk: Open) -> None:
    async with open_desk(MailLimits(messages=2, remembered_messages=2)) as desk:
        await store(desk, "1")
        for number in range(2, 7):
            await desk.settle(make_letter(str(number), "x"))
            assert await desk.store(make_letter("1", "x")) == Known(Status.STORED)


async def test_what_became_of_a_message_is_forgotten_in_time(open_desk: Open) -> None:
    async with open_desk(MailLimits(age_s=0.05, remembered_s=0.05)) as desk:
        await desk.settle(make_letter("1"))
        await desk.pass_ms(60)
        await store(desk, "2")
        assert isinstance(await desk.store(make_letter("1")), Stored)


# -- what is over --------------------------------------------------------------------------------------------------


async def test_a_letter_that_is_over_is_not_stored_and_remembered_as_such(desk: Desk) -> None:
    letter = make_letter(valid_until=desk.now_ms() - 5)
    assert await desk.store(letter) is NotStored.EXPIRED
    assert await desk.store(letter) == Known(Status.EXPIRED)
    assert (await messages(desk), desk.told) == ([], [])


async def test_a_duplicate_is_known_as_such_even_if_it_is_over(desk: Desk) -> None:
    letter = make_letter(valid_until=desk.now_ms() + SOON_MS)
    await desk.store(letter)
    await desk.settle(letter)
    await desk.pass_ms(SOON_MS + 2)
    assert await desk.store(letter) == Known(Status.DELIVERED)


@pytest.mark.parametrize("limits", [MailLimits(), MailLimits(age_s=0.5)])
async def test_reading_takes_out_what_is_over(open_desk: Open, limits: MailLimits) -> None:
    async with open_desk(limits) as desk:
        soon = desk.now_ms() + SOON_MS if limits == MailLimits() else None
        over = make_letter("1", valid_until=soon)
        assert isinstance(await desk.store(over), Stored)
        await desk.pass_ms(510 if soon is None else SOON_MS + 2)
        young = await store(desk, "2")
        assert await desk.read() == MailPage(((young.entry, make_letter("2", "x")),), young.entry, more=False)
        assert desk.told == [expired_receipt("1")]
        assert await desk.store(over) == Known(Status.EXPIRED)


async def test_that_a_letter_expired_is_remembered_from_then_on(open_desk: Open) -> None:
    async with open_desk(MailLimits(age_s=0.5, remembered_s=0.5)) as desk:
        await store(desk, "1")
        await desk.pass_ms(510)
        assert (await desk.read()).letters == ()
        assert await desk.store(make_letter("1", "x")) == Known(Status.EXPIRED)


async def test_a_sweep_tells_of_what_nobody_reads(desk: Desk) -> None:
    for number, wait_ms in enumerate([AN_HOUR_MS, SOON_MS, 3 * SOON_MS]):
        await desk.store(make_letter(str(number), valid_until=desk.now_ms() + wait_ms))
    nameless = make_letter(key=nameless_key("node/1"), valid_until=desk.now_ms() + SOON_MS)
    await desk.store(nameless)
    await desk.pass_ms(SOON_MS + 2)
    await desk.sweep()
    assert desk.told[0] == expired_receipt("1")
    await desk.pass_ms(3 * SOON_MS)
    await desk.sweep()
    assert desk.told == [expired_receipt("1"), expired_receipt("2")]
    assert await messages(desk) == ["0"]
    assert await desk.store(nameless) == Known(Status.EXPIRED)


# -- kept receipts -------------------------------------------------------------------------------------------------


def receipt(number: int, latest: Status | None = None) -> Receipt:
    return Receipt(str(number), D1, Status.DELIVERED if latest is None else Status.DUPLICATE, latest)


def kept_receipts(kept: list[KeptReceipt]) -> list[Receipt]:
    return [each.receipt for each in kept]


async def test_receipts_are_kept_for_a_device_until_they_are_forgotten(desk: Desk) -> None:
    receipts = [receipt(1), receipt(2, Status.STORED), receipt(3)]
    for each in receipts:
        desk.room.keep(PHONE, each)
    kept = await desk.kept()
    assert kept_receipts(kept) == receipts
    desk.room.forget(PHONE, kept[1].entry)
    assert kept_receipts(await desk.kept()) == [receipts[2]]
    desk.room.forget(PHONE, kept[2].entry)
    assert await desk.kept() == []


async def test_devices_are_apart_and_those_without_a_name_together(desk: Desk) -> None:
    nameless = Sender(U1, None)
    desk.room.keep(PHONE, receipt(1))
    desk.room.keep(nameless, receipt(2))
    assert kept_receipts(await desk.kept()) == [receipt(1)]
    assert kept_receipts(await desk.kept(nameless)) == [receipt(2)]


async def test_only_the_newest_receipts_are_kept(desk: Desk) -> None:
    for number in range(MOST_KEPT + 5):
        desk.room.keep(PHONE, receipt(number))
    kept = await desk.kept()
    assert kept_receipts(kept) == [receipt(number) for number in range(5, MOST_KEPT + 5)]


# -- a store that is away ------------------------------------------------------------------------------------------


@dataclass
class Outage:
    """A mailroom whose store can be taken away."""

    desk: Desk
    begin: Callable[[], object]
    end: Callable[[], object]

    async def over(self) -> None:
        self.end()
        await eventually(lambda: self.desk.returns == 1)


@pytest.fixture(params=["valkey", "memory"])
async def outage(request: pytest.FixtureRequest) -> AsyncIterator[Outage]:
    if request.param == "memory":
        desk = MemoryDesk(MailLimits())
        away = partial(setattr, desk.memory, "away")
        yield Outage(desk, partial(away, True), partial(away, False))  # noqa: FBT003
        return
    server: ValkeyServer = request.getfixturevalue("frail_server")
    client = connect(server.url, CALL_MS)
    async with redis_desk(client, timeout_s=0.4) as redis:
        await redis.read()
        yield Outage(redis, server.kill, server.start)
    await client.aclose()


async def test_a_store_that_is_away(outage: Outage) -> None:
    outage.begin()
    desk = outage.desk
    assert await desk.store(make_letter()) is NotStored.AWAY
    assert await desk.read() is None
    assert await desk.acknowledge("1") is None
    desk.room.keep(PHONE, receipt(1))
    assert await desk.kept_if_here() is None
    await desk.settle(make_letter())
    assert desk.returns == 0


async def test_outcomes_of_an_outage_are_written_down_before_anything_else(outage: Outage) -> None:
    desk = outage.desk
    for message in "12":
        await desk.store(make_letter(message))
    desk.room.keep(PHONE, receipt(1))
    [kept] = await desk.kept()
    outage.begin()
    await desk.settle(make_letter("1"))
    await desk.settle(make_letter("3"))
    assert await desk.acknowledge("2") is None
    desk.room.forget(PHONE, kept.entry)
    desk.room.keep(PHONE, receipt(2))
    await outage.over()
    assert (PHONE, Receipt("2", D1, Status.ACKNOWLEDGED)) in desk.told, "nobody could be told meanwhile"
    assert (await desk.read()).letters == ()
    assert await desk.store(make_letter("1")) == Known(Status.DELIVERED)
    assert await desk.store(make_letter("2")) == Known(Status.ACKNOWLEDGED)
    assert await desk.store(make_letter("3")) == Known(Status.DELIVERED)
    assert kept_receipts(await desk.kept()) == [receipt(2)]
