import asyncio

import pytest

from hub.cli.roster import NoChoice, Roster
from hub.client import Connected, Disconnected, Message, Welcome


def online(desktop_id: str) -> Message:
    return Message("desktop:online", {"desktop_id": desktop_id}, 1)


def offline(desktop_id: str) -> Message:
    return Message("desktop:offline", {"desktop_id": desktop_id, "reason": "closed"}, 1)


@pytest.fixture
def roster() -> Roster:
    return Roster()


def test_the_only_one_is_chosen(roster: Roster) -> None:
    roster.note(online("a"))
    roster.note(online("b"))
    roster.note(offline("a"))
    assert roster.choose(None) == "b"


def test_the_wanted_one_is_chosen_whoever_is_online(roster: Roster) -> None:
    roster.note(online("a"))
    assert roster.choose("z") == "z"


def test_none_online_is_no_choice(roster: Roster) -> None:
    with pytest.raises(NoChoice, match="no desktop is online"):
        roster.choose(None)


def test_several_are_no_choice(roster: Roster) -> None:
    roster.note(online("b"))
    roster.note(online("a"))
    with pytest.raises(NoChoice, match="a, b"):
        roster.choose(None)


def test_what_was_last_known_lasts_until_the_next_connection(roster: Roster) -> None:
    roster.note(online("a"))
    roster.note(Disconnected(1006, "lost", 1.0))
    assert roster.choose(None) == "a"
    roster.note(Connected(Welcome()))
    assert roster.online == {}


@pytest.mark.parametrize("wanted", [None, "a"])
def test_the_one_chosen_last_will_do_when_none_is_online(roster: Roster, wanted: str | None) -> None:
    roster.note(online("a"))
    roster.choose(wanted)
    roster.note(offline("a"))
    assert roster.choose(None) == "a"
    roster.note(online("b"))
    assert roster.choose(None) == "b"


def test_what_makes_no_sense_is_left_alone(roster: Roster) -> None:
    roster.note(Message("desktop:online", {"desktop_id": 5}, 1))
    roster.note(Message("desktop:offline", {}, 1))
    roster.note(offline("never seen"))
    assert roster.online == {}


async def test_until_wakes_on_a_change(roster: Roster) -> None:
    waiting = asyncio.create_task(roster.until(lambda: len(roster.online) == 2))
    await asyncio.sleep(0)
    roster.note(online("a"))
    await asyncio.sleep(0)
    assert not waiting.done()
    roster.note(online("b"))
    await waiting
