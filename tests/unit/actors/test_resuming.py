"""Phones that come back: what they get, when they hear a desktop again, and what desktops leave in the journal."""

from typing import Any

import pytest

from actors.closing import CloseReason
from actors.ids import DesktopId, Epoch, UserId
from actors.journal import JournalPage, Opening
from actors.offsets import BEGINNING, Offset
from actors.policy import Policy
from actors.replay import PIECE_FRAMES
from tests.support.peers import Peer, World

U1, D1 = UserId("u1"), DesktopId("d1")
MANY = 2 * PIECE_FRAMES + 10
"""More messages than two pieces of a replay: the second one is in the inbox when the first is written."""
FAST = Policy(rate=None)


def speak(desktop: Peer, times: int = 1, kind: str = "agent:response") -> None:
    for _ in range(times):
        desktop.say(kind)


def told(messages: list[dict[str, Any]]) -> list[str]:
    """Write down what desktops said as offsets, and each `resumed` as `desktop: offset` with `!` if complete."""
    words = []
    for message in messages:
        if message["type"] == "Resumed":
            payload = message["payload"]
            words.append(f"{payload['desktop_id']}: {payload['offset']}{'!' if payload['complete'] else ''}")
        elif message["type"].startswith("agent:"):
            words.append(message["offset"])
    return words


def back(world: World, *, user: str = "u1", **after: str) -> tuple[Peer, list[str]]:
    """A phone comes back: it, and what it is told."""
    phone = world.phone_peer(user, resume=after)
    phone.open()
    return phone, told(phone.heard())


def slow(world: World, **after: str) -> Peer:
    """A phone that takes its welcome and the first piece of its replay, and no more for now."""
    phone = world.phone_peer(resume=after)
    phone.connection.start(phone.socket)
    world.turns.run()
    phone.socket.writable = False
    world.scheduler.settle()
    return phone


def reads_on(phone: Peer) -> list[str]:
    phone.socket.writable = True
    phone.connection.writable_again()
    return told(phone.heard())


def journal_of(world: World, user: str = "u1", desktop: str = "d1") -> str:
    """What is kept: `E-0<AFTER` for an opening, and the head behind `|`; `?` is what nobody knows."""
    pages: list[JournalPage | None] = []
    world.journal.read(UserId(user), DesktopId(desktop), BEGINNING, pages.append)
    world.scheduler.settle()
    [page] = pages
    assert page is not None
    words = [f"{e.offset}<{e.after or '?'}" if isinstance(e, Opening) else str(e.offset) for e in page.entries]
    return " ".join([*words, "|", str(page.head or "?")])


def after_the_hub(world: World, policy: Policy = FAST) -> World:
    """The next life of the hub, on the same store."""
    new = World(policy)
    new.journal._kept = world.journal._kept
    new.epochs.pass_by(Epoch(100))
    return new


# -- what a phone gets ---------------------------------------------------------------------------------------------


def test_a_phone_that_comes_back_gets_what_it_missed_and_then_everything_newer() -> None:
    world = World()
    desktop = world.desktop()
    speak(desktop, 3, "agent:stream")
    phone, heard = back(world, d1="1-1")
    assert heard == ["1-2", "1-3", "d1: 1-3!"]
    speak(desktop)
    assert told(phone.heard()) == ["1-4"]
    assert world.tallies.replays == {True: 1}


def test_a_phone_that_does_not_ask_gets_what_comes_from_now_on() -> None:
    world = World()
    desktop = world.desktop()
    speak(desktop, 3)
    phone, heard = back(world)
    assert heard == []
    speak(desktop)
    assert told(phone.heard()) == ["1-4"]


def test_the_beginning_replays_all_there_is() -> None:
    world = World()
    speak(world.desktop(), 2)
    speak(world.desktop(), 1)
    assert back(world, d1="0-0")[1] == ["1-1", "1-2", "2-1", "d1: 2-1!"]


def test_a_replay_comes_behind_the_welcome_and_the_snapshot() -> None:
    world = World()
    speak(world.desktop())
    phone = world.phone_peer(resume={"d1": "0-0"})
    phone.open()
    assert phone.heard_types() == ["Welcome", "DesktopOnline", "agent:response", "Resumed"]


