"""A client's WebSocket on a real socket pair: messages, limits, pings, and a peer that doesn't read."""

import asyncio
import logging
import socket

import pytest

from actors.closing import CloseReason
from hub.transport import BURST, HIGH_WATER, MAX_FRAGMENTS
from tests.support.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, frame, frame_head
from tests.support.sockets import Line, line

KEPT = 3 * 65_536


def buffer_of(wire: Line) -> int:
    """How much the parser on the socket has room for."""
    protocol = wire.hub.get_protocol()
    assert isinstance(protocol, asyncio.BufferedProtocol)
    return len(memoryview(protocol.get_buffer(-1)))


def give(wire: Line, received: bytes) -> None:
    """Have it read, in as few reads as the buffer takes."""
    view = memoryview(received)
    while view:
        protocol = wire.hub.get_protocol()
        assert isinstance(protocol, asyncio.BufferedProtocol)
        room = memoryview(protocol.get_buffer(-1))
        size = min(len(room), len(view))
        room[:size] = view[:size]
        protocol.buffer_updated(size)
        view = view[size:]


# -- messages ------------------------------------------------------------------------------------------------------


async def test_a_text_message_is_received_and_frames_go_out_in_order() -> None:
    async with line() as wire:
        await wire.send(frame(TEXT, "grüße".encode()))
        await wire.sync()
        assert wire.listener.texts == ["grüße"]
        wire.socket.write([b"\x81\x01a", b"\x81\x01b"])
        wire.socket.write([b"\x81\x01c"])
        assert [await wire.frame() for _ in range(3)] == [Frame(TEXT, b"a"), Frame(TEXT, b"b"), Frame(TEXT, b"c")]


async def test_what_came_behind_the_upgrade_request_is_read_first() -> None:
    async with line(start=False) as wire:
        second = frame(TEXT, b"2")
        wire.socket.read_on(frame(TEXT, b"1") + second[:3])
        assert wire.listener.texts == ["1"]
        await wire.send(second[3:])
        await wire.sync()
        assert wire.listener.texts == ["1", "2"]


async def test_fragments_are_put_together_and_control_frames_may_stand_between_them() -> None:
    async with line() as wire:
        await wire.send(frame(TEXT, b"he", fin=False) + frame(PING, b"p") + frame(CONTINUATION, b"l", fin=False))
        await wire.send(frame(CONTINUATION, b"lo") + frame(TEXT, b"next"))
        assert await wire.frame() == Frame(PONG, b"p")
        await wire.sync()
        assert wire.listener.texts == ["hello", "next"]


async def test_a_character_may_be_cut_by_fragments() -> None:
    async with line() as wire:
        euro = "€".encode()
        await wire.send(frame(TEXT, euro[:1], fin=False) + frame(CONTINUATION, euro[1:]))
        await wire.sync()
        assert wire.listener.texts == ["€"]


async def test_a_binary_message_is_told_apart_whole_or_in_fragments() -> None:
    async with line() as wire:
        await wire.send(frame(BINARY, b"\xff") + frame(BINARY, b"a", fin=False) + frame(CONTINUATION, b"b"))
        await wire.sync()
        assert wire.listener.binaries == [b"\xff", b"ab"]
        assert wire.listener.texts == []


async def test_empty_messages_and_fragments_are_messages() -> None:
    async with line() as wire:
        await wire.send(frame(TEXT) + frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) + frame(CONTINUATION))
        await wire.sync()
        assert wire.listener.texts == ["", ""]


async def test_all_that_one_read_wakes_has_its_turn_at_the_end_of_the_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async with line() as wire:
        turns: list[int] = []

        def receive(_: str) -> None:
            wire.turns.wake(lambda: turns.append(len(turns)))
            assert turns == []

        monkeypatch.setattr(wire.listener, "receive", receive)
        give(wire, frame(TEXT, b"a") * 3)
        assert turns == [0, 1, 2]
        assert not wire.turns.reading


@pytest.mark.parametrize("fault", [b"\x80\x00", frame(3), frame_head(TEXT, 1 << 20) + b"mask"])
async def test_what_came_whole_before_a_fault_is_still_received(fault: bytes) -> None:
    async with line() as wire:
        await wire.send(frame(TEXT, b"1") + frame(TEXT, b"2") + fault)
        assert (await wire.frame()).opcode == CLOSE
        assert wire.listener.texts == ["1", "2"]
        assert not wire.turns.reading


# -- limits --------------------------------------------------------------------------------------------------------

