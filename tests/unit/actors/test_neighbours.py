"""Several nodes, one user: what phones and desktops see is what they would see on one node."""

from typing import Any

import pytest

from actors.closing import CloseReason
from actors.desktop import DesktopConnection
from actors.ids import DesktopId, Epoch, NodeId, UserId
from actors.nodes import Pieces, Shared
from actors.policy import Policy
from tests.support.actors import PlacingCodec
from tests.support.peers import Peer, World

A, B, C = NodeId("node/1"), NodeId("node/2"), NodeId("node/3")


def two(policy: Policy | None = None) -> tuple[World, World]:
    here = World(policy, PlacingCodec())
    return here, World(policy, PlacingCodec(), node="node/2", beside=here)


def three() -> tuple[World, World, World]:
    here, there = two()
    return here, there, World(codec=PlacingCodec(), node="node/3", beside=here)


def pieces(peer: Peer) -> list[str]:
    """Offsets of what came from desktops."""
    return [message["offset"] for message in peer.heard() if message["type"].startswith("agent:")]


def news(peer: Peer) -> list[tuple[str, Any]]:
    """What a phone was told about desktops: whether each is there, and why not or where it stands."""
    told = []
    for message in peer.heard():
        if message["type"] == "DesktopOnline":
            told.append((f"{message['payload']['desktop_id']} online", message.get("offset")))
        elif message["type"] == "DesktopOffline":
            told.append((f"{message['payload']['desktop_id']} offline", message["payload"]["reason"]))
        elif message["type"] == "Resumed":
            told.append(("resumed", message["payload"]["complete"]))
    return told


def pieces_and_ends(phone: Peer) -> tuple[list[str], list[bool]]:
    """Offsets of what came from desktops, and whether each `resumed` said that it was all."""
    heard = phone.heard()
    offsets = [m["offset"] for m in heard if m["type"].startswith("agent:")]
    return offsets, [m["payload"]["complete"] for m in heard if m["type"] == "Resumed"]


# -- presence ------------------------------------------------------------------------------------------------------


def test_a_phone_that_comes_later_is_shown_a_desktop_of_another_node() -> None:
    a, b = two()
    desktop = a.desktop("d1")
    desktop.say("agent:stream")
    phone = b.phone_peer()
    phone.open()
    assert news(phone) == [("d1 online", "1-1")]


def test_a_desktop_that_comes_later_is_shown_to_the_phones_of_all_nodes() -> None:
    a, b, c = three()
    phones = [world.phone() for world in (a, b, c)]
    a.desktop("d1")
    assert [news(phone) for phone in phones] == [[("d1 online", "1-0")]] * 3


def test_a_desktop_that_goes_is_shown_away_everywhere_with_its_reason() -> None:
    a, b = two()
    phone, desktop = b.phone(), a.desktop("d1")
    news(phone)
    desktop.say("goodbye", {"reason": "sleep"})
    assert news(phone) == [("d1 offline", "sleep")]


def test_a_lost_link_is_shown_after_the_grace() -> None:
    a, b = two()
    phone, desktop = b.phone(), a.desktop("d1")
    news(phone)
    desktop.lose_link()
    assert news(phone) == []
    a.advance(5.1)
    assert news(phone) == [("d1 offline", "lost")]


def test_two_nodes_that_enter_at_the_same_moment_do_not_miss_each_other() -> None:
    a, b = two()
    phone, desktop = b.phone_peer(), a.desktop_peer("d1")
    phone.connection.start(phone.socket)
    desktop.connection.start(desktop.socket)
    assert news(phone) == [("d1 online", "1-0")]
    desktop.say("agent:stream")
    assert pieces(phone) == ["1-1"]


def test_a_node_that_is_alone_sends_nothing() -> None:
    a, b = two()
    a.phone()
    a.desktop("d1").say("agent:stream")
    b.phone("another")
    assert a.hub.sent == []


# -- what desktops say -------------------------------------------------------------------------------------------


def test_what_a_desktop_says_reaches_the_phones_of_all_nodes_once_and_in_order() -> None:
    a, b, c = three()
    desktop = a.desktop("d1")
    phones = [a.phone(), b.phone(), b.phone(), c.phone()]
    for _ in range(5):
        desktop.say("agent:stream")
    assert [pieces(phone) for phone in phones] == [[f"1-{n}" for n in range(1, 6)]] * 4