def test_several_desktops_come_one_after_the_other_in_the_order_asked_for() -> None:
    world = World()
    for name in ("d1", "d2", "d3"):
        speak(world.desktop(name), 2)
    assert back(world, d3="3-1", d1="1-1")[1] == ["3-2", "d3: 3-2!", "1-2", "d1: 1-2!"]


def test_fifty_desktops_are_resumed_and_heard() -> None:
    world = World()
    desktops = [world.desktop(f"d{n}") for n in range(50)]
    for desktop in desktops:
        speak(desktop, 2)
    phone, heard = back(world, **{f"d{n}": f"{n + 1}-1" for n in range(50)})
    assert heard == [word for n in range(50) for word in (f"{n + 1}-2", f"d{n}: {n + 1}-2!")]
    for desktop in desktops:
        speak(desktop)
    assert told(phone.heard()) == [f"{n + 1}-3" for n in range(50)]
    assert world.supervisor._registry.users[U1].behind == {}


def test_of_another_users_desktop_nothing_comes_but_the_end() -> None:
    world = World()
    speak(world.desktop("d1", "u2"), 2)
    assert back(world, d1="1-0")[1] == ["d1: 0-0"]
    assert back(world, d1="0-0")[1] == ["d1: 0-0!"], "to this user it never said anything"


def test_what_is_only_in_the_journal_comes_without_the_pieces_and_says_so() -> None:
    world = World()
    desktop = world.desktop()
    for kind in ("agent:response", "agent:stream", "agent:status"):
        desktop.say(kind)
    desktop.hang_up()
    assert not world.supervisor._registry.users, "nobody is connected, so nothing of it is in memory"
    assert back(world, d1="0-0")[1] == ["1-1", "1-3", "d1: 1-3"]
    assert back(world, d1="1-2")[1] == ["1-3", "d1: 1-3!"]
    assert world.tallies.replays == {False: 1, True: 1}


def test_the_ring_lives_as_long_as_a_phone_of_the_owner_is_there() -> None:
    world = World()
    watching, desktop = world.phone(), world.desktop()
    speak(desktop, 3, "agent:stream")
    desktop.hang_up()
    assert back(world, d1="1-1")[1] == ["1-2", "1-3", "d1: 1-3!"]
    assert watching.closed() is None


def test_from_the_journal_come_the_newest_and_no_more_than_allowed() -> None:
    world = World(Policy(replay_messages=2))
    desktop = world.desktop()
    speak(desktop, 5)
    desktop.hang_up()
    assert back(world, d1="1-1")[1] == ["1-4", "1-5", "d1: 1-5"]


def test_a_desktop_that_was_only_there_has_nothing_that_could_be_missed() -> None:
    """`desktop:online` told the phone the place `1-0`."""
    world = World()
    world.desktop()
    assert back(world, d1="1-0")[1] == ["d1: 1-0!"]
    desktop = world.desktop()
    speak(desktop, 2)
    world.desktop()
    assert back(world, d1="3-0")[1] == ["d1: 2-2!"], "the newest connection has said nothing yet"


def test_after_an_orderly_stop_of_the_hub_nothing_is_missing() -> None:
    world = World()
    desktop = world.desktop()
    speak(desktop, 2)
    desktop.connection.close(CloseReason.RESTARTING)
    speak(desktop)
    desktop.lose_link()
    world = after_the_hub(world)
    assert back(world, d1="1-1")[1] == ["1-2", "1-3", "d1: 1-3!"]
    speak(world.desktop(), 1, "agent:stream")
    assert back(world, d1="1-1")[1] == ["1-2", "1-3", "101-1", "d1: 101-1!"]


def test_after_the_hub_was_killed_nobody_can_know() -> None:
    world = World()
    speak(world.desktop(), 2)
    world = after_the_hub(world)
    assert back(world, d1="1-1")[1] == ["1-2", "d1: 1-2"]
    speak(world.desktop())
    assert back(world, d1="1-1")[1] == ["1-2", "101-1", "d1: 101-1"]
    assert back(world, d1="101-0")[1] == ["101-1", "d1: 101-1!"]