FAULTS = [
    ("not_utf8", frame(TEXT, b"\xff")),
    ("not_utf8", frame(TEXT, b"\xed\xa0\x80")),
    ("not_utf8", frame(TEXT, "€".encode()[:2], fin=False) + frame(CONTINUATION)),
    ("too_big", frame_head(TEXT, 1001) + b"mask"),
    ("too_big", frame(TEXT, b"x" * 1000, fin=False) + frame(CONTINUATION, b"x")),
    ("too_big", frame(BINARY, b"x" * 600, fin=False) + frame(CONTINUATION, b"x" * 600, fin=False)),
    ("too_many_fragments", frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) * (MAX_FRAGMENTS - 1)),
    ("protocol_error", frame(CONTINUATION, b"x")),
    ("protocol_error", frame(TEXT, b"x", fin=False) + frame(TEXT, b"y")),
    ("protocol_error", frame(TEXT, b"x", fin=False) + frame(BINARY, b"y")),
    ("protocol_error", frame(TEXT, b"x", reserved=4)),
    ("protocol_error", frame(PING, b"x", reserved=1)),
    ("protocol_error", frame(CONTINUATION, b"x", reserved=2)),
    ("protocol_error", b"\x81\x01x"),
    ("protocol_error", frame(CLOSE, b"x")),
    ("protocol_error", frame(CLOSE, (1005).to_bytes(2))),
    ("protocol_error", frame(CLOSE, (1016).to_bytes(2))),
    ("protocol_error", frame(CLOSE, (2999).to_bytes(2))),
    ("protocol_error", frame(CLOSE, (5000).to_bytes(2))),
    ("not_utf8", frame(CLOSE, (1000).to_bytes(2) + b"\xff")),
]


@pytest.mark.parametrize(("label", "sent"), FAULTS)
async def test_a_fault_of_the_peer_is_told_with_its_code_and_nothing_reaches_anybody(label: str, sent: bytes) -> None:
    async with line(max_bytes=1000) as wire:
        await wire.send(sent + frame(TEXT, b"behind"))
        close = (await wire.frame()).close
        [reason] = [reason for reason in CloseReason if reason.label == label]
        assert (close.code, close.reason) == (reason.code, label)
        assert wire.listener.binaries == []
        assert [text for text in wire.listener.texts if text != "behind"] == []


async def test_a_message_may_be_as_long_as_allowed_whole_or_in_as_many_fragments_as_allowed() -> None:
    async with line(max_bytes=MAX_FRAGMENTS) as wire:
        await wire.send(frame(TEXT, b"x" * MAX_FRAGMENTS))
        await wire.send(frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"x", fin=False) * (MAX_FRAGMENTS - 2))
        await wire.send(frame(CONTINUATION, b"x"))
        await wire.sync()
        assert wire.listener.texts == ["x" * MAX_FRAGMENTS] * 2


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("fragmented", [False, True])
@pytest.mark.parametrize("more", [0, 1, 200])
async def test_a_large_messages_buffer_is_given_back(opcode: int, fragmented: bool, more: int) -> None:
    async with line(max_bytes=1 << 20) as wire:
        large = frame(opcode, b"x" * 400_000, fin=not fragmented)
        behind = frame(CONTINUATION) if fragmented else b""
        await wire.send(large + behind + frame(opcode, b"small") * more)
        await wire.sync()
        assert len(wire.listener.texts) + len(wire.listener.binaries) == 1 + more
        assert buffer_of(wire) <= KEPT


async def test_a_large_message_with_nothing_behind_it_leaves_a_small_buffer() -> None:
    async with line(max_bytes=1 << 20) as wire:
        give(wire, frame(TEXT, b"x" * 400_000))
        assert len(wire.listener.texts) == 1
        assert buffer_of(wire) <= KEPT


async def test_a_flood_of_small_messages_makes_no_large_buffer() -> None:
    async with line() as wire:
        flood = frame(TEXT, b"x" * 100) * 10_000
        for start in range(0, len(flood), 1 << 17):
            give(wire, flood[start : start + (1 << 17)])
            assert buffer_of(wire) <= 4 * KEPT
        assert len(wire.listener.texts) == 10_000
        await wire.sync()
        assert buffer_of(wire) <= KEPT


# -- life ----------------------------------------------------------------------------------------------------------


async def test_a_ping_is_answered_and_pings_and_pongs_prove_life() -> None:
    async with line() as wire:
        await wire.send(frame(PING, b"x" * 125) + frame(PONG))
        assert await wire.frame() == Frame(PONG, b"x" * 125)
        await wire.sync()
        assert wire.listener.told == ["heard"] * 3


async def test_a_fragment_proves_life_before_its_message_is_whole() -> None:
    async with line() as wire:
        await wire.send(frame(TEXT, b"x", fin=False))
        await wire.until("heard")
        assert wire.listener.texts == []


async def test_the_hubs_own_ping_goes_out() -> None:
    async with line() as wire:
        wire.socket.ping()
        assert await wire.frame() == Frame(PING, b"")


async def test_a_lost_link_is_told_once() -> None:
    async with line() as wire:
        wire.peer.close()
        await wire.until("link_lost")
        assert wire.listener.told == ["link_lost"]


