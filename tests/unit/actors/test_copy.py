"""What a node makes of pieces that come from another one: nothing twice, nothing out of order, every gap noticed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.copy import NOTHING, Copy, Taken
from actors.ids import DesktopId, Epoch, NodeId, UserId
from actors.nodes import Listen, Pieces, Word
from actors.offsets import BEGINNING, Offset
from actors.relay import WORD_BYTES, Relay
from actors.ring import Ring
from actors.turns import Turns
from tests.support.actors import HandClock, HandScheduler

USER, DESKTOP = UserId("u1"), DesktopId("d1")
BOUNDS = (64, 1_000_000)


def copy_at(at: Offset | None, *, ended: bool = False, ring: Ring | None = None) -> Copy:
    return Copy(NodeId("node/1"), Epoch(7), bounds=BOUNDS, at=at, ended=ended, ring=ring)


def pieces(first: int, count: int, *, epoch: int = 7, before: Offset | None = None, ask: int = 0) -> Pieces:
    frames = tuple(f"{epoch}-{n}".encode() for n in range(first, first + count))
    return Pieces(USER, DESKTOP, Epoch(epoch), first, frames, before or Offset(epoch, first - 1), ask)


def texts(taken: Taken) -> list[str]:
    return [frame.decode() for frame in taken.frames]


def heard(at: int, *, ended: bool = False) -> Copy:
    """A copy whose listeners stand at 7-`at`."""
    copy = copy_at(Offset(7, 0), ended=ended)
    copy.take(pieces(1, at, ask=1))
    return copy


def test_nothing_is_taken_before_the_answer_which_brings_it() -> None:
    copy = copy_at(Offset(7, 0))
    assert copy.take(pieces(3, 1)) is NOTHING
    taken = copy.take(pieces(1, 3, ask=1))
    assert (texts(taken), taken.first, taken.heard) == (["7-1", "7-2", "7-3"], (7, 1), True)


def test_who_is_to_hear_what_is_said_from_now_on_gets_nothing_of_the_past() -> None:
    copy = copy_at(None)
    assert texts(copy.take(pieces(5, 2, ask=1))) == []
    assert copy.at == (7, 6)
    assert texts(copy.take(pieces(7, 1))) == ["7-7"]
    assert copy.covers(Offset(7, 4))


def test_an_answer_without_frames_tells_where_the_desktop_stands() -> None:
    copy = copy_at(None)
    copy.take(pieces(58, 0, ask=1))
    assert copy.at == (7, 57)
    assert copy.covers(Offset(7, 57))
    assert not copy.covers(Offset(7, 56))


def test_what_is_known_is_passed_over() -> None:
    copy = heard(5)
    assert copy.take(pieces(4, 2)) == NOTHING
    assert texts(copy.take(pieces(4, 4))) == ["7-6", "7-7"]


def test_a_gap_is_asked_for_and_nothing_behind_it_is_given() -> None:
    copy = heard(5)
    assert copy.take(pieces(8, 2)) == Taken(ask=True)
    taken = copy.take(pieces(6, 4, ask=2))
    assert (texts(taken), taken.missed_from) == (["7-6", "7-7", "7-8", "7-9"], None)


def test_what_the_other_node_has_no_more_is_missed() -> None:
    copy = heard(5)
    taken = copy.take(pieces(8, 2, ask=2))
    assert (texts(taken), taken.missed_from) == (["7-8", "7-9"], (7, 5))
    assert not copy.covers(Offset(7, 6))


def test_an_older_past_is_kept_without_giving_it_to_who_has_it() -> None:
    copy = copy_at(None)
    copy.take(pieces(5, 0, ask=1))
    assert texts(copy.take(pieces(1, 4, ask=2))) == []
    assert copy.covers(Offset(7, 0))
    assert texts(copy.take(pieces(5, 1))) == ["7-5"]


def test_a_new_connection_goes_on_where_the_old_one_is_known_to_have_ended() -> None:
    copy = heard(5)
    assert texts(copy.take(pieces(1, 2, epoch=9, before=Offset(7, 5)))) == ["9-1", "9-2"]
    assert copy.covers(Offset(7, 3))


@pytest.mark.parametrize(("ended_at", "missed"), [(5, None), (6, (7, 5))])
def test_a_connection_on_another_node_follows_if_the_last_word_of_the_old_one_came(
    ended_at: int, missed: tuple[int, int] | None
) -> None:
    old = heard(5)
    old.end(Offset(7, ended_at))
    copy = copy_at(old.at, ended=old.ended, ring=old.ring)
    taken = copy.take(pieces(1, 1, epoch=9, ask=1))
    assert (texts(taken), taken.missed_from) == (["9-1"], missed)


def test_a_connection_that_said_nothing_leaves_the_end_of_the_one_before_it() -> None:
    copy = heard(5)
    copy.end(Offset(7, 5))
    copy.epoch = Epoch(8)
    assert not copy.finished
    copy.end(Offset(8, 0))
    assert copy.finished


def test_what_an_older_connection_said_late_is_passed_over() -> None:
    copy = heard(5)
    copy.take(pieces(1, 1, epoch=9, before=Offset(7, 5)))
    assert copy.take(pieces(6, 1)) == NOTHING


class Way:
    """From a desktop's ring through a relay to a copy; words may be lost on it."""

    def __init__(self) -> None:
        self.ring = Ring(*BOUNDS)
        self.words: list[Word] = []
        self.turns = Turns(HandScheduler(HandClock()))
        self.relay = Relay(USER, DESKTOP, ring=lambda: self.ring, turns=self.turns, send=self.send)
        self.copy = copy_at(None)
        self.asked = 0
        self.given: list[str] = []
        self.told_of: list[Offset] = []

    def send(self, word: Word) -> None:
        self.words.append(word)

    def say(self, count: int) -> None:
        for _ in range(count):
            frame = f"{self.ring.epoch}-{self.ring.seq + 1}".encode()
            self.ring.append(frame)
            self.relay.offer(frame, 0.0)
        self.turns.run()

    def arrive(self, *, lost: bool) -> None:
        words, self.words = self.words, []
        for word in () if lost else words:
            assert isinstance(word, Pieces)
            taken = self.copy.take(word)
            if taken.missed_from is not None:
                self.told_of.append(taken.missed_from)
            self.given += texts(taken)
            if taken.ask:
                self.ask()

    def ask(self) -> None:
        self.asked += 1
        self.relay.answer(Listen(USER, DESKTOP, self.asked, self.copy.at), Epoch(7))
        self.arrive(lost=False)


