from typing import Any

import pytest

from hub.cli.phone_view import PhoneView
from hub.client import Disconnected, Message


class Screen:
    def __init__(self, *, named: bool = True, apart: bool = False) -> None:
        self.text = ""
        self.notes: list[str] = []
        self.view = PhoneView(self._write, self.notes.append if apart else self._note, named=named, apart=apart)

    def _note(self, line: str) -> None:
        self._write(f"* {line}\n")

    def _write(self, text: str) -> None:
        self.text += text

    def agent(self, kind: str, question: str = "q", desktop: str = "d", **payload: Any) -> None:
        self.view.show(Message(f"agent:{kind}", {"in_reply_to": question, **payload}, 1, desktop_id=desktop))


@pytest.fixture
def screen() -> Screen:
    return Screen()


def test_pieces_run_on_and_the_response_ends_the_line(screen: Screen) -> None:
    for piece in ("Hel", "lo", " you"):
        screen.agent("stream", text=piece)
    screen.agent("response", text="Hello you")
    assert screen.text == "d: Hello you\n"


def test_an_answer_that_ends_its_line_gets_no_second_end(screen: Screen) -> None:
    screen.agent("stream", text="a\nb\n")
    screen.agent("response", text="a\nb\n")
    assert screen.text == "d: a\nb\n"


def test_a_response_without_pieces_is_shown_whole(screen: Screen) -> None:
    screen.agent("response", text="all")
    assert screen.text == "d: all\n"


def test_a_response_adds_what_the_pieces_left_out(screen: Screen) -> None:
    screen.agent("stream", text="one ")
    screen.agent("response", text="one two")
    assert screen.text == "d: one two\n"


def test_lost_pieces_are_made_good(screen: Screen) -> None:
    screen.agent("stream", text="one ")
    screen.agent("stream", text="three")
    screen.agent("response", text="one two three")
    assert screen.text == ("d: one three\n* some of that was lost on the way; the whole answer is:\nd: one two three\n")


def test_a_cut_response_takes_nothing_back(screen: Screen) -> None:
    screen.agent("stream", text="one two three")
    screen.agent("response", text="one", truncated=True)
    assert screen.text == "d: one two three\n"


def test_two_answers_at_once_stay_apart(screen: Screen) -> None:
    screen.agent("stream", desktop="a", text="one")
    screen.agent("stream", desktop="b", text="two")
    screen.agent("stream", desktop="a", text="more")
    assert screen.text == "a: one\nb: two\na: more"


def test_a_note_has_a_line_of_its_own(screen: Screen) -> None:
    screen.agent("stream", text="one")
    screen.view.show(Disconnected(1006, "lost", 0.5))
    screen.agent("stream", text="two")
    assert screen.text == "d: one\n* disconnected (1006 lost); next try in 0.5 s\nd: two"


def test_a_note_elsewhere_leaves_the_answers_line_alone() -> None:
    screen = Screen(named=False, apart=True)
    screen.agent("stream", text="one ")
    screen.view.note("the link is gone")
    screen.agent("response", text="one two")
    assert (screen.text, screen.notes) == ("one two\n", ["the link is gone"])


def test_a_whole_answer_after_lost_pieces_begins_a_line_wherever_the_notes_go() -> None:
    screen = Screen(named=False, apart=True)
    screen.agent("stream", text="two")
    screen.agent("response", text="one two")
    assert screen.text == "two\none two\n"
    assert len(screen.notes) == 1


def test_states(screen: Screen) -> None:
    screen.agent("status", status="thinking")
    screen.agent("status", status="idle")
    screen.agent("status", status="failed", reason="exit code 3", stderr="why\n  so")
    screen.agent("status", status="dreaming")
    assert screen.text == "* d is thinking\n* d failed: exit code 3\nwhy\n  so\n* d dreaming\n"


def test_unnamed_answers_stand_alone() -> None:
    screen = Screen(named=False)
    screen.agent("stream", text="one")
    screen.agent("response", text="one")
    assert screen.text == "one\n"


def test_escape_sequences_from_afar_do_not_reach_the_terminal(screen: Screen) -> None:
    screen.agent("stream", desktop="d\x1b[1m", text="a\x1b]0;evil\x07b\x9bc\r\tz")
    assert screen.text == "d[1m: a]0;evilbc\tz"


@pytest.mark.parametrize("payload", [{}, {"text": 5}, {"text": None}])
def test_strange_payloads_show_nothing(screen: Screen, payload: dict[str, Any]) -> None:
    screen.agent("stream", **payload)
    screen.agent("response", **payload)
    screen.agent("new", **payload)
    assert screen.text == ""


def test_answers_that_never_end_are_forgotten_in_the_end(screen: Screen) -> None:
    for number in range(1000):
        screen.agent("stream", question=str(number), text="x")
    assert len(screen.view._open) <= 64
