"""A mailbox through anything that may happen to it: nothing is lost, nothing comes twice, every receipt is right.

The same machine drives the scripts on a real Valkey and the mailroom in memory.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from actors.mail import (
    SERVICE,
    KeptReceipt,
    Known,
    Letter,
    NotStored,
    Receipt,
    Sender,
    Status,
    StoreAnswer,
    Stored,
    TooFast,
    message_id_of,
    message_key,
    nameless_key,
)
from actors.offsets import BEGINNING, Offset
from hub.frames import text_of
from hub.mail import keys
from hub.mail.limits import MailLimits
from hub.store.calls import Calls, Command, Reply
from hub.store.client import Client, connect
from tests.support.mail import D1, PHONE, U1, Desk, MemoryDesk, RedisDesk, make_letter
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.valkey_fixtures",)

LIMITS = MailLimits(messages=4, bytes=12, rate=1 / 86_400, burst=8)
PATIENCE_S = 20  # a machine that stalls is no counter-example
SOON_MS = 3
AN_HOUR_MS = 3_600_000
ORDER = [Status.STORED, Status.DELIVERED, Status.EXPIRED, Status.ACKNOWLEDGED]

Result = TypeVar("Result")

letter_keys = st.sampled_from([*map(message_key, "abcdef"), nameless_key("n")])
texts = st.sampled_from(["x", "é", "12345"])
devices = st.sampled_from(["p1", None, SERVICE])
outcomes = st.sampled_from([Status.DELIVERED, Status.EXPIRED, Status.ACKNOWLEDGED])


@dataclass
class Lying:
    """A letter in the mailbox; `over`: its time is up."""

    entry: Offset
    letter: Letter
    over: bool = False


@dataclass
class Outcome:
    status: Status
    letter: Letter


class MailboxMachine(RuleBasedStateMachine):
    """Asks one thing after another, and foretells every answer."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.box: list[Lying] = []
        self.outcomes: dict[str, Outcome] = {}
        self.last = BEGINNING
        self.allowance = LIMITS.burst
        self.told: list[tuple[Sender, Receipt]] = []
        self.kept: list[KeptReceipt] = []
        self.receipts = 0
        self.desk = self.open()

    def open(self) -> Desk:
        return MemoryDesk(LIMITS)

    def wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.loop.close()

    # -- storing -----------------------------------------------------------------------------------------------------

    @rule(key=letter_keys, text=texts, device=devices, valid=st.booleans())
    def store(self, key: str, text: str, device: str | None, valid: bool) -> None:
        valid_until = self.desk.now_ms() + AN_HOUR_MS if valid else None
        self._store(make_letter(text=text, device=device, key=key, valid_until=valid_until))

    @rule(key=letter_keys, text=texts)
    def store_what_is_over(self, key: str, text: str) -> None:
        letter = make_letter(text=text, key=key, valid_until=self.desk.now_ms() - 5)
        foretold = self._known(letter)
        answer = self.wait(self.desk.store(letter))
        if self._too_fast(letter):
            assert isinstance(answer, TooFast)
            return
        assert answer == (foretold or NotStored.EXPIRED)
        if foretold is None:
            self.outcomes[key] = Outcome(Status.EXPIRED, letter)

    @rule(key=letter_keys, text=texts)
    def store_and_let_run_out(self, key: str, text: str) -> None:
        letter = make_letter(text=text, key=key, valid_until=self.desk.now_ms() + SOON_MS)
        self._store(letter)
        self.wait(self.desk.pass_ms(SOON_MS + 2))
        for lying in self.box:
            lying.over |= lying.letter is letter

    def _store(self, letter: Letter) -> None:
        answer = self.wait(self.desk.store(letter))
        if self._too_fast(letter):
            assert isinstance(answer, TooFast)
            return
        if answer is NotStored.EXPIRED:  # a real one's time may be over before it is there
            assert letter.valid_until is not None
            assert letter.valid_until < self.desk.now_ms()
            assert self._known(letter) is None
            self.outcomes[letter.key] = Outcome(Status.EXPIRED, letter)
            return
        foretold = self._known(letter) or self._refused(letter)
        if foretold is not None:
            assert answer == foretold
            return
        assert isinstance(answer, Stored)
        assert answer.previous == self.last < answer.entry
        self.last = answer.entry
        self.box.append(Lying(answer.entry, letter))
        self.outcomes[letter.key] = Outcome(Status.STORED, letter)

    def _known(self, letter: Letter) -> StoreAnswer | None:
        known = self.outcomes.get(letter.key)
        if known is None:
            return None
        same = known.letter.fingerprint == letter.fingerprint
        return Known(known.status) if same else NotStored.OTHER_CONTENT

    def _too_fast(self, letter: Letter) -> bool:
        """Whether it is one too many; else it is counted, whatever becomes of it, if it is new and a phone's."""
        if letter.key in self.outcomes or letter.device_id == SERVICE:
            return False
        self.allowance -= 1
        return self.allowance < 0

    def _refused(self, letter: Letter) -> StoreAnswer | None:
        return NotStored.FULL if self._full(letter) else None

    def _full(self, letter: Letter) -> bool:
        return len(self.box) == LIMITS.messages or self.size + len(text_of(letter.frame)) > LIMITS.bytes

    @property
    def size(self) -> int:
        return sum(len(text_of(lying.letter.frame)) for lying in self.box)

    def _run_out(self, after: Offset = BEGINNING) -> None:
        for lying in [each for each in self.box if each.over and each.entry > after]:
            self.box.remove(lying)
            letter = lying.letter
            self.outcomes[letter.key].status = Status.EXPIRED
            message_id = message_id_of(letter.key)
            if message_id is not None:
                receipt = Receipt(message_id, D1, Status.EXPIRED)
                self.told.append((Sender(U1, letter.device_id), receipt))

    # -- reading -----------------------------------------------------------------------------------------------------

    @rule(skipped=st.integers(0, 4))
    def read(self, skipped: int) -> None:
        after = self.box[skipped].entry if skipped < len(self.box) else BEGINNING
        page = self.wait(self.desk.read(after))
        self._run_out(after)
        assert list(page.letters) == [(each.entry, each.letter) for each in self.box if each.entry > after]
        assert (page.reached, page.more) == (self.last, False)

    @rule()
    def sweep(self) -> None:
        self.wait(self.desk.sweep())
        self._run_out()

    # -- outcomes ----------------------------------------------------------------------------------------------------

    @rule(key=letter_keys, status=outcomes, done=st.booleans())
    def settle(self, key: str, status: Status, done: bool) -> None:
        known = self.outcomes.get(key)
        if known is None:
            self.outcomes[key] = known = Outcome(status, make_letter(key=key, text="x"))
        known.status = max(known.status, status, key=ORDER.index)
        self.wait(self.desk.settle(known.letter, status, done=done))
        if done:
            self._leave(key)

    @rule(key=letter_keys)
    def acknowledge(self, key: str) -> None:
        message_id, known = message_id_of(key), self.outcomes.get(key)
        if message_id is None:
            return
        sender = self.wait(self.desk.acknowledge(message_id))
        if known is None or known.status is Status.ACKNOWLEDGED:
            assert sender is None
            return
        assert sender == Sender(U1, known.letter.device_id)
        known.status = Status.ACKNOWLEDGED
        self._leave(key)

    def _leave(self, key: str) -> None:
        self.box = [each for each in self.box if each.letter.key != key]

    # -- kept receipts -----------------------------------------------------------------------------------------------

    @rule(forgotten=st.integers(0, 3))
    def keep_and_forget(self, forgotten: int) -> None:
        self.receipts += 1
        receipt = Receipt(str(self.receipts), D1, Status.DELIVERED)
        self.desk.room.keep(PHONE, receipt)
        kept = self.wait(self.desk.kept())
        assert [each.receipt for each in kept] == [*(each.receipt for each in self.kept), receipt]
        self.kept = kept
        if 0 < forgotten <= len(kept):
            self.desk.room.forget(PHONE, kept[forgotten - 1].entry)
            del self.kept[:forgotten]

    # -- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def senders_were_told(self) -> None:
        assert self.desk.told == self.told

    @invariant()
    def bounds_are_kept(self) -> None:
        assert len(self.box) <= LIMITS.messages
        assert self.size <= LIMITS.bytes


