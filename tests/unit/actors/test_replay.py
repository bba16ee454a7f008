"""What a phone missed comes in order, first from the journal, then from the ring, and ends with the truth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from actors.ids import DesktopId, Epoch, UserId
from actors.journal import JournalEntry, JournalPage, Opening, Written
from actors.messages import Resumed
from actors.offsets import BEGINNING, Offset, parse_offset
from actors.order import Followed
from actors.replay import PIECE_FRAMES, Replay
from actors.ring import Ring

Answer = Callable[[JournalPage | None], None]


@pytest.fixture(autouse=True)
def exact_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rings that keep their bounds at every frame."""
    monkeypatch.setattr("actors.ring._TRIMMED_EVERY", 1)


def at(text: str) -> Offset:
    found = parse_offset(text)
    assert found is not None
    return found


def entries(text: str) -> tuple[JournalEntry, ...]:
    """Entries from `E-0<AFTER` (`?` is not known) and `E-S`."""
    made: list[JournalEntry] = []
    for word in text.split():
        name, opens, after = word.partition("<")
        if opens:
            made.append(Opening(at(name), None if after == "?" else at(after)))
        else:
            made.append(Written(at(name), name.encode()))
    return tuple(made)


def ring_of(*spans: tuple[int, int], kept: int = 1000) -> Ring:
    """A ring after connections of (epoch, messages)."""
    ring = Ring(kept, 10**6)
    for epoch, messages in spans:
        ring.open(Epoch(epoch))
        say(ring, messages)
    return ring


def say(ring: Ring, messages: int = 1) -> None:
    for _ in range(messages):
        ring.append(f"{ring.epoch}-{ring.seq + 1}".encode())