def test_while_the_store_is_away_there_is_what_is_in_memory() -> None:
    world = World()
    desktop = world.desktop()
    speak(desktop, 3)
    world.journal.away = True
    assert back(world, d1="1-1")[1] == ["1-2", "1-3", "d1: 1-3!"], "of this the journal needs not be asked"
    assert back(world, d1="0-0")[1] == ["1-1", "1-2", "1-3", "d1: 1-3"]
    assert back(world, d2="4-1")[1] == ["d2: 4-1"]
    world.journal.away = False
    assert back(world, d1="0-0")[1] == ["1-1", "1-2", "1-3", "d1: 1-3!"]


def test_a_phone_that_was_told_that_something_is_missing_is_not_told_again_when_the_store_proves_it() -> None:
    world = World()
    newer_was_here(world, epoch=1)
    world.epochs.pass_by(Epoch(1))
    world.journal.away = True
    peer, told = back(world, d1="0-0")
    assert told == ["d1: 0-0"]
    speak(world.desktop(), 1)
    world.journal.away = False
    world.scheduler.settle()
    assert [m["type"] for m in peer.heard() if m["type"] in ("Resumed", "agent:response")] == ["agent:response"]


# -- while it is under way -----------------------------------------------------------------------------------------


def test_nothing_newer_overtakes_a_replay_and_nothing_falls_between() -> None:
    world = World(FAST)
    desktop, other = world.desktop("d1"), world.desktop("d2")
    speak(desktop, MANY)
    phone = slow(world, d1="1-0")
    speak(desktop, 2)
    speak(other)
    heard = reads_on(phone)
    speak(desktop)
    heard += told(phone.heard())
    assert [word for word in heard if word != "2-1"] == [
        *(f"1-{seq}" for seq in range(1, MANY + 3)),
        f"d1: 1-{MANY + 2}!",
        f"1-{MANY + 3}",
    ]
    assert heard.index("2-1") < heard.index(f"1-{MANY}"), "other desktops come in between"


def test_a_phone_that_does_not_read_delays_nobody() -> None:
    world = World(FAST)
    desktop = world.desktop()
    speak(desktop, MANY)
    slow(world, d1="1-0")
    other, heard = back(world, d1=f"1-{MANY}")
    assert heard == [f"d1: 1-{MANY}!"]
    speak(desktop)
    assert told(other.heard()) == [f"1-{MANY + 1}"]


def test_presence_comes_in_between() -> None:
    world = World(FAST)
    desktop = world.desktop()
    speak(desktop, MANY)
    phone = slow(world, d1="1-0")
    desktop.hang_up()
    world.desktop()
    phone.socket.writable = True
    phone.connection.writable_again()
    kinds = phone.heard_types()
    assert kinds.index("DesktopOffline") < kinds.index("Resumed")


def test_a_desktop_that_comes_back_meanwhile_is_followed_into_its_new_connection() -> None:
    world = World(FAST)
    desktop = world.desktop()
    speak(desktop, MANY)
    phone = slow(world, d1="1-0")
    desktop.lose_link()
    desktop = world.desktop()
    speak(desktop, 2)
    heard = reads_on(phone)
    assert heard == [*(f"1-{seq}" for seq in range(1, MANY + 1)), "2-1", "2-2", "d1: 2-2!"]
    speak(desktop)
    assert told(phone.heard()) == ["2-3"]


def test_a_desktop_that_goes_to_another_user_meanwhile_is_read_to_its_end_from_the_journal() -> None:
    world = World(FAST)
    desktop = world.desktop()
    speak(desktop, MANY)
    phone = slow(world, d1="1-0")
    speak(world.desktop("d1", "u2"), 3)
    assert reads_on(phone) == [*(f"1-{seq}" for seq in range(1, MANY + 1)), f"d1: 1-{MANY}!"]


def test_a_desktop_that_goes_to_another_user_and_back_meanwhile_is_heard_again() -> None:
    world = World(FAST)
    speak(world.desktop(), MANY)
    phone = slow(world, d1="1-0")
    speak(world.desktop("d1", "u2"), 3)
    desktop = world.desktop()
    speak(desktop)
    assert reads_on(phone)[-3:] == [f"1-{MANY}", "3-1", "d1: 3-1!"]
    speak(desktop)
    assert told(phone.heard()) == ["3-2"]