def test_each_node_is_sent_a_piece_once_however_many_phones_it_has() -> None:
    a, b = two()
    desktop = a.desktop("d1")
    for _ in range(3):
        b.phone()
    a.hub.sent.clear()
    desktop.say("agent:stream")
    assert [to for _, to, word in a.hub.sent if isinstance(word, Pieces)] == [B]


def test_a_node_whose_last_phone_left_is_sent_nothing_more() -> None:
    a, b = two()
    desktop, phone = a.desktop("d1"), b.phone()
    phone.hang_up()
    a.hub.sent.clear()
    desktop.say("agent:stream")
    assert a.hub.sent == []


def test_a_phone_that_comes_back_to_another_node_misses_nothing() -> None:
    a, b = two()
    desktop, phone = a.desktop("d1"), a.phone()
    desktop.say("agent:stream")
    assert pieces(phone) == ["1-1"]
    phone.lose_link()
    for _ in range(4):
        desktop.say("agent:stream")
    again = b.phone_peer(resume={"d1": "1-1"})
    again.open()
    assert pieces_and_ends(again) == (["1-2", "1-3", "1-4", "1-5"], [True])
    desktop.say("agent:stream")
    assert pieces(again) == ["1-6"]


def test_one_phone_that_comes_back_gives_the_others_of_its_node_nothing_twice() -> None:
    a, b = two()
    desktop = a.desktop("d1")
    for _ in range(3):
        desktop.say("agent:stream")
    live = b.phone()
    desktop.say("agent:stream")
    back = b.phone_peer(resume={"d1": "1-1"})
    back.open()
    desktop.say("agent:stream")
    assert pieces(live) == ["1-4", "1-5"]
    assert pieces(back) == ["1-2", "1-3", "1-4", "1-5"]


def test_what_is_lost_between_nodes_is_asked_for_again() -> None:
    a, b = two()
    desktop, phone = a.desktop("d1"), b.phone()
    desktop.say("agent:stream")
    a.hub.lose(B, 2)
    for _ in range(4):
        desktop.say("agent:stream")
    assert pieces(phone) == [f"1-{n}" for n in range(1, 6)]


def test_the_loss_of_the_last_piece_is_noticed_at_the_pulse() -> None:
    a, b = two()
    desktop, phone = a.desktop("d1"), b.phone()
    a.hub.lose(B, 1)
    desktop.say("agent:stream")
    assert pieces(phone) == []
    a.hub.pulse()
    assert pieces(phone) == ["1-1"]


def test_what_cannot_be_had_any_more_is_told() -> None:
    a, b = two(Policy(ring_frames=64))
    desktop, phone = a.desktop("d1"), b.phone()
    a.hub.lose(B, 300)
    for _ in range(300):
        desktop.say("agent:stream")
    desktop.say("agent:response")
    heard = phone.heard()
    resumed = [message["payload"]["complete"] for message in heard if message["type"] == "Resumed"]
    assert resumed == [False]
    offsets = [message["offset"] for message in heard if message["type"].startswith("agent:")]
    assert offsets[-1] == "1-301"
    assert offsets == sorted(set(offsets), key=lambda text: int(text.partition("-")[2]))


def test_a_lost_request_to_listen_is_made_again() -> None:
    a, b = two()
    desktop = a.desktop("d1")
    a.hub.lose(A, 2, sender=B)
    phone = b.phone_peer()
    phone.open()
    a.advance(1.1)
    desktop.say("agent:stream")
    a.advance(1.1)
    assert "1-1" in pieces(phone)


# -- desktops that move -----------------------------------------------------------------------------------------


def test_a_desktop_that_comes_back_elsewhere_was_never_away() -> None:
    a, b, c = three()
    phone, desktop = c.phone(), a.desktop("d1")
    news(phone)
    desktop.say("agent:stream")
    desktop.lose_link()
    again = b.desktop("d1")
    again.say("agent:stream")
    a.advance(20)
    heard = phone.heard()
    assert [message["type"] for message in heard] == ["agent:stream", "agent:stream"]
    assert [message["offset"] for message in heard] == ["1-1", "2-1"]


def test_the_older_connection_of_a_desktop_is_superseded_across_nodes() -> None:
    a, b = two()
    old = a.desktop("d1")
    a.advance(0.01)
    new = b.desktop("d1")
    assert (old.closed(), new.closed()) == (CloseReason.SUPERSEDED, None)


