from typing import Any

import pytest

from hub.client.events import Connected, Disconnected, Event, Welcome
from hub.client.message import Message
from hub.client.offsets import MOST_DESKTOPS, Offsets


def said(offset: str, desktop_id: str = "d") -> Message:
    return Message("agent:stream", {}, 1, desktop_id=desktop_id, offset=offset)


def online(offset: str | None, desktop_id: Any = "d") -> Message:
    return Message("desktop:online", {"desktop_id": desktop_id}, 1, offset=offset)


def offline(offset: str | None, desktop_id: str = "d") -> Message:
    return Message("desktop:offline", {"desktop_id": desktop_id}, 1, offset=offset)


def resumed(offset: str, *, complete: bool) -> Message:
    return Message("resumed", {"desktop_id": "d", "complete": complete, "offset": offset}, 1)


def after(*messages: Message, start: dict[str, str] | None = None) -> Offsets:
    offsets = Offsets(start)
    for message in messages:
        offsets.admits(message)
    return offsets


def test_nothing_is_asked_for_at_first() -> None:
    assert Offsets().resume() == ""


def test_it_begins_where_it_is_told() -> None:
    assert Offsets({"a:b": "3-4", "c": "0-0"}).resume() == "a:b:3-4,c:0-0"


@pytest.mark.parametrize("start", [{"d": ""}, {"d": "1"}, {"d": "1-2-3"}, {"": "1-2"}, {"d,e": "1-2"}, {"ä": "1-2"}])
def test_what_is_no_beginning(start: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="a desktop and its offset"):
        Offsets(start)


def test_offsets_are_pairs_of_numbers_not_texts() -> None:
    offsets = after(said("9-9"))
    assert offsets.admits(said("9-10"))
    assert offsets.admits(said("10-1"))
    assert not offsets.admits(said("9-11"))
    assert offsets.known() == {"d": "10-1"}


@pytest.mark.parametrize("again", ["7-3", "7-2", "6-9"])
def test_what_was_there_before_is_not_given_again(again: str) -> None:
    assert not after(said("7-3")).admits(said(again))


def test_each_desktop_has_a_stream_of_its_own() -> None:
    assert after(said("7-3", "a")).admits(said("7-3", "b"))


def test_messages_without_an_offset_or_with_a_strange_one_are_given() -> None:
    offsets = after(said("7-3"))
    for message in (said("soon"), Message("error", {}, 1), Message("agent:stream", {}, 1, desktop_id="d")):
        assert offsets.admits(message)
    assert offsets.known() == {"d": "7-3"}


def test_a_desktop_that_is_new_is_followed_from_where_it_stands() -> None:
    assert after(online("7-0", "a"), offline("5-2", "b")).known() == {"a": "7-0", "b": "5-2"}


def test_of_a_known_desktop_only_what_is_read_counts() -> None:
    offsets = after(said("7-3"), online("7-9"))
    assert offsets.known() == {"d": "7-3"}
    assert offsets.admits(said("7-4"))


def test_presence_is_given_whatever_its_offset() -> None:
    offsets = after(said("7-3"))
    assert offsets.admits(online("7-1"))
    assert offsets.admits(offline("7-1"))


def test_a_replay_that_ends_further_on_moves_on() -> None:
    assert after(said("7-3"), resumed("8-0", complete=True)).known() == {"d": "8-0"}


def test_a_gap_in_the_middle_takes_nothing_back() -> None:
    assert after(said("7-9"), resumed("7-3", complete=False)).known() == {"d": "7-9"}


def test_the_desktops_heard_of_last_stay() -> None:
    start = {f"d{number}": "1-1" for number in range(MOST_DESKTOPS)}
    offsets = after(said("1-2", "d0"), online("1-1", "d1"), said("1-1", "new"), online("1-1", "newer"), start=start)
    assert len(offsets.known()) == MOST_DESKTOPS
    assert list(offsets.known())[-4:] == ["d0", "d1", "new", "newer"]
    assert not {"d2", "d3"} & set(offsets.known())


@pytest.mark.parametrize("desktop_id", [5, None, "", "a,b", "a" * 129])
def test_what_is_no_desktop_is_given_and_not_asked_for(desktop_id: Any) -> None:
    offsets = Offsets()
    assert offsets.admits(online("1-1", desktop_id))
    assert offsets.admits(said("1-1", desktop_id))
    assert offsets.resume() == ""


def test_a_desktop_that_could_not_be_asked_for_is_asked_for_in_the_end() -> None:
    offsets = after(offline(None))
    offsets.connected()
    assert offsets.overtakes(online("7-4"))
    assert offsets.resume() == "d:7-0"
    offsets.connected()
    assert not offsets.overtakes(online("7-4"))
    assert offsets.admits(online("7-4"))
    assert offsets.admits(said("7-1"))


@pytest.mark.parametrize("message", [online("7-0"), online(None), offline("7-4"), said("7-4"), online("7-4", "other")])
def test_nothing_was_missed(message: Message) -> None:
    offsets = after(offline(None))
    offsets.connected()
    assert not offsets.overtakes(message)


def test_nothing_was_missed_on_the_connection_that_is() -> None:
    assert not after(offline(None)).overtakes(online("7-4"))


def test_only_the_first_word_of_a_desktop_tells_what_was_missed() -> None:
    offsets = after(offline(None))
    offsets.connected()
    for message in (online("7-0"), online("7-4")):
        assert not offsets.overtakes(message)
        offsets.admits(message)


def test_following_a_reader_comes_to_the_same() -> None:
    offsets = Offsets()
    events: list[Event] = [
        Connected(Welcome()),
        offline(None),
        Disconnected(1006, "", 0.0),
        Connected(Welcome()),
        online("7-4"),
    ]
    for event in events:
        offsets.follow(event)
    assert offsets.known() == {"d": "7-0"}
    offsets.follow(said("7-1"))
    assert offsets.known() == {"d": "7-1"}