@dataclass
class Stage:
    """A replay whose journal answers by hand, and whose phone takes a piece at a time."""

    after: str
    ring: Ring | None = None
    stands_at: Offset | None = None
    newest: int = 1000
    piece: tuple[int, int] = (1000, 10**6)
    asked: list[tuple[Offset, int | None, Answer]] = field(default_factory=list)
    waiting: list[Callable[[], None]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    ends: list[Resumed] = field(default_factory=list)
    followed: Followed | None = ()
    head: str | None = None

    def __post_init__(self) -> None:
        self.replay = Replay(
            self,  # type: ignore[arg-type]  # of a journal only `read` is asked for
            UserId("u1"),
            DesktopId("d1"),
            at(self.after),
            self.newest,
            piece=self.piece,
            ring=lambda: self.ring,
            silent=lambda at: at == self.stands_at,
            guard=lambda act: act(),
            send=self.send,
            done=self.done,
        )
        self.replay.go_on()

    def read(
        self, user_id: UserId, desktop_id: DesktopId, after: Offset, answer: Answer, *, newest: int | None = None
    ) -> None:
        assert (user_id, desktop_id) == ("u1", "d1")
        self.asked.append((after, newest, answer))

    def send(self, frames: Sequence[bytes], then: Callable[[], None]) -> None:
        assert frames, "of nothing nobody is told that it is written"
        assert not self.waiting
        self.told += [frame.decode() for frame in frames]
        self.waiting.append(then)

    def done(self, frames: Sequence[bytes], resumed: Resumed, followed: Followed | None) -> None:
        self.told += [frame.decode() for frame in frames]
        self.ends.append(resumed)
        self.followed = followed

    def answer(self, text: str = "", *, more: bool = False, head: str | None = None) -> Offset:
        """Answer the one question there is, and return from where it was to read."""
        self.head = head
        return self._answer(JournalPage(entries(text), more, None if head is None else at(head)))

    def is_away(self) -> None:
        self._answer(None)

    def _answer(self, page: JournalPage | None) -> Offset:
        [(after, _, answer)] = self.asked
        self.asked.clear()
        answer(page)
        return after

    def limits(self) -> list[int | None]:
        """How many of the newest it asks for, in each question that waits."""
        return [newest for _, newest, _ in self.asked]

    def take(self) -> None:
        """The phone has taken the piece."""
        [then] = self.waiting
        self.waiting.clear()
        then()

    @property
    def end(self) -> tuple[bool, str]:
        if not self.ends:  # It looks again when the phone has taken its time; nothing new has come.
            self.answer(head=self.head)
        [resumed] = self.ends
        assert not self.asked
        assert not self.waiting
        assert resumed.desktop_id == "d1"
        return resumed.complete, str(resumed.offset)


# -- from the ring -------------------------------------------------------------------------------------------------


def test_within_the_ring_the_journal_is_not_asked() -> None:
    stage = Stage("7-1", ring_of((7, 3), (9, 1)))
    assert stage.told == ["7-2", "7-3", "9-1"]
    assert stage.end == (True, "9-1")


def test_who_has_everything_is_told_so() -> None:
    assert Stage("7-3", ring_of((7, 3))).end == (True, "7-3")


def test_a_large_ring_comes_in_pieces_each_when_the_one_before_is_taken() -> None:
    stage = Stage("7-0", ring_of((7, 2 * PIECE_FRAMES + 1)))
    assert len(stage.told) == PIECE_FRAMES
    stage.take()
    assert (len(stage.told), stage.ends) == (2 * PIECE_FRAMES, [])
    stage.take()
    assert stage.told == [f"7-{seq}" for seq in range(1, 2 * PIECE_FRAMES + 2)]
    assert stage.end == (True, f"7-{2 * PIECE_FRAMES + 1}")


@pytest.mark.parametrize("piece", [(2, 1000), (1000, 7)])
def test_pieces_are_as_large_as_the_phones_inbox_has_room_for(piece: tuple[int, int]) -> None:
    stage = Stage("7-0", ring_of((7, 7), kept=4), piece=piece)
    stage.answer("7-1 7-2 7-3 7-4 7-5")
    for told in (2, 3, 5):
        assert (len(stage.told), stage.ends) == (told, [])
        stage.take()
    assert stage.told == [f"7-{seq}" for seq in range(1, 8)]
    assert stage.end == (True, "7-7")


def test_what_is_said_between_the_pieces_comes_too() -> None:
    ring = ring_of((7, PIECE_FRAMES + 1))
    stage = Stage("7-0", ring)
    say(ring)
    ring.open(Epoch(9))
    say(ring)
    stage.take()
    assert stage.told[-3:] == [f"7-{PIECE_FRAMES + 1}", f"7-{PIECE_FRAMES + 2}", "9-1"]
    assert stage.end == (True, "9-1")


# -- from the journal ----------------------------------------------------------------------------------------------


def test_without_a_ring_it_is_the_journal_alone() -> None:
    stage = Stage("7-1")
    assert stage.answer("7-2 7-3", head="7-3") == at("7-1")
    stage.take()
    assert (stage.told, stage.end) == (["7-2", "7-3"], (True, "7-3"))


def test_what_a_desktop_said_and_left_while_the_phone_took_its_time_is_not_overlooked() -> None:
    stage = Stage("7-1")
    stage.answer("7-2", head="7-2")
    stage.take()
    assert stage.answer("9-0<7-2 9-1", head="9-2") == at("7-2")
    stage.take()
    assert (stage.told, stage.end) == (["7-2", "9-1"], (False, "9-2"))


def test_the_journal_comes_page_by_page_each_when_the_one_before_is_taken() -> None:
    stage = Stage("7-0", newest=5)
    assert stage.limits() == [5]
    stage.answer("7-1 7-2", more=True)
    assert stage.limits() == []
    stage.take()
    assert stage.limits() == [None], "only the first page leaves out the oldest"
    assert stage.answer("7-3", head="7-3") == at("7-2")
    stage.take()
    assert stage.end == (True, "7-3")


def test_a_page_of_nothing_but_an_opening_does_not_stop_it() -> None:
    stage = Stage("7-2")
    stage.answer("9-0<7-2", more=True)
    assert stage.answer("9-1", head="9-1") == at("9-0")
    stage.take()
    assert stage.end == (True, "9-1")


@pytest.mark.parametrize(
    ("text", "head", "reached"),
    [
        ("7-3", "7-3", "7-3"),  # 7-2 was a piece of an answer
        ("7-2", "7-3", "7-3"),  # 7-3 was
        ("7-2", None, "7-2"),  # the hub was killed
        ("7-2 9-0<? 9-1", "9-1", "9-1"),
        ("7-2 9-0<7-3 9-1", "9-1", "9-1"),
        ("9-1", "9-1", "9-1"),
    ],
)
def test_a_gap_in_the_evidence_is_told(text: str, head: str | None, reached: str) -> None:
    stage = Stage("7-1")
    stage.answer(text, head=head)
    stage.take()
    assert stage.end == (False, reached)


def test_openings_lead_over_connections() -> None:
    stage = Stage("7-1")
    stage.answer("9-0<7-1 9-1 12-0<9-1 12-1", head="12-1")
    stage.take()
    assert (stage.told, stage.end) == (["9-1", "12-1"], (True, "12-1"))
    assert stage.followed == ((7, 9), (9, 12))


def test_openings_that_prove_nothing_are_not_followed() -> None:
    stage = Stage("7-1")
    stage.answer("9-0<? 9-1 12-0<9-1 12-1", head="12-1")
    stage.take()
    assert (stage.end, stage.followed) == ((False, "12-1"), None)


@pytest.mark.parametrize(("after", "complete"), [("0-0", True), ("7-1", False), ("7-0", False)])
def test_where_nothing_was_ever_said_only_the_beginning_is_complete(after: str, complete: bool) -> None:
    stage = Stage(after)
    stage.answer(head="0-0")
    assert stage.end == (complete, "0-0")


def test_a_place_further_than_anything_that_was_said_is_put_right() -> None:
    stage = Stage("9-7")
    stage.answer(head="7-3")
    assert stage.end == (False, "7-3")
    stage = Stage("7-9", ring_of((7, 3)))
    stage.answer()
    assert (stage.told, stage.end) == ([], (False, "7-3"))


# -- connections that said nothing ---------------------------------------------------------------------------------


def test_a_phone_that_saw_only_that_a_desktop_is_there_has_missed_nothing_of_a_silent_one() -> None:
    stage = Stage("8-0", stands_at=at("8-0"))
    assert stage.end == (True, "8-0"), "this node knows: the journal isn't asked"


def test_from_a_silent_connection_on_the_next_one_is_followed() -> None:
    assert Stage("8-0", ring_of((7, 2), (9, 1))).end == (True, "9-1")
    stage = Stage("8-0")
    stage.answer("9-0<7-2 9-1", head="9-1")
    stage.take()
    assert stage.end == (True, "9-1")
    stage = Stage("8-0")
    stage.answer(head="7-2")
    assert stage.end == (True, "7-2")


# -- from the journal into the ring --------------------------------------------------------------------------------


def test_the_journal_leads_to_where_the_ring_begins() -> None:
    stage = Stage("7-1", ring_of((7, 6), kept=3))
    stage.answer("7-2 7-3 7-5 7-6")
    assert stage.told == ["7-2", "7-3"]
    stage.take()
    assert (stage.told, stage.end) == (["7-2", "7-3", "7-4", "7-5", "7-6"], (True, "7-6"))


def test_an_opening_leads_into_a_ring_that_is_younger() -> None:
    stage = Stage("7-1", ring_of((9, 2)))
    stage.answer("7-2 9-0<7-2 9-1")
    stage.take()
    assert (stage.told, stage.end) == (["7-2", "9-1", "9-2"], (True, "9-2"))


def test_what_neither_has_is_a_gap() -> None:
    stage = Stage("7-1", ring_of((7, 6), kept=3))
    stage.answer("7-2 7-5")
    stage.take()
    assert (stage.told, stage.end) == (["7-2", "7-4", "7-5", "7-6"], (False, "7-6"))


def test_while_the_store_is_away_there_is_what_is_in_memory() -> None:
    stage = Stage("7-1", ring_of((7, 6), kept=3))
    stage.is_away()
    assert (stage.told, stage.end) == (["7-4", "7-5", "7-6"], (False, "7-6"))
    stage = Stage("7-1")
    stage.is_away()
    assert (stage.told, stage.end) == ([], (False, "7-1"))


# -- what changes while it is under way ----------------------------------------------------------------------------


def test_what_the_ring_loses_while_the_phone_takes_a_page_is_had_from_the_journal() -> None:
    ring = ring_of((7, 6), kept=3)
    stage = Stage("7-1", ring)
    stage.answer("7-2 7-3 7-4 7-5 7-6")
    say(ring, 2)
    assert ring.start == at("7-5")
    stage.take()
    assert stage.answer("7-4 7-5 7-6 7-7") == at("7-3")
    stage.take()
    assert stage.told == [f"7-{seq}" for seq in range(2, 9)]
    assert stage.end == (True, "7-8")


def test_what_the_ring_loses_between_two_of_its_pieces_is_had_from_the_journal() -> None:
    ring = ring_of((7, PIECE_FRAMES + 3), kept=PIECE_FRAMES + 3)
    stage = Stage("7-0", ring)
    say(ring, PIECE_FRAMES + 2)
    first = PIECE_FRAMES + 1
    assert ring.start == at(f"7-{first + 1}")
    stage.take()
    assert stage.answer(f"7-{first} 7-{first + 1} 7-{first + 2}") == at(f"7-{PIECE_FRAMES}")
    stage.take()
    stage.take()
    assert stage.told == [f"7-{seq}" for seq in range(1, ring.seq + 1)]
    assert stage.end == (True, str(ring.head))


def test_a_ring_that_loses_everything_while_the_journal_is_asked_has_it_asked_again() -> None:
    ring = ring_of((7, 6), kept=3)
    stage = Stage("7-1", ring)
    say(ring, 6)
    assert ring.start == at("7-9")
    stage.answer("7-2")
    stage.take()
    assert stage.answer("7-8 7-12") == at("7-2")
    stage.take()
    assert (stage.told, stage.end) == (["7-2", "7-8", "7-10", "7-11", "7-12"], (False, "7-12"))


def test_a_ring_that_is_given_up_while_the_journal_is_asked_has_it_asked_again() -> None:
    ring = ring_of((7, 3), kept=1)
    stage = Stage("7-1", ring)
    stage.ring = None
    stage.answer("7-2 7-3")  # The desktop spoke on, as far as the journal knew then.
    stage.take()
    assert not stage.ends
    stage.answer(head="7-3")
    assert (stage.told, stage.end) == (["7-2", "7-3"], (True, "7-3"))


def test_a_desktop_that_speaks_first_while_the_journal_is_asked_is_followed_into_its_ring() -> None:
    stage = Stage("7-1")
    stage.ring = ring_of((9, 1))
    stage.answer("7-2", head="7-2")
    stage.take()
    assert stage.answer("9-0<7-2") == at("7-2")
    assert (stage.told, stage.end) == (["7-2", "9-1"], (True, "9-1"))


def test_a_desktop_that_goes_to_another_user_has_what_is_left_read_from_the_journal() -> None:
    """Its ring is gone, though the journal was read to where it began."""
    stage = Stage("7-1", ring_of((7, PIECE_FRAMES + 9), kept=PIECE_FRAMES + 5))
    stage.answer("7-2 7-3 7-4 7-5")
    stage.take()
    assert stage.told[-1] == f"7-{4 + PIECE_FRAMES}"
    stage.ring = None
    stage.take()
    assert stage.ends == []
    stage.answer(head=f"7-{PIECE_FRAMES + 9}")
    assert stage.end == (False, f"7-{PIECE_FRAMES + 9}")


def test_a_store_that_goes_away_in_the_middle_leaves_it_incomplete_but_ends_it() -> None:
    stage = Stage("7-1")
    stage.answer("7-2", more=True)
    stage.take()
    stage.is_away()
    assert (stage.told, stage.end) == (["7-2"], (False, "7-2"))


def test_it_goes_on_where_the_journal_has_nothing_before_the_ring() -> None:
    stage = Stage(str(BEGINNING), ring_of((7, 9), kept=2))
    stage.answer("7-0<0-0 7-9")
    assert (stage.told, stage.end) == (["7-8", "7-9"], (False, "7-9"))