def test_a_desktop_that_moves_with_its_old_link_half_open_leaves_no_gap() -> None:
    a, b, c = three()
    phones = [a.phone(), b.phone(), c.phone()]
    old = a.desktop("d1")
    old.say("agent:stream")
    new = b.desktop("d1")
    new.say("agent:stream")
    for phone in phones:
        heard = phone.heard()
        assert [m["offset"] for m in heard if m["type"] == "agent:stream"] == ["1-1", "2-1"]
        assert [m for m in heard if m["type"] in ("Resumed", "DesktopOffline")] == []


def test_a_desktop_that_moves_from_a_dead_node_leaves_no_silence() -> None:
    a, b, c = three()
    phone, old = c.phone(), a.desktop("d1")
    old.say("agent:stream")
    pieces(phone)
    a.hub.kill(A, unnoticed=True)
    new = b.desktop("d1")
    new.say("agent:response")
    b.advance(1.1)
    assert pieces(phone) == ["2-1"]
    a.hub.expire(A)
    new.say("agent:stream")
    assert pieces(phone) == ["2-2"]


def test_a_desktop_that_moves_to_the_node_of_the_phones_is_heard_there() -> None:
    a, b = two()
    phone, old = b.phone(), a.desktop("d1")
    old.say("agent:stream")
    old.lose_link()
    new = b.desktop("d1")
    new.say("agent:stream")
    assert pieces_and_ends(phone) == (["1-1", "2-1"], [])


@pytest.mark.parametrize("returns_to_the_first", [True, False])
def test_what_a_desktop_said_to_a_node_that_was_cut_off_is_told_missing_when_that_is_back(
    returns_to_the_first: bool,
) -> None:
    a, b, c = three()
    phones, first = [a.phone(), b.phone()], a.desktop("d1")
    first.say("agent:stream")
    first.lose_link()
    c.cut_off()
    unseen = c.desktop("d1")
    unseen.say("agent:stream")
    unseen.lose_link()
    again = (a if returns_to_the_first else b).desktop("d1")
    again.say("agent:stream")
    assert [pieces(phone) for phone in phones] == [["1-1", "3-1"]] * 2
    a.advance(6)
    c.back()
    a.advance(6)
    assert [news(phone) for phone in phones] == [[("resumed", False)]] * 2
    again.say("agent:stream")
    assert [pieces(phone) for phone in phones] == [["3-2"]] * 2
    late = c.phone_peer(resume={"d1": "1-1"})
    late.open()
    assert [m["payload"]["complete"] for m in late.heard() if m["type"] == "Resumed"] == [False]


def test_it_is_told_missing_when_the_store_was_quicker_to_tell_what_that_node_holds() -> None:
    a, _, c = three()
    phone, first = a.phone(), a.desktop("d1")
    first.say("agent:stream")
    first.lose_link()
    c.cut_off()
    c.desktop("d2")
    unseen = c.desktop("d1")
    unseen.say("agent:stream")
    unseen.lose_link()
    a.desktop("d1").say("agent:stream")
    a.advance(6)
    assert pieces(phone) == ["1-1", "4-1"]
    a.hub.hold_words(A)
    c.back()
    a.scheduler.settle()
    a.desktop("d3")
    assert [told for told, _ in news(phone)] == ["d3 online", "d2 online"]
    a.hub.release_words(A)
    a.scheduler.settle()
    assert ("resumed", False) in news(phone)


def test_what_a_desktop_said_elsewhere_is_told_missing_by_the_node_that_was_cut_off_meanwhile() -> None:
    a, b = two()
    phone, first = b.phone(), b.desktop("d1")
    first.say("agent:stream")
    first.lose_link()
    b.cut_off()
    unseen = a.desktop("d1")
    unseen.say("agent:stream")
    unseen.lose_link()
    for _ in range(2):  # Its link doesn't hold; the journal will tell only of the first what was before it.
        again = b.desktop("d1")
        again.say("agent:stream")
        again.lose_link()
    assert pieces(phone) == ["1-1", "3-1", "4-1"]
    b.back()
    b.scheduler.settle()
    assert news(phone) == [("resumed", False)]


def test_it_is_told_so_when_the_desktop_is_back_where_it_had_said_nothing_before() -> None:
    a, b, c = three()
    phone, first = a.phone(), c.desktop("d1")
    first.say("agent:stream")
    b.desktop("d1")
    a.cut_off()
    c.desktop("d1").say("agent:stream")
    last = b.desktop("d1")
    a.back()
    a.advance(3)
    last.say("agent:stream")
    assert pieces_and_ends(phone) == (["1-1", "4-1"], [False])


