"""The checker finds what is broken, and nothing else."""

import pytest

from tests.chaos.checker import OFFLINE, ONLINE, Change, Checker
from tests.chaos.letters import Letter
from tests.chaos.streams import Streams

PIECE = "agent:stream"


def heard_by(streams: Streams, phone: str, *offsets: str) -> None:
    """A phone connects and gets these; the number of a message is that of its place in the order of all."""
    streams.connected(phone, 0.0)
    hears(streams, phone, *offsets)


def hears(streams: Streams, phone: str, *offsets: str) -> None:
    for offset in offsets:
        epoch, _, seq = offset.partition("-")
        n = int(epoch) * 100 + int(seq)
        streams.said("d", n, PIECE)
        streams.hears(phone, "d", offset, n, PIECE, 0.0)


@pytest.fixture
def streams() -> Streams:
    """A phone that has everything: two connections of a desktop with three messages each."""
    streams = Streams()
    streams.ear("whole", "d")
    streams.ear("p", "d")
    heard_by(streams, "whole", "1-1", "1-2", "1-3", "2-1", "2-2", "2-3")
    return streams


def test_all_of_it_is_right(streams: Streams) -> None:
    heard_by(streams, "p", "1-1", "1-2", "1-3", "2-1", "2-2", "2-3")
    assert streams.out_of_order() == streams.lost("") == []


@pytest.mark.parametrize("offsets", [("1-1", "1-1"), ("1-2", "1-1"), ("2-1", "1-3")])
def test_twice_and_out_of_order(streams: Streams, offsets: tuple[str, ...]) -> None:
    heard_by(streams, "p", *offsets)
    assert streams.out_of_order() == [f"p of d: {offsets[1]} came behind {offsets[0]}"]


def test_another_message_under_the_same_offset(streams: Streams) -> None:
    streams.said("d", 7, PIECE)
    streams.hears("p", "d", "1-1", 7, PIECE, 0.0)
    assert streams.out_of_order() == ["p: 1-1 of d is 7 here and 101 elsewhere"]


def test_what_was_never_said(streams: Streams) -> None:
    streams.hears("p", "d", "3-1", 301, PIECE, 0.0)
    assert streams.out_of_order() == ["p: d never said 301 as agent:stream"]


@pytest.mark.parametrize(
    ("offsets", "text"),
    [
        (("1-1", "1-3", "2-1", "2-2", "2-3"), "p of d: 1 behind 1-1, from 1-2 to 1-2"),
        (("1-1", "1-2", "2-1", "2-2", "2-3"), "p of d: 1 behind 1-2, from 1-3 to 1-3"),
        (("1-1", "1-2", "1-3", "2-2", "2-3"), "p of d: 1 behind 1-3, from 2-1 to 2-1"),
        (("1-1", "1-2", "1-3"), "p of d: 3 behind 1-3, from 2-1 to 2-3"),
    ],
    ids=["within a connection", "at its end", "at the beginning of the next", "at the end of all"],
)
def test_missing_unsaid(streams: Streams, offsets: tuple[str, ...], text: str) -> None:
    heard_by(streams, "p", "1-1")
    streams.resumed("p", "d", "1-1", 0.0, complete=True)
    hears(streams, "p", *offsets[1:])
    assert streams.lost("") == [text]


@pytest.mark.parametrize(("later_s", "told"), [(1.0, "cut"), (9.0, "")])
def test_missing_and_cut_before_it_could_be_told(streams: Streams, later_s: float, told: str) -> None:
    heard_by(streams, "p", "1-1", "1-2")
    streams.resumed("p", "d", "1-2", 0.0, complete=True)
    hears(streams, "p", "2-1", "2-2", "2-3")
    streams.connected("p", later_s)
    streams.resumed("p", "d", "2-3", later_s, complete=True)
    assert streams.lost(told) == ["p of d: 1 behind 1-2, from 1-3 to 1-3"]


