"""A feed hands a mailbox over once, in order, as fast as the desktop reads, and never stops for good."""

from collections.abc import Callable
from dataclasses import dataclass, field

from actors.feed import Feed
from actors.ids import DesktopId, UserId
from actors.mail import Letter, MailPage, Stored
from actors.offsets import BEGINNING, Offset
from tests.support.mail import make_letter

Answer = Callable[[MailPage | None], None]


def at(seq: int) -> Offset:
    return Offset(1, seq) if seq else BEGINNING


def page(*seqs: int, reached: int, more: bool = False) -> MailPage:
    return MailPage(tuple((at(seq), make_letter(str(seq))) for seq in seqs), at(reached), more)


@dataclass
class Reader:
    """A desktop that reads or not, in front of a mailbox whose answers are given by hand."""

    reads: bool = True
    room: int = 1000
    handed: list[str | None] = field(default_factory=list)
    asked: list[tuple[Offset, Answer]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.feed = Feed(
            self,  # type: ignore[arg-type]  # of a mailroom only `read` is asked for
            UserId("u1"),
            DesktopId("d1"),
            ready=lambda: self.reads,
            hand_over=self.hand_over,
        )

    def read(self, user_id: UserId, desktop_id: DesktopId, after: Offset, answer: Answer) -> None:
        assert (user_id, desktop_id) == ("u1", "d1")
        self.asked.append((after, answer))

    def hand_over(self, letter: Letter, _origin: object) -> bool:
        if not self.reads or not self.room:
            return False
        self.room -= 1
        self.handed.append(letter.message_id)
        return True

    def answer(self, page: MailPage | None) -> Offset:
        """Answer the one question there is, and return from where it was to read."""
        [(after, answer)] = self.asked
        self.asked.clear()
        answer(page)
        return after

    def stored(self, seq: int, *, behind: int) -> None:
        self.feed.stored(make_letter(str(seq)), None, Stored(at(seq), at(behind)))

    def news(self) -> list[str | None]:
        news, self.handed = self.handed, []
        return news


def caught_up(reached: int) -> Reader:
    """Return one that has read everything up to `reached`."""
    reader = Reader()
    reader.feed.read_on()
    reader.answer(page(reached=reached))
    assert reader.asked == []
    return reader


def test_the_mailbox_is_read_from_its_beginning_in_order() -> None:
    reader = Reader()
    reader.feed.read_on()
    assert reader.answer(page(1, 2, 3, reached=3)) == BEGINNING
    assert reader.news() == ["1", "2", "3"]


def test_the_next_page_is_read_when_the_one_before_it_is_written_and_from_its_end() -> None:
    reader = Reader()
    reader.feed.read_on()
    reader.answer(page(1, 2, reached=2, more=True))
    assert reader.asked == []
    reader.feed.read_on()
    assert reader.answer(page(3, reached=3)) == at(2)
    assert reader.news() == ["1", "2", "3"]


def test_a_page_without_letters_that_is_not_the_last_is_read_past_at_once() -> None:
    reader = Reader()
    reader.feed.read_on()
    reader.answer(page(reached=5, more=True))
    assert reader.answer(page(6, reached=6)) == at(5)
    assert reader.news() == ["6"]


def test_who_is_caught_up_asks_no_more() -> None:
    reader = caught_up(3)
    reader.feed.read_on()
    assert reader.asked == []


def test_a_letter_that_follows_the_last_one_goes_out_from_memory() -> None:
    reader = caught_up(3)
    reader.stored(4, behind=3)
    reader.stored(5, behind=4)
    assert reader.news() == ["4", "5"]
    assert reader.asked == []


def test_a_letter_behind_one_that_was_not_handed_over_waits_until_the_mailbox_is_read() -> None:
    reader = caught_up(3)
    reader.stored(6, behind=5)
    assert reader.news() == []
    assert reader.answer(page(5, 6, reached=6)) == at(3)
    assert reader.news() == ["5", "6"]


def test_a_letter_that_was_read_already_is_not_handed_over_again() -> None:
    reader = Reader()
    reader.feed.read_on()
    reader.answer(page(1, 2, reached=2))
    reader.stored(2, behind=1)
    assert reader.news() == ["1", "2"]
    assert reader.asked == []


def test_a_letter_that_comes_while_the_mailbox_is_read_has_it_read_once_more() -> None:
    reader = Reader()
    reader.feed.read_on()
    reader.stored(1, behind=0)
    assert reader.news() == []
    reader.answer(page(reached=0))
    assert reader.answer(page(1, reached=1)) == BEGINNING
    assert reader.news() == ["1"]


def test_the_mailbox_is_read_once_at_a_time() -> None:
    reader = Reader()
    for _ in range(3):
        reader.feed.read_on()
    assert len(reader.asked) == 1


# -- desktops that don't read ----------------------------------------------------------------------------------------


def test_a_desktop_that_does_not_read_has_nothing_read_for_it() -> None:
    reader = Reader(reads=False)
    reader.feed.read_on()
    assert reader.asked == []
    reader.reads = True
    reader.feed.read_on()
    assert reader.answer(page(1, reached=1)) == BEGINNING


def test_what_comes_while_the_desktop_does_not_read_is_read_when_it_does() -> None:
    reader = caught_up(3)
    reader.reads = False
    reader.stored(4, behind=3)
    reader.stored(5, behind=4)
    assert (reader.news(), reader.asked) == ([], [])
    reader.reads = True
    reader.feed.read_on()
    assert reader.answer(page(4, 5, reached=5)) == at(3)
    assert reader.news() == ["4", "5"]


def test_a_page_for_a_desktop_that_has_stopped_to_read_stays_in_the_mailbox() -> None:
    reader = Reader()
    reader.feed.read_on()
    reader.reads = False
    reader.answer(page(1, 2, reached=2))
    assert reader.news() == []
    reader.reads = True
    reader.feed.read_on()
    assert reader.answer(page(1, 2, reached=2)) == BEGINNING
    assert reader.news() == ["1", "2"]


def test_of_a_page_that_does_not_fit_the_rest_is_read_again() -> None:
    reader = Reader(room=2)
    reader.feed.read_on()
    reader.answer(page(1, 2, 3, 4, reached=4))
    assert reader.news() == ["1", "2"]
    reader.room = 2
    reader.feed.read_on()
    assert reader.answer(page(3, 4, reached=4)) == at(2)
    assert reader.news() == ["3", "4"]


def test_a_letter_from_memory_that_does_not_fit_is_read_later() -> None:
    reader = caught_up(3)
    reader.room = 0
    reader.stored(4, behind=3)
    reader.room = 1
    assert reader.answer(page(4, reached=4)) == at(3)
    assert reader.news() == ["4"]


# -- a store that is away --------------------------------------------------------------------------------------------


def test_while_the_store_is_away_nothing_is_asked_again_by_itself() -> None:
    reader = Reader()
    reader.feed.read_on()
    reader.answer(None)
    assert reader.asked == []
    reader.feed.read_on()
    assert reader.answer(page(1, reached=1)) == BEGINNING


def test_a_return_of_the_store_that_overtakes_the_answer_that_it_is_away_is_not_missed() -> None:
    reader = Reader()
    reader.feed.read_on()
    reader.feed.read_on()
    reader.answer(None)
    assert reader.answer(page(1, reached=1)) == BEGINNING
    assert reader.news() == ["1"]


def test_a_mailbox_that_was_forgotten_takes_nobody_back_to_its_beginning() -> None:
    reader = caught_up(3)
    reader.stored(9, behind=8)
    reader.answer(page(reached=0))
    reader.stored(9, behind=3)
    assert reader.news() == ["9"]