def test_it_is_told_so_when_two_nodes_were_cut_off_and_the_desktop_is_on_one_of_them_again() -> None:
    a, b, c = three()
    phone = a.phone()
    c.cut_off()
    first = a.desktop("d1")
    first.say("agent:stream")
    a.cut_off()
    c.desktop("d1").say("agent:stream")
    b.desktop("d1")
    last = c.desktop("d1")
    a.back()
    a.advance(3)
    c.back()
    a.advance(3)
    last.say("agent:stream")
    assert pieces_and_ends(phone) == (["1-1", "4-1"], [False])


def test_it_is_told_so_to_a_phone_that_heard_the_desktop_on_another_node() -> None:
    a, b = two()
    first = a.desktop("d1")
    first.say("agent:stream")
    first.lose_link()
    a.advance(6)
    phone = b.phone_peer(resume={"d1": "1-1"})
    phone.open()
    news(phone)
    b.cut_off()
    unseen = a.desktop("d1")
    unseen.say("agent:stream")
    unseen.lose_link()
    b.desktop("d1").say("agent:stream")
    assert len(pieces(phone)) == 1
    b.back()
    b.scheduler.settle()
    assert news(phone) == [("resumed", False)]


def test_nothing_is_told_missing_of_a_desktop_that_was_another_users_meanwhile() -> None:
    a, _ = two()
    first = a.desktop("d1")
    phone = a.phone_peer(resume={"d1": "0-0"})
    phone.open()
    first.say("agent:response")
    a.desktop("d1", "u2")
    a.desktop("d1").say("agent:response")
    assert pieces_and_ends(phone) == (["1-1", "3-1"], [True])


def test_a_phone_hears_a_desktop_that_comes_and_goes_before_its_last_words_elsewhere_are_known() -> None:
    a, b = two()
    phone = a.phone()
    a.hub.lose(A, 3)  # What it asks.
    b.desktop("d1")
    for node in (a, b, a):
        last = node.desktop("d1")
    a.advance(3)
    last.say("agent:stream")
    assert pieces(phone) == ["4-1"]


# -- nodes that die, or are cut off ----------------------------------------------------------------------------------


def test_the_desktops_of_a_dead_node_are_shown_lost() -> None:
    a, b = two()
    phone, _ = b.phone(), a.desktop("d1")
    news(phone)
    a.hub.kill(A)
    assert news(phone) == [("d1 offline", "node_lost")]


def test_a_desktop_that_came_back_before_its_node_was_found_dead_is_not_shown_away() -> None:
    a, b = two()
    phone, _ = b.phone(), a.desktop("d1")
    news(phone)
    a.hub.kill(A, unnoticed=True)
    b.desktop("d1")
    a.hub.expire(A)
    assert [told for told in news(phone) if told[0] != "resumed"] == []


def test_a_node_that_was_cut_off_yields_to_newer_connections() -> None:
    a, b = two()
    phone, old, stays = b.phone(), a.desktop("d1"), a.desktop("d2")
    a.cut_off()
    a.hub.expire(A)
    a.advance(0.01)
    new = b.desktop("d1")
    assert old.closed() is None
    news(phone)
    a.back()
    a.scheduler.settle()
    assert (old.closed(), new.closed()) == (CloseReason.SUPERSEDED, None)
    assert news(phone) == [("d2 online", "2-0")]
    stays.say("agent:stream")
    assert pieces(phone) == ["2-1"]


def test_everything_is_entered_anew_when_the_store_lost_it() -> None:
    a, b = two()
    a.desktop("d1")
    a.hub.lose_everything()
    a.scheduler.settle()
    phone = b.phone_peer()
    phone.open()
    assert news(phone) == [("d1 online", "1-0")]


def test_a_node_that_was_taken_for_dead_listens_again() -> None:
    a, b = two()
    phone, desktop = b.phone(), a.desktop("d1")
    a.hub.expire(B)
    a.scheduler.settle()
    a.hub.find_expired(B)
    a.scheduler.settle()
    desktop.say("agent:stream")
    assert pieces(phone) == ["1-1"]


# -- devices, limits, owners -----------------------------------------------------------------------------------------


def test_of_two_connections_at_the_same_moment_the_one_that_yields_may_come_back() -> None:
    a, b = two()
    first, second = a.phone(device="x"), b.phone(device="x")
    assert (first.closed(), second.closed()) == (CloseReason.RESYNC, None)


def test_the_older_connection_of_a_device_is_superseded_across_nodes() -> None:
    a, b = two()
    old = a.phone(device="x")
    a.advance(0.01)
    new = b.phone(device="x")
    assert (old.closed(), new.closed()) == (CloseReason.SUPERSEDED, None)