def test_a_ring_that_is_overrun_has_the_replay_go_on_from_the_journal() -> None:
    world = World(Policy(rate=None, ring_frames=MANY))
    desktop = world.desktop()
    speak(desktop, MANY)
    phone = slow(world, d1="1-0")
    speak(desktop, 2 * MANY)
    assert reads_on(phone) == [*(f"1-{seq}" for seq in range(1, 3 * MANY + 1)), f"d1: 1-{3 * MANY}!"]


@pytest.mark.parametrize("end", ["hang_up", "lose_link", "superseded"])
def test_a_phone_that_goes_in_the_middle_of_a_replay_leaves_nothing_behind(end: str) -> None:
    world = World(FAST)
    desktop = world.desktop()
    speak(desktop, MANY)
    phone = world.phone_peer(device="x", resume={"d1": "1-0", "d2": "0-0"})
    phone.connection.start(phone.socket)
    world.turns.run()
    phone.socket.writable = False
    if end == "superseded":
        world.phone(device="x")
        assert phone.closed() is CloseReason.SUPERSEDED
    else:
        getattr(phone, end)()
    world.scheduler.settle()
    assert world.supervisor._registry.users[U1].behind == {}
    assert not world.tallies.replays
    speak(desktop)
    assert f"1-{MANY + 1}" not in told(phone.heard())


def test_a_phone_that_goes_while_the_journal_is_asked_is_told_nothing_more() -> None:
    world = World()
    desktop = world.desktop()
    speak(desktop)
    desktop.hang_up()
    phone = world.phone_peer(resume={"d1": "0-0"})
    phone.connection.start(phone.socket)
    phone.connection.link_lost()
    assert told(phone.heard()) == []
    assert not world.tallies.replays


# -- slow readers --------------------------------------------------------------------------------------------------


def test_a_slow_phone_loses_pieces_first_is_told_so_and_may_ask_again() -> None:
    world = World(Policy(rate=None, inbox_frames=16))
    phone, desktop = world.phone(), world.desktop()
    speak(desktop)
    phone.heard()
    phone.socket.writable = False
    speak(desktop, 10, "agent:stream")
    speak(desktop)
    phone.socket.writable = True
    phone.connection.writable_again()
    heard = told(phone.heard())
    phone.say("heartbeat")
    heard += told(phone.heard())
    said = [word for word in heard if not word.startswith("d1")]
    assert (heard[0], heard[-1], heard.count("d1: 1-1")) == ("d1: 1-1", "d1: 1-1", 2), "at the gap, and when it is over"
    assert (len(said) < 11, said[-1]) == (True, "1-12"), "the answer comes, whatever pieces of it are left out"
    assert world.tallies.gaps > 0
    phone.hang_up()
    assert back(world, d1="1-1")[1] == [*(f"1-{seq}" for seq in range(2, 13)), "d1: 1-12!"]


def test_a_phone_that_was_closed_as_too_slow_comes_back_and_misses_nothing() -> None:
    """Also if it missed more than its inbox holds."""
    world = World(Policy(rate=None, inbox_frames=16, inbox_bytes=2048))
    phone, desktop = world.phone(), world.desktop()
    phone.heard()
    phone.socket.writable = False
    speak(desktop, 50)
    assert phone.closed() is CloseReason.SLOW_CONSUMER
    expected = [*(f"1-{seq}" for seq in range(1, 51)), "d1: 1-50!"]
    assert back(world, d1="1-0")[1] == expected, "from the ring"
    desktop.hang_up()
    assert back(world, d1="1-0")[1] == expected, "from the journal"


# -- what a desktop's connection leaves in the journal -------------------------------------------------------------


def test_a_connection_opens_with_its_first_message_and_tells_its_end() -> None:
    world = World()
    desktop = world.desktop()
    assert journal_of(world) == "| 0-0"
    for kind in ("agent:stream", "agent:response", "agent:stream", "agent:status", "agent:stream"):
        desktop.say(kind)
    assert journal_of(world) == "1-0<0-0 1-2 1-4 | ?"
    desktop.hang_up()
    assert journal_of(world) == "1-0<0-0 1-2 1-4 | 1-5"