def test_missing_and_told_afterwards(streams: Streams) -> None:
    heard_by(streams, "p", "1-1")
    streams.resumed("p", "d", "1-1", 0.0, complete=True)
    hears(streams, "p", "1-3", "2-1", "2-3")
    streams.resumed("p", "d", "2-3", 0.0, complete=False)
    assert len(streams.lost("told")) == 2
    assert streams.lost("") == []


def test_missing_and_told_before(streams: Streams) -> None:
    heard_by(streams, "p", "1-1", "1-2")
    streams.resumed("p", "d", "1-2", 0.0, complete=True)
    streams.resumed("p", "d", "1-2", 0.0, complete=False)
    hears(streams, "p", "2-1", "2-2", "2-3")
    assert streams.lost("") == []
    assert streams.lost("told") == ["p of d: 1 behind 1-2, from 1-3 to 1-3"]


@pytest.mark.parametrize(("complete", "told"), [(False, "told"), (True, "denied")])
def test_missing_in_a_replay(streams: Streams, complete: bool, told: str) -> None:
    heard_by(streams, "p", "1-1", "1-3", "2-1", "2-2", "2-3")
    streams.resumed("p", "d", "2-3", 0.0, complete=complete)
    assert streams.lost(told) == ["p of d: 1 behind 1-1, from 1-2 to 1-2"]


def test_a_replay_that_is_called_complete_and_then_is_not(streams: Streams) -> None:
    heard_by(streams, "p", "1-1", "1-3", "2-1", "2-2", "2-3")
    streams.resumed("p", "d", "2-3", 0.0, complete=True)
    streams.resumed("p", "d", "2-3", 1.0, complete=False)
    assert streams.lost("told") == ["p of d: 1 behind 1-1, from 1-2 to 1-2"]


def test_a_replay_that_ends_too_early_and_says_that_it_is_complete(streams: Streams) -> None:
    heard_by(streams, "p", "1-1")
    streams.resumed("p", "d", "2-3", 0.0, complete=True)
    assert streams.lost("denied") == ["p of d: 5 behind 1-1, from 1-2 to 2-3"]


def test_a_replay_that_was_cut_could_not_say_what_was_missing(streams: Streams) -> None:
    heard_by(streams, "p", "1-1", "1-3")
    heard_by(streams, "p", "2-1", "2-2", "2-3")
    streams.resumed("p", "d", "2-3", 0.0, complete=True)
    assert streams.lost("cut") == ["p of d: 1 behind 1-1, from 1-2 to 1-2"]
    assert streams.lost("") == streams.lost("denied") == []


# -- messages, presence and the rest -------------------------------------------------------------------------------


@pytest.fixture
def checker() -> Checker:
    """Two users with a desktop and a phone each, and a message from the first phone."""
    checker = Checker()
    for number in (1, 2):
        checker.desktop(f"d{number}", f"u{number}")
        checker.phone(f"p{number}", f"u{number}")
    checker.letters.posted("m", Letter("u1", "p1", "d1"))
    return checker


def broken(checker: Checker, *changes: Change) -> dict[str, list[str]]:
    return {each.promise: each.broken for each in checker.findings(changes) if each.broken}


def test_a_message_that_came_and_is_known_to_be_taken(checker: Checker) -> None:
    checker.letters.receipt("p1", "m", "stored")
    checker.letters.arrived("d1", "u1", "p1", "m")
    checker.letters.arrived("d1", "u1", "p1", "m")
    checker.letters.receipt("p1", "m", "acknowledged")
    assert broken(checker) == {}


@pytest.mark.parametrize("status", ["stored", "acknowledged"])
def test_a_promised_message_that_never_came(checker: Checker, status: str) -> None:
    checker.letters.receipt("p1", "m", status)
    assert broken(checker) == {"what is stored or acknowledged has come to its desktop": [f"m for d1: {status}"]}


def test_a_message_that_was_delivered_to_a_dying_link_while_redis_was_away(checker: Checker) -> None:
    checker.letters.receipt("p1", "m", "delivered")
    assert broken(checker) == {}