def test_too_many_phones_on_all_nodes_together_are_refused() -> None:
    a, b = two(Policy(max_mobiles=2))
    first, second, third = a.phone(), b.phone(), b.phone()
    assert [peer.closed() for peer in (first, second, third)] == [None, None, CloseReason.CONNECTION_LIMIT]


def test_too_many_desktops_on_all_nodes_together_are_refused() -> None:
    a, b = two(Policy(max_desktops=1))
    first, second = a.desktop("d1"), b.desktop("d2")
    assert (first.closed(), second.closed()) == (None, CloseReason.CONNECTION_LIMIT)


def test_a_device_or_desktop_that_moves_is_not_counted_twice() -> None:
    a, b = two(Policy(max_mobiles=1, max_desktops=1))
    a.phone(device="x"), a.desktop("d1")
    assert (b.phone(device="x").closed(), b.desktop("d1").closed()) == (None, None)


def test_a_new_owner_on_another_node_takes_the_desktop() -> None:
    a, b = two()
    phone, old = a.phone("u1"), a.desktop("d1", "u1")
    news(phone)
    new = b.desktop("d1", "u2")
    assert isinstance(new.connection, DesktopConnection)
    b.supervisor.neighbours.owner_changed(DesktopId("d1"), new.connection.epoch, UserId("u1"))
    b.scheduler.settle()
    assert news(phone) == [("d1 offline", "superseded")]
    assert (old.closed(), new.closed()) == (CloseReason.SUPERSEDED, None)


# -- mail ------------------------------------------------------------------------------------------------------------


def receipts(peer: Peer) -> list[str]:
    return [message["payload"]["status"] for message in peer.heard() if message["type"] == "Receipt"]


def test_a_message_goes_to_a_desktop_of_another_node_and_receipts_come_back() -> None:
    a, b = two()
    desktop, phone = a.desktop("d1", acks=True), b.phone()
    phone.say("user:message", {"desktop_id": "d1", "text": "hello"}, message_id="m1")
    assert [message["payload"]["text"] for message in desktop.heard()] == ["hello"]
    assert receipts(phone) == ["stored", "delivered"]
    desktop.say("ack", {"message_id": "m1"})
    assert receipts(phone) == ["acknowledged"]


@pytest.mark.parametrize("device", [None, "x"])
def test_receipts_go_to_the_phone_that_sent(device: str | None) -> None:
    a, b = two()
    a.desktop("d1")
    other, sender = b.phone(), b.phone(device=device)
    sender.say("user:message", {"desktop_id": "d1"}, message_id="m1")
    assert (receipts(other), receipts(sender)) == ([], ["stored", "delivered"])


def test_a_letter_whose_word_was_lost_is_found_in_the_mailbox() -> None:
    a, b = two()
    desktop, phone = a.desktop("d1"), b.phone()
    a.hub.lose(A, 1)
    phone.say("user:message", {"desktop_id": "d1"}, message_id="m1")
    assert desktop.heard() == []
    a.hub.pulse()
    assert [message["type"] for message in desktop.heard()] == ["user:message"]


def test_a_letter_for_a_desktop_that_just_moved_is_not_left_lying() -> None:
    a, b, c = three()
    phone, old = b.phone(), a.desktop("d1")
    a.hub.hold_words(B)
    new = c.desktop("d1")
    phone.say("user:message", {"desktop_id": "d1"}, message_id="m1")
    a.hub.release_words(B)
    assert [message["type"] for message in [*old.heard(), *new.heard()]] == ["user:message"]


@pytest.mark.parametrize("mailbox", [True, False])
def test_without_mailboxes_a_message_goes_to_another_node_or_is_refused(mailbox: bool) -> None:
    a, b = two(Policy(mailbox=mailbox))
    desktop, phone = a.desktop("d1"), b.phone()
    phone.say("user:message", {"desktop_id": "d1"}, message_id="m1")
    assert [message["type"] for message in desktop.heard()] == ["user:message"]
    assert receipts(phone)[-1] == "delivered"


def test_a_share_that_comes_late_changes_nothing() -> None:
    a, b = two()
    phone, desktop = b.phone(), a.desktop("d1")
    stale = [word for _, to, word in a.hub.sent if to == B and isinstance(word, Shared)][-1]
    desktop.say("goodbye", {"reason": "sleep"})
    news(phone)
    b.supervisor.neighbours.hear(A, stale)
    assert news(phone) == []