turn = st.tuples(st.sampled_from(["say", "new", "ask", "many"]), st.booleans())


@given(st.lists(turn, max_size=25))
def test_whatever_is_lost_on_the_way_what_is_given_has_no_hole_that_was_not_noticed(
    history: list[tuple[str, bool]],
) -> None:
    way = Way()
    way.ring.open(Epoch(7))
    way.ask()
    said: list[str] = []
    for what, lost in history:
        if what == "ask":
            way.ask()
        elif what == "new":
            way.ring.open(Epoch(way.ring.epoch + 1))
        else:
            count = 70 if what == "many" else 3
            way.say(count)
            said += [f"{way.ring.epoch}-{n}" for n in range(way.ring.seq + 1 - count, way.ring.seq + 1)]
            way.arrive(lost=lost)
    way.ask()
    assert len(set(way.given)) == len(way.given)
    positions = [said.index(each) for each in way.given]
    assert positions == sorted(positions)
    jumps = sum(after != before + 1 for before, after in zip([-1, *positions], positions, strict=False))
    assert jumps <= len(way.told_of)
    assert not said or way.given[-1:] == said[-1:]
    assert way.ring.covers(BEGINNING) or len(said) > BOUNDS[0] or not way.told_of


def test_a_long_answer_is_shared_out_to_several_words() -> None:
    ring = Ring(1000, 2_000_000)
    ring.open(Epoch(7))
    for _ in range(100):
        ring.append(bytes(10_000))
    words: list[Word] = []
    relay = Relay(USER, DESKTOP, ring=lambda: ring, turns=Turns(HandScheduler(HandClock())), send=words.append)
    relay.answer(Listen(USER, DESKTOP, 5, Offset(7, 10)), Epoch(7))
    answers = [word for word in words if isinstance(word, Pieces)]
    assert [word.ask for word in answers] == [5] * len(answers)
    assert [word.last for word in answers] == [False] * (len(answers) - 1) + [True]
    assert sum(len(word.frames) for word in answers) == 90
    assert max(sum(map(len, word.frames)) for word in answers) <= WORD_BYTES + 10_000
    assert [word.first for word in answers[1:]] == [word.first + len(word.frames) for word in answers[:-1]]