def test_a_connection_that_says_nothing_leaves_no_trace() -> None:
    world = World()
    speak(world.desktop())
    world.desktop().hang_up()
    speak(world.desktop())
    assert journal_of(world) == "1-0<0-0 1-1 3-0<1-1 3-1 | ?"


@pytest.mark.parametrize("end", ["hang_up", "lose_link", "superseded", "another owner"])
def test_every_end_but_the_hubs_own_death_is_told(end: str) -> None:
    world = World()
    desktop = world.desktop()
    speak(desktop, 2, "agent:stream")
    if end == "superseded":
        world.desktop()
    elif end == "another owner":
        world.desktop("d1", "u2")
    else:
        getattr(desktop, end)()
    assert journal_of(world) == "1-0<0-0 | 1-2"


def test_an_end_is_told_once() -> None:
    world = World()
    desktop = world.desktop()
    speak(desktop)
    desktop.hang_up()
    world.journal.lose_everything()
    desktop.lose_link()
    assert journal_of(world) == "| 0-0"


def test_while_the_hub_restarts_the_end_is_told_behind_the_last_message() -> None:
    world = World()
    desktop = world.desktop()
    speak(desktop)
    desktop.connection.close(CloseReason.RESTARTING)
    speak(desktop)
    assert journal_of(world) == "1-0<0-0 1-1 1-2 | ?"
    desktop.lose_link()
    assert journal_of(world) == "1-0<0-0 1-1 1-2 | 1-2"


def test_a_connection_that_is_replaced_while_the_hub_restarts_does_not_write_into_the_newer_ones_numbers() -> None:
    world = World()
    phone, old = world.phone(), world.desktop()
    speak(old)
    old.connection.close(CloseReason.RESTARTING)
    new = world.desktop()
    speak(new)
    phone.heard()
    speak(old)
    speak(new)
    assert told(phone.heard()) == ["2-2"]
    assert journal_of(world) == "1-0<0-0 1-1 2-0<? 2-1 2-2 | ?"


def test_desktops_of_two_users_with_the_same_id_one_after_the_other_have_journals_of_their_own() -> None:
    world = World()
    speak(world.desktop("d1", "u1"))
    speak(world.desktop("d1", "u2"))
    assert journal_of(world, "u1") == "1-0<0-0 1-1 | 1-1"
    assert journal_of(world, "u2") == "2-0<0-0 2-1 | ?"


# -- epochs that went back -----------------------------------------------------------------------------------------


def newer_was_here(world: World, epoch: int = 50) -> None:
    """Another life of the hub, whose clock was ahead, has written."""
    world.journal.open(U1, D1, Epoch(epoch), lambda _: None, lambda _: None)
    world.journal.append(U1, D1, Offset(epoch, 1), b'{"type": "agent:response", "offset": "%d-1"}' % epoch)
    world.journal.close(U1, D1, Offset(epoch, 1))
    world.scheduler.settle()


def test_a_desktop_whose_epoch_is_older_than_the_journals_is_closed_with_4202_and_gets_a_newer_one() -> None:
    world = World()
    newer_was_here(world)
    desktop = world.desktop()
    speak(desktop)
    assert desktop.closed() is CloseReason.RESYNC
    speak(world.desktop())
    assert journal_of(world) == "50-1 51-0<50-1 51-1 | ?"


def test_for_the_phones_a_desktop_that_resyncs_was_never_away_and_what_they_missed_is_given() -> None:
    world = World()
    newer_was_here(world)
    phone, desktop = world.phone(), world.desktop()
    phone.heard()
    speak(desktop)
    desktop.lose_link()
    speak(world.desktop())
    world.advance(10)
    heard = phone.heard()
    assert [m["type"] for m in heard] == ["agent:response", "agent:response", "Resumed", "agent:response"]
    assert [m["offset"] for m in heard if m["type"] == "agent:response"] == ["1-1", "50-1", "51-1"]


def test_what_the_newer_epoch_wrote_is_not_hidden_by_what_the_older_one_said() -> None:
    world = World()
    newer_was_here(world)
    world.phone()
    speak(world.desktop())
    speak(world.desktop())
    assert back(world, d1="50-0")[1] == ["50-1", "51-1", "d1: 51-1!"]
