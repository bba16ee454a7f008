"""Whatever desktops, phones, hub and store do: a phone that comes back gets what there is, and the truth about it."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Protocol
from unittest.mock import patch

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from actors.closing import CloseReason
from actors.ids import DesktopId, Epoch, UserId
from actors.journal import JournalPage, Written
from actors.messages import Envelope, Label, Notice
from actors.offsets import BEGINNING, Offset, parse_offset
from actors.order import Followed
from actors.policy import Policy
from actors.ports import Journal, OfEpoch
from actors.post import PostOffice
from actors.routes import MobileRoute
from actors.supervisor import Supervisor
from hub.frames import text_frame, text_of
from hub.journal.journal import RedisJournal
from hub.journal.limits import JournalLimits
from hub.store.client import Client, connect
from tests.support.actors import FakeTransport, PlainCodec
from tests.support.memory_journal import Kept, MemoryJournal, Place
from tests.support.peers import Peer, World
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.valkey_fixtures",)

PIECE = 3
MANY = 1000
KINDS = ("agent:stream", "agent:response", "agent:status")
users = st.sampled_from(["u1", "u1", "u1", "u2"])
desktops = st.sampled_from(["d1", "d1", "d2"])
patience = st.sampled_from([None, None, 0, 1, 2, 4])
starts = st.one_of(st.none(), st.integers(0, 6), st.integers(0, 40))


class FramedCodec(PlainCodec):
    """Plain texts in frames, as the journal takes them; notices tell where their desktop stands."""

    def to_mobile(self, envelope: Envelope, stamp: bytes, seq: int) -> bytes:
        return text_frame(super().to_mobile(envelope, stamp, seq))

    def notice(self, notice: Notice, offset: Offset | None = None) -> bytes:
        told = json.loads(super().notice(notice))
        return text_frame(json.dumps({**told, "offset": str(offset)} if offset else told).encode())

    def label(self, frame: bytes) -> Label:
        return super().label(text_of(frame))


# -- what outlives a hub -------------------------------------------------------------------------------------------


class Ground(Protocol):
    """A store, and the journals that hubs have on it one after the other."""

    may_go_away: bool

    def journal(self, world: World) -> Journal:
        """Begin a new hub's journal; the one before it is gone without a word."""

    def settle(self, world: World) -> None:
        """Let everybody have their turns until nothing is left to do."""

    def kept(self, place: Place) -> list[Offset]:
        """Offsets of the messages that the store holds."""


class MemoryGround:
    """The twin's memory."""

    may_go_away = True

    def __init__(self) -> None:
        self._kept: dict[Place, Kept] = {}
        self.limits = JournalLimits()

    def journal(self, world: World) -> MemoryJournal:
        journal = MemoryJournal(world.scheduler, world.clock, self.limits)
        journal._kept = self._kept
        return journal

    def settle(self, world: World) -> None:
        world.scheduler.settle()

    def kept(self, place: Place) -> list[Offset]:
        kept = self._kept.get(place)
        return [] if kept is None else [entry.offset for entry, _ in kept.written if isinstance(entry, Written)]

    def close(self) -> None:
        """Nothing to give back."""


class CountingJournal:
    """A journal that knows how often it was asked."""

    def __init__(self, journal: RedisJournal) -> None:
        self._journal = journal
        self.asked = 0
        self.crowded = False

    def open(self, user_id: UserId, desktop_id: DesktopId, epoch: Epoch, stale: OfEpoch, behind: OfEpoch) -> None:
        self.asked += 1
        self._journal.open(user_id, desktop_id, epoch, stale, behind)

    def append(self, user_id: UserId, desktop_id: DesktopId, offset: Offset, frame: bytes) -> None:
        self.asked += 1
        self._journal.append(user_id, desktop_id, offset, frame)

    def close(self, user_id: UserId, desktop_id: DesktopId, offset: Offset) -> None:
        self.asked += 1
        self._journal.close(user_id, desktop_id, offset)

    def when_relieved(self, act: Callable[[], object]) -> None:
        self._journal.when_relieved(act)

    def read(
        self,
        user_id: UserId,
        desktop_id: DesktopId,
        after: Offset,
        answer: Callable[[JournalPage | None], None],
        *,
        newest: int | None = None,
    ) -> None:
        self.asked += 1
        self._journal.read(user_id, desktop_id, after, answer, newest=newest)