def test_after_a_loss_the_end_of_a_connection_proves_nothing() -> None:
    """A desktop that this node saw leave may have been connected elsewhere while words were lost."""
    a, b, c = three()
    phone, first = b.phone(), a.desktop("d1")
    first.say("agent:stream")
    first.hang_up()
    assert pieces(phone) == ["1-1"]
    a.hub.lose(B, 100)
    between = c.desktop("d1")
    between.say("agent:stream")
    between.hang_up()
    a.hub.nodes[B].to_lose.clear()
    b.supervisor.neighbours.missed(None)
    again = a.desktop("d1")
    again.say("agent:stream")
    b.advance(3)
    assert pieces_and_ends(phone) == (["3-1"], [False])


def test_what_a_late_answer_passes_over_is_had_by_who_went_on_without_it() -> None:
    a, b, c = three()
    old = a.desktop("d1")
    old.say("agent:response")
    old.lose_link()
    a.hub.kill(A, unnoticed=True)  # In its grace the desktop is still to be seen there.
    phone = b.phone_peer(resume={"d1": "1-1"})
    phone.open()
    a.hub.hold_words(C)
    new = c.desktop("d1")
    b.scheduler.settle()
    b.advance(0.1)
    for _ in range(2):
        new.say("agent:stream")
    a.hub.release_words(C)
    b.scheduler.settle()
    new.say("agent:stream")
    b.advance(3)
    heard = phone.heard()
    assert [m["offset"] for m in heard if m["type"].startswith("agent:")] == ["2-1", "2-2", "2-3"]


def test_what_an_answer_after_its_time_passes_over_is_had() -> None:
    a, b = two()
    desktop = a.desktop("d1")
    desktop.say("agent:response")
    a.hub.hold_words(A)
    phone = b.phone_peer(resume={"d1": "1-1"})
    phone.open()
    b.advance(1.1)
    desktop.say("agent:stream")
    a.hub.release_words(A)
    b.scheduler.settle()
    desktop.say("agent:stream")
    b.advance(3)
    heard = phone.heard()
    assert [m["offset"] for m in heard if m["type"].startswith("agent:")] == ["1-2", "1-3"]


def test_a_phone_whose_node_was_cut_off_hears_a_silent_desktop_that_moved_from_its_first_word() -> None:
    a, b = two()
    phone, _ = b.phone(), b.desktop("d1")
    b.advance(1)
    b.cut_off()
    a.hub.expire(B)
    moved = a.desktop("d1")
    a.hub.lose(A, 1)  # What it asks before it is subscribed again.
    b.back()
    b.scheduler.settle()
    moved.say("agent:status")
    b.advance(3)
    assert len(pieces(phone)) == 1


def test_a_phone_that_is_still_given_what_it_missed_is_told_of_a_doubt_behind_that() -> None:
    a, b, c = three()
    a.phone()
    b.phone()
    first = a.desktop("d1")
    first.say("agent:stream")
    first.lose_link()
    c.cut_off()
    unseen = c.desktop("d1")
    unseen.say("agent:stream")
    unseen.lose_link()
    again = b.desktop("d1")
    for _ in range(300):
        again.say("agent:stream")
    late = b.phone_peer(resume={"d1": "1-1"})
    late.connection.start(late.socket)
    desktop = b.supervisor.desktop_of(UserId("u1"), DesktopId("d1"))
    assert desktop is not None
    b.supervisor.neighbours.relaying.doubt(desktop, Epoch(2))
    heard = [m for m in late.heard() if m["type"] in ("agent:stream", "Resumed")]
    assert [m["payload"]["complete"] for m in heard if m["type"] == "Resumed"] == [False]
    assert heard[-1]["type"] == "Resumed"
    assert [m["offset"] for m in heard[:-1]] == [f"3-{n}" for n in range(1, 301)]


def test_a_desktop_that_is_gone_before_phones_were_told_that_it_was_there() -> None:
    a, b = two()
    phone, first = b.phone(), a.desktop("d1")
    first.say("agent:stream")
    first.lose_link()
    a.advance(6)
    b.cut_off()
    b.phone()
    a.advance(1)
    a.hub.hold_words(A)
    again = a.desktop("d1")
    again.say("agent:stream")
    news(phone)
    b.back()
    a.scheduler.settle()
    again.say("goodbye", {"reason": "sleep"})
    a.scheduler.settle()
    assert [told for told, _ in news(phone)] == ["d1 online", "d1 offline"]