class ValkeyMailboxMachine(MailboxMachine):
    """The same on a real Valkey, whose keys are looked at too; now and then the hub is another one."""

    server: ClassVar[ValkeyServer]

    def open(self) -> Desk:
        self.server.say("FLUSHALL")
        return self.wait(self._open())

    async def _open(self) -> Desk:
        self.client: Client = connect(self.server.url, PATIENCE_S * 1000)
        return await self._start()

    async def _start(self) -> RedisDesk:
        self.redis_desk = RedisDesk(self.client, LIMITS, timeout_s=PATIENCE_S)
        await self.redis_desk.redis.start()
        return self.redis_desk

    @rule()
    def restart(self) -> None:
        self.wait(self.redis_desk.redis.stop(PATIENCE_S))
        self.told.clear()
        self.desk = self.wait(self._start())

    def teardown(self) -> None:
        self.wait(self.redis_desk.redis.stop(PATIENCE_S))
        self.wait(self.client.aclose())
        super().teardown()

    @invariant()
    def redis_counts_what_lies_there(self) -> None:
        mailbox, receipts, remembered = self.wait(self._look())
        found = dict(zip(receipts[::2], receipts[1::2], strict=True))
        assert mailbox == len(self.box)
        assert int(found.pop(b"bytes", 0)) == self.size
        assert found.pop(b"last", b"0-0").decode() == str(self.last)
        assert {key.decode() for key in found} == {key.decode() for key in remembered} == set(self.outcomes)

    async def _look(self) -> list[Reply]:
        names = keys.mailbox(U1, D1), keys.receipts(U1, D1), keys.remembered(U1, D1)
        commands: list[Command] = [("XLEN", names[0]), ("HGETALL", names[1]), ("ZRANGE", names[2], 0, -1)]
        return await Calls(self.client, PATIENCE_S, ()).run(commands)


def test_in_memory() -> None:
    run_state_machine_as_test(MailboxMachine, settings=settings(max_examples=40, stateful_step_count=40, deadline=None))


def test_on_a_real_valkey(valkey: ValkeyServer) -> None:
    ValkeyMailboxMachine.server = valkey
    run_state_machine_as_test(
        ValkeyMailboxMachine, settings=settings(max_examples=15, stateful_step_count=30, deadline=None)
    )