PATIENT_MS = 20_000
"""A machine that is busy with other tests is no outage."""


class ValkeyGround:
    """A real one. The loop runs while the actors' hand-turned world waits, and only then."""

    may_go_away = False

    def __init__(self, server: ValkeyServer) -> None:
        server.say("FLUSHALL")
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._running: tuple[RedisJournal, Client] | None = None
        self._asked: CountingJournal
        self.limits = JournalLimits()

    def journal(self, world: World) -> CountingJournal:
        self._run(self._stop())
        self._asked = CountingJournal(self._run(self._start()))
        return self._asked

    def settle(self, world: World) -> None:
        before = -1
        while before != self._asked.asked:
            before = self._asked.asked
            world.scheduler.settle()
            if self._asked.asked or before:
                self._run(self._done())
            world.scheduler.settle()

    def kept(self, place: Place) -> list[Offset]:
        user_id, desktop_id = place
        names = [
            name.decode() for name, _ in self._server.say("XRANGE", f"hub:{{{user_id}}}:journal:{desktop_id}", "-", "+")
        ]
        return [offset for offset in map(parse_offset, names) if offset is not None and offset.seq]

    def close(self) -> None:
        self._run(self._stop())
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)

    async def _start(self) -> RedisJournal:
        client = connect(self._server.url, PATIENT_MS)
        journal = RedisJournal(client, self.limits, timeout_s=PATIENT_MS / 1000, available=lambda: True)
        await journal.start()
        self._running = journal, client
        return journal

    async def _stop(self) -> None:
        if self._running is not None:
            journal, client = self._running
            await journal.stop(PATIENT_MS / 1000)
            assert journal.outages == 0, "outages are the twin's"
            await client.aclose()

    async def _done(self) -> None:
        """Everything that was asked before is done."""
        assert self._running is not None
        answer: asyncio.Future[JournalPage | None] = self._loop.create_future()
        self._running[0].read(UserId("u1"), DesktopId("probe"), BEGINNING, answer.set_result)
        async with asyncio.timeout(5):
            assert await answer is not None


# -- the model -----------------------------------------------------------------------------------------------------


class Socket(FakeTransport):
    """A phone that reads so many batches and then no more, until it reads again. None: it reads all."""

    reads: int | None = None

    def write(self, frames: Any) -> None:
        super().write(frames)
        if self.reads is not None:
            self.reads -= 1
            self.writable = self.reads > 0

    def texts(self) -> Iterator[dict[str, Any]]:
        """What came since the last look."""
        batches, self.batches = self.batches, []
        return (json.loads(text_of(frame)) for batch in batches for frame in batch)


@dataclass
class Link:
    """A desktop's connection."""

    peer: Peer
    place: Place
    epoch: int
    seq: int = 0


@dataclass
class Watch:
    """How one phone follows one desktop.

    Attributes:
        after: From where it resumes; None: it hears what comes.
        joined: How much had been said when it became a listener.
        required: What there was to be had when it did.
        made_up: Whether no desktop ever stood where it resumes from.
        away: Whether the store was away meanwhile.
        got: What it heard.
        end: What `resumed` said, and how much it had heard before.
    """

    after: Offset | None
    joined: int | None = None
    required: set[Offset] = field(default_factory=set)
    made_up: bool = False
    away: bool = False
    got: list[Offset] = field(default_factory=list)
    end: tuple[bool, Offset, int] | None = None


@dataclass(eq=False)
class Phone:
    """A phone's connection."""

    peer: Peer
    user: str
    socket: Socket
    watches: dict[str, Watch]

    def owns(self, route: object) -> bool:
        return self.peer.connection is route


class WatchedSupervisor(Supervisor):
    """Says when a phone becomes a listener."""

    on_caught_up: Callable[[MobileRoute, DesktopId], None]

    def caught_up(self, route: MobileRoute, desktop_id: DesktopId, at: Offset, followed: Followed | None) -> None:
        super().caught_up(route, desktop_id, at, followed)
        self.on_caught_up(route, desktop_id)