def test_a_message_that_came_and_nobody_knows(checker: Checker) -> None:
    checker.letters.receipt("p1", "m", "stored")
    checker.letters.arrived("d1", "u1", "p1", "m")
    assert broken(checker) == {"what a desktop acknowledged its sender is told": ["m from p1: stored"]}


def test_a_message_without_any_answer_and_one_that_is_refused(checker: Checker) -> None:
    checker.letters.refuse("m", "desktop_not_found")
    assert broken(checker) == {
        "every message is answered": ["m"],
        "no message is refused for good": ["m: desktop_not_found"],
    }


def test_what_comes_to_others(checker: Checker) -> None:
    checker.letters.receipt("p1", "m", "delivered")
    checker.letters.receipt("p2", "m", "delivered")
    checker.letters.arrived("d2", "u2", "p1", "m")
    checker.noticed("p2", "d1", ONLINE)
    checker.streams.said("d1", 1, PIECE)
    checker.hears("p2", "d1", "1-1", 1, PIECE, 0.0)
    assert broken(checker)["nothing comes to others"] == [
        "p2 was told of m, which isn't its own",
        "d2 got m of p1 of u2",
        "p2 got online of d1",
        "p2 got agent:stream of d1",
    ]


def test_who_is_seen_otherwise_than_it_is(checker: Checker) -> None:
    checker.letters.receipt("p1", "m", "delivered")
    checker.truly("d1", OFFLINE, "quit")
    checker.noticed("p1", "d1", ONLINE)
    found = broken(checker, Change("d1", ONLINE, ""), Change("d1", OFFLINE, "quit"))
    assert found == {
        "all phones see in the end who is there": ["p1 sees d1 ('online', ''), and it is ('offline', 'quit')"]
    }


def test_what_nodes_say_over_http(checker: Checker) -> None:
    checker.letters.receipt("p1", "m", "delivered")
    checker.truly("d1", OFFLINE)
    checker.noticed("p1", "d1", OFFLINE)
    checker.answered("n1", "d1", OFFLINE)
    checker.answered("n2", "d1", "unknown")
    assert broken(checker) == {"all nodes say in the end who is there": ["n2 says that d1 is unknown"]}


@pytest.mark.parametrize(
    ("states", "text"),
    [
        ([ONLINE, ONLINE], "d1: online, online"),
        ([ONLINE, OFFLINE, OFFLINE, ONLINE], "d1: online, offline, offline, online"),
        ([OFFLINE, ONLINE], "d1: offline, online"),
        ([ONLINE, OFFLINE], "d1 is online, and its last entry says offline"),
        ([], "d1 is online, and its last entry says nothing"),
    ],
)
def test_changes_that_are_told_twice_or_not_at_all(checker: Checker, states: list[str], text: str) -> None:
    checker.letters.receipt("p1", "m", "delivered")
    checker.truly("d1", ONLINE)
    checker.noticed("p1", "d1", ONLINE)
    changes = [Change("d1", state, "") for state in states]
    assert broken(checker, *changes) == {"hub:presence has one entry a change": [text]}


def test_who_is_turned_away_or_unheard(checker: Checker) -> None:
    checker.letters.receipt("p1", "m", "delivered")
    checker.turned_away("p1", "4005")
    checker.unheard("d1")
    assert broken(checker) == {
        "nobody who comes back is turned away": ["p1: 4005"],
        "in the end all phones hear all desktops": ["d1"],
    }


def test_whole_answers_that_the_journal_does_not_have(checker: Checker) -> None:
    for n, kind in ((1, "agent:response"), (2, PIECE), (3, "agent:status"), (4, "agent:response")):
        checker.streams.said("d1", n, kind)
        checker.hears("p1", "d1", f"1-{n}", n, kind, 0.0)
    assert checker.kept("d1", [1], [4]).broken == ["3 of d1"]
    assert checker.kept("d1", [1, 3, 4], []).broken == []