async def test_a_bug_in_a_connection_closes_it_with_1011_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with line() as wire:
        wire.listener.bug = RuntimeError("injected")
        await wire.send(frame(TEXT, b"SECRET") + frame(TEXT, b"SECRET"))
        assert (await wire.frame()).close.code == 1011
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert "SECRET" not in caplog.text


async def test_a_connection_that_can_not_even_close_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    async with line() as wire:
        wire.listener.closing_bug = RuntimeError("injected")
        await wire.send(frame(TEXT, b"\xff"))
        await wire.until("link_lost")
    assert "a bug while a connection is closed" in caplog.text


# -- a peer that doesn't read --------------------------------------------------------------------------------------


async def test_a_peer_that_does_not_read_is_noticed_and_nothing_more_is_read_from_it() -> None:
    async with line() as wire:
        wire.socket.write([b"\x81\x7f" + (4 * HIGH_WATER).to_bytes(8) + b"x" * 4 * HIGH_WATER])
        assert wire.listener.told == ["stalled"]
        assert wire.socket.unsent_bytes > HIGH_WATER
        unsent = wire.socket.unsent_bytes
        await wire.send(frame(PING, b"1") + frame(TEXT, b"later"))
        await asyncio.sleep(0.02)
        assert wire.listener.texts == []
        assert wire.socket.unsent_bytes <= unsent
        assert len((await wire.frame()).body) == 4 * HIGH_WATER
        await wire.until("writable")
        assert wire.socket.writable
        assert await wire.frame() == Frame(PONG, b"1")
        await wire.sync()
        assert wire.listener.texts == ["later"]


async def test_while_reading_is_held_nothing_is_read_even_if_the_peer_takes_what_it_was_sent() -> None:
    async with line() as wire:
        wire.socket.hold_reading()
        await wire.send(frame(TEXT, b"later"))
        wire.socket.write([b"\x81\x7f" + (4 * HIGH_WATER).to_bytes(8) + b"x" * 4 * HIGH_WATER])
        await wire.frame()
        await wire.until("writable")
        await asyncio.sleep(0.02)
        assert wire.listener.texts == []
        wire.socket.let_read()
        await wire.sync()
        assert wire.listener.texts == ["later"]


async def test_a_peer_that_does_not_read_is_not_read_from_when_reading_is_let_again() -> None:
    async with line() as wire:
        wire.socket.hold_reading()
        wire.socket.write([b"\x81\x7f" + (4 * HIGH_WATER).to_bytes(8) + b"x" * 4 * HIGH_WATER])
        wire.socket.let_read()
        await wire.send(frame(TEXT, b"later"))
        await asyncio.sleep(0.02)
        assert wire.listener.texts == []
        await wire.frame()
        await wire.sync()
        assert wire.listener.texts == ["later"]


async def test_a_peer_that_sends_much_at_once_is_not_read_from_until_others_had_their_turn() -> None:
    async with line() as wire:
        some = frame(TEXT, b"x" * 10_000) * 10
        reading = []
        for _ in range(BURST // len(some) + 1):
            give(wire, some)
            reading.append(wire.hub.is_reading())
        assert reading == [True] * (len(reading) - 1) + [False]
        await asyncio.sleep(0)
        assert wire.hub.is_reading()
        await wire.send(frame(TEXT, b"later"))
        await wire.sync()
        assert wire.listener.texts[-1] == "later"


async def test_of_the_pings_that_came_meanwhile_only_the_last_is_answered() -> None:
    async with line() as wire:
        wire.socket.write([b"\x81\x7f" + (4 * HIGH_WATER).to_bytes(8) + b"x" * 4 * HIGH_WATER])
        unsent = wire.socket.unsent_bytes
        give(wire, b"".join(frame(PING, b"%d" % n) for n in range(100)))
        assert wire.socket.unsent_bytes == unsent
        await wire.frame()
        assert await wire.frame() == Frame(PONG, b"99")


async def test_a_peer_that_reads_nothing_of_its_first_messages_is_noticed_too() -> None:
    async with line(start=False) as wire:
        wire.socket.write([b"\x81\x7f" + (4 * HIGH_WATER).to_bytes(8) + b"x" * 4 * HIGH_WATER])
        wire.socket.read_on(b"")
        assert wire.listener.told == ["stalled"]
        await wire.frame()
        await wire.until("writable")


async def test_a_peer_whose_socket_is_gone_while_it_was_stalled_is_lost() -> None:
    async with line() as wire:
        wire.socket.write([b"x" * 4 * HIGH_WATER])
        wire.peer.shutdown(socket.SHUT_RDWR)
        wire.peer.close()
        await wire.until("link_lost")
        assert wire.listener.told.count("link_lost") == 1