class ResumeMachine(RuleBasedStateMachine):
    """The model is the list of everything that was ever said, and when each phone became a listener."""

    def __init__(self, ground: MemoryGround | ValkeyGround) -> None:
        super().__init__()
        self.ground = ground
        self.patches = ExitStack()
        self.said: dict[Place, list[Offset]] = defaultdict(list)
        self.begun: dict[Place, list[Offset]] = defaultdict(list)
        self.torn: dict[Place, list[int]] = defaultdict(list)
        self.links: dict[str, Link] = {}
        self.phones: list[Phone] = []
        self.last_epoch = Epoch(0)
        self.away = False

    @initialize(
        ring=st.sampled_from([1, 3, 8, MANY]),
        journal=st.sampled_from([MANY, MANY, MANY, 4]),
        newest=st.sampled_from([MANY, MANY, MANY, 3]),
        page=st.sampled_from([4, MANY]),
    )
    def begin(self, ring: int, journal: int, newest: int, page: int) -> None:
        for name, value in (
            ("actors.ring._TRIMMED_EVERY", 1),
            ("actors.replay.PIECE_FRAMES", PIECE),
            ("tests.support.memory_journal.PAGE_ENTRIES", page),
            ("hub.journal.scripts.PAGE_ENTRIES", page),
        ):
            self.patches.enter_context(patch(name, value))
        self.ground.limits = JournalLimits(messages=journal)
        self.policy = Policy(rate=None, ring_frames=ring, replay_messages=newest, max_mobiles=100)
        self.bounded = journal < MANY or newest < MANY
        self.start_hub()

    def start_hub(self) -> None:
        world = self.world = World(self.policy, FramedCodec())
        world.epochs.pass_by(self.last_epoch)
        self.journal = self.ground.journal(world)
        world.around = replace(world.around, journal=self.journal)
        world.supervisor = WatchedSupervisor(world.around)
        world.supervisor.on_caught_up = self.note_caught_up
        world.post = PostOffice(world.around, world.supervisor, world.mailroom)

    def settle(self) -> None:
        self.ground.settle(self.world)

    # -- desktops --------------------------------------------------------------------------------------------------

    @rule(desktop=desktops, user=users)
    def desktop_comes(self, desktop: str, user: str) -> None:
        """It supersedes the one that is there; under another user it is that user's from now on."""
        peer = self.world.desktop_peer(desktop, user)
        place = UserId(user), DesktopId(desktop)
        peer.connection.start(peer.socket)
        self.last_epoch = peer.connection.epoch  # type: ignore[attr-defined]
        self.links[desktop] = Link(peer, place, self.last_epoch)
        self.begun[place].append(Offset(self.last_epoch, 0))
        self.settle()

    @rule(desktop=desktops, kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=7), settled=st.booleans())
    def desktop_speaks(self, desktop: str, kinds: list[str], settled: bool) -> None:
        """It connects first if it isn't there."""
        if desktop not in self.links:
            self.desktop_comes(desktop, "u1")
        link = self.links[desktop]
        for kind in kinds:
            link.seq += 1
            self.said[link.place].append(Offset(link.epoch, link.seq))
            link.peer.connection.receive(json.dumps({"type": kind, "payload": {}, "timestamp": 1}))
        if settled:
            self.settle()

    @precondition(lambda self: self.links)
    @rule(desktop=desktops, how=st.sampled_from(["peer_closed", "link_lost"]))
    def desktop_goes(self, desktop: str, how: str) -> None:
        link = self.links.pop(desktop, None)
        if link is not None:
            getattr(link.peer.connection, how)()
            link.peer.connection.link_lost()
            self.settle()

    @rule()
    def grace_runs_out(self) -> None:
        """Who has nobody connected is forgotten."""
        for peer in [*(link.peer for link in self.links.values()), *(phone.peer for phone in self.phones)]:
            peer.connection.heard()
        self.settle()
        self.world.advance(self.policy.offline_grace_s)

    # -- phones ----------------------------------------------------------------------------------------------------

    @rule(user=users, first=starts, second=starts, reads=patience, settled=st.booleans())
    def phone_comes(self, user: str, first: int | None, second: int | None, reads: int | None, settled: bool) -> None:
        wanted = {
            desktop: self.somewhere(user, desktop, n) for desktop, n in (("d1", first), ("d2", second)) if n is not None
        }
        peer = self.world.phone_peer(user, resume={desktop: str(after) for desktop, after in wanted.items()})
        socket = peer.socket = Socket()
        if reads is not None:
            socket.reads, socket.writable = reads, reads > 0
        watches = {desktop: Watch(wanted.get(desktop)) for desktop in ("d1", "d2")}
        for desktop, watch in watches.items():
            place = UserId(user), DesktopId(desktop)
            watch.away = self.away
            watch.made_up = watch.after not in (BEGINNING, *self.said[place], *self.begun[place])
            if watch.after is None:
                watch.joined = len(self.said[place])
        phone = Phone(peer, user, socket, watches)
        self.phones.append(phone)
        peer.connection.start(socket)
        if settled:
            self.settle()

    @rule(before=st.integers(1, 9), n=st.integers(0, 9), reads=st.integers(0, 4), meanwhile=st.integers(0, 9))
    def phone_lags(self, before: int, n: int, reads: int, meanwhile: int) -> None:
        """It takes only a part of what it missed, and its desktop goes on."""
        self.desktop_speaks("d1", ["agent:response"] * before, settled=True)
        self.phone_comes("u1", n, None, reads, settled=True)
        if meanwhile:
            self.desktop_speaks("d1", ["agent:response"] * meanwhile, settled=True)
        self.phone_reads_on(len(self.phones) - 1, None)

    @rule(desktop=desktops, user=users)
    def desktop_is_only_there(self, desktop: str, user: str) -> None:
        self.desktop_comes(desktop, user)
        self.desktop_goes(desktop, "peer_closed")

    def somewhere(self, user: str, desktop: str, n: int) -> Offset:
        """Any place that a phone may have seen, or have made up; small numbers: what it may have seen last."""
        place = UserId(user), DesktopId(desktop)
        real = sorted({*self.said[place], *self.begun[place]}, reverse=True)
        made_up = [
            Offset(epoch + by, seq) for epoch, seq in (*real[:2], BEGINNING) for by, seq in ((0, seq + 1), (1, 7))
        ]
        return [*real[:20], BEGINNING, *made_up][n % (len(real[:20]) + 1 + len(made_up))]

    def note_caught_up(self, route: MobileRoute, desktop_id: DesktopId) -> None:
        [phone] = [phone for phone in self.phones if phone.owns(route)]
        place, watch = (UserId(phone.user), desktop_id), phone.watches[desktop_id]
        assert watch.joined is None
        assert watch.after is not None
        watch.joined = len(self.said[place])
        desktop = self.world.supervisor.desktop_of(*place)
        in_memory = len(desktop.ring) if desktop and desktop.ring else 0
        watch.required = set(self.said[place][len(self.said[place]) - in_memory :])
        if not watch.away:
            watch.required |= set(self.ground.kept(place)[-self.policy.replay_messages :])

    @precondition(lambda self: self.phones)
    @rule(which=st.integers(0, 9), reads=patience)
    def phone_reads_on(self, which: int, reads: int | None) -> None:
        phone = self.phones[which % len(self.phones)]
        phone.socket.reads = reads
        phone.socket.writable = reads != 0
        if phone.socket.writable:
            phone.peer.connection.writable_again()
        self.settle()

    @precondition(lambda self: self.phones)
    @rule(which=st.integers(0, 9))
    def phone_goes(self, which: int) -> None:
        self.phones.pop(which % len(self.phones)).peer.connection.link_lost()
        self.settle()

    # -- hub and store ---------------------------------------------------------------------------------------------

    @precondition(lambda self: self.ground.may_go_away)
    @rule()
    def store_goes_away_or_comes_back(self) -> None:
        self.settle()
        self.away = self.journal.away = not self.away  # type: ignore[union-attr]
        for phone in self.phones:
            for watch in phone.watches.values():
                watch.away |= watch.joined is None
        self.settle()

    @precondition(lambda self: self.links and not self.away)
    @rule()
    def hub_is_killed(self) -> None:
        self.settle()
        for link in self.links.values():
            if link.seq:
                self.torn[link.place].append(link.epoch)
        self.links, self.phones = {}, []
        self.start_hub()

    @precondition(lambda self: self.links and not self.away)
    @rule()
    def hub_is_stopped(self) -> None:
        for link in self.links.values():
            link.peer.connection.close(CloseReason.RESTARTING)
        self.settle()
        for link in self.links.values():
            link.peer.connection.link_lost()
        for phone in self.phones:
            phone.peer.connection.close(CloseReason.RESTARTING)
            phone.peer.connection.link_lost()
        self.settle()
        self.links, self.phones = {}, []
        self.start_hub()

    # -- what always holds -----------------------------------------------------------------------------------------

    @invariant()
    def phones_get_what_there_is_and_the_truth_about_it(self) -> None:
        for phone in self.phones:
            self.listen(phone)
            assert phone.peer.connection.closing is None
            for desktop, watch in phone.watches.items():
                self.check((UserId(phone.user), DesktopId(desktop)), watch)

    def listen(self, phone: Phone) -> None:
        for text in phone.socket.texts():
            if text["type"] in KINDS:
                offset = parse_offset(text["offset"])
                assert offset is not None
                phone.watches[text["desktop_id"]].got.append(offset)
            elif text["type"] == "Resumed":
                told = text["payload"]
                watch, offset = phone.watches[told["desktop_id"]], parse_offset(told["offset"])
                assert offset is not None
                assert watch.end is None, "it comes once"
                watch.end = told["complete"], offset, len(watch.got)

    def check(self, place: Place, watch: Watch) -> None:
        said, got = self.said[place], watch.got
        assert all(one < other for one, other in pairwise(got)), "in order, each once"
        if watch.after is None:
            assert watch.joined is not None
            assert got == said[watch.joined :][: len(got)]
            return
        replayed = got if watch.end is None else got[: watch.end[2]]
        assert all(offset > watch.after for offset in replayed)
        if watch.end is None:
            return
        complete, reached, count = watch.end
        assert watch.joined is not None
        assert got[count:] == said[watch.joined :][: len(got) - count], "from then on it hears everything"
        before = set(replayed)
        assert before >= {offset for offset in watch.required if offset > watch.after}, "what there is comes"
        missing = {offset for offset in said[: watch.joined] if offset > watch.after} - before
        assert not (complete and missing), "complete means that nothing is missing"
        assert complete or missing or self.nobody_can_know(place, watch), "incomplete means that something is missing"
        assert all(offset <= reached for offset in before)

    def nobody_can_know(self, place: Place, watch: Watch) -> bool:
        """Whether the evidence may be gone, or never was there.

        Of a desktop that never said anything the store knows no more than of one that was silent for a month.
        """
        after = watch.after
        assert after is not None
        killed = any(epoch >= after.epoch for epoch in self.torn[place])
        spoke = max((offset.epoch for offset in self.said[place] if offset < after), default=None)
        silent = after.seq == 0 and after != BEGINNING and (spoke is None or spoke in self.torn[place])
        return watch.away or watch.made_up or killed or silent or self.bounded

    def teardown(self) -> None:
        """Whoever reads gets it all in the end."""
        try:
            if hasattr(self, "policy"):
                self.everybody_reads()
        finally:
            self.ground.close()
            self.patches.close()

    def everybody_reads(self) -> None:
        for phone in self.phones:
            phone.socket.reads, phone.socket.writable = None, True
            phone.peer.connection.writable_again()
        self.settle()
        self.phones_get_what_there_is_and_the_truth_about_it()
        for phone in self.phones:
            for desktop, watch in phone.watches.items():
                said = self.said[UserId(phone.user), DesktopId(desktop)]
                assert (watch.end is not None) is (watch.after is not None)
                assert watch.joined is not None
                assert watch.got[-1:] == said[-1:] or len(said) == watch.joined
        assert not any(user.behind for user in self.world.supervisor._registry.users.values())


SHRINK_FAST = tuple(phase for phase in Phase if phase is not Phase.explain)
"""Explaining a failure takes minutes here, and the test's time limit would come before it."""


def test_over_the_twin() -> None:
    run_state_machine_as_test(
        lambda: ResumeMachine(MemoryGround()),  # type: ignore[arg-type]  # whatever makes one will do
        settings=settings(max_examples=50, stateful_step_count=40, deadline=None, phases=SHRINK_FAST, derandomize=True),
    )


def test_over_a_real_store(shared_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.journal.journal.GATHER_S", 0.0)
    run_state_machine_as_test(
        lambda: ResumeMachine(ValkeyGround(shared_server)),  # type: ignore[arg-type]  # as above
        settings=settings(max_examples=15, stateful_step_count=30, deadline=None, phases=SHRINK_FAST, derandomize=True),
    )
