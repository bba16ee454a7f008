"""The close handshake, from either side, and its deadline."""

import asyncio
import struct

import pytest

from actors.closing import CloseReason
from tests.support.clients import Close
from tests.support.raw import CLOSE, PING, TEXT, Frame, frame
from tests.support.sockets import line

TRY_AGAIN = CloseReason.RESTARTING


async def test_the_peers_close_is_answered_with_its_code_and_the_socket_is_closed() -> None:
    async with line() as wire:
        await wire.send(frame(CLOSE, (4321).to_bytes(2) + b"bye"))
        assert await wire.frame() == Frame(CLOSE, (4321).to_bytes(2))
        assert await wire.rest() == b""
        await wire.until("link_lost")
        assert wire.listener.told == ["peer_closed", "link_lost"]


async def test_a_close_without_a_code_is_answered_without_one() -> None:
    async with line() as wire:
        await wire.send(frame(CLOSE))
        assert await wire.rest() == b"\x88\x00"


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999])
async def test_codes_that_a_peer_may_send_are_orderly(code: int) -> None:
    async with line() as wire:
        await wire.send(frame(CLOSE, code.to_bytes(2)))
        assert await wire.rest() == b"\x88\x02" + code.to_bytes(2)
        await wire.until("link_lost")
        assert wire.listener.told[0] == "peer_closed"


async def test_nothing_is_written_behind_the_answer_to_a_close() -> None:
    async with line() as wire:
        await wire.send(frame(CLOSE) + frame(PING, b"p") + frame(TEXT, b"x"))
        await wire.until("peer_closed")
        wire.socket.write([b"\x81\x01a"])
        wire.socket.ping()
        wire.socket.close(TRY_AGAIN, deadline_s=1)
        assert await wire.rest() == b"\x88\x00"


async def test_the_hubs_close_goes_out_behind_what_was_written_and_nothing_behind_it() -> None:
    async with line() as wire:
        wire.socket.write([b"\x81\x01a"])
        wire.socket.close(TRY_AGAIN, deadline_s=1)
        wire.socket.write([b"\x81\x01b"])
        wire.socket.ping()
        await wire.send(frame(PING, b"p"))
        assert await wire.frame() == Frame(TEXT, b"a")
        assert (await wire.frame()).close == Close(1012, "restarting")
        await wire.send(frame(CLOSE, (1012).to_bytes(2)))
        assert await wire.rest() == b""


async def test_when_the_peer_answers_the_socket_is_closed_and_that_is_told_once() -> None:
    async with line() as wire:
        wire.socket.close(TRY_AGAIN, deadline_s=60)
        await wire.send(frame(CLOSE, (1012).to_bytes(2)))
        await wire.until("link_lost")
        assert wire.listener.told == ["link_lost"]


async def test_messages_are_received_until_the_peer_answers_the_close() -> None:
    async with line() as wire:
        wire.socket.close(TRY_AGAIN, deadline_s=1)
        await wire.send(frame(TEXT, b"last") + frame(CLOSE))
        await wire.until("link_lost")
        assert wire.listener.texts == ["last"]


async def test_a_peer_that_does_not_answer_is_cut_off_at_the_deadline() -> None:
    async with line() as wire:
        began = asyncio.get_running_loop().time()
        wire.socket.close(TRY_AGAIN, deadline_s=0.05)
        await wire.until("link_lost")
        assert 0.04 < asyncio.get_running_loop().time() - began < 1


async def test_a_peer_that_neither_reads_nor_answers_is_cut_off_at_the_deadline() -> None:
    async with line() as wire:
        wire.socket.write([b"x" * 1_000_000])
        wire.socket.close(TRY_AGAIN, deadline_s=0.05)
        await wire.until("link_lost")


async def test_an_end_can_be_hastened_but_not_put_off() -> None:
    async with line() as wire:
        wire.socket.close(TRY_AGAIN, deadline_s=60)
        wire.socket.close(TRY_AGAIN, deadline_s=0.05)
        wire.socket.close(TRY_AGAIN, deadline_s=60)
        await wire.until("link_lost")


async def test_a_peer_that_closes_but_keeps_its_socket_open_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.transport.HANG_UP_S", 0.05)
    async with line() as wire:
        wire.socket.write([b"x" * 1_000_000])
        wire.hub.resume_reading()
        await wire.send(frame(CLOSE))
        await wire.until("link_lost")
        assert wire.listener.told == ["stalled", "peer_closed", "link_lost"]


async def test_a_peer_that_broke_the_protocol_reads_why_although_it_goes_on_sending() -> None:
    async with line(deadline_s=60) as wire:
        await wire.send(frame(TEXT, b"\xff"))
        for _ in range(100):
            await wire.send(frame(TEXT, b"x" * 1000))
        assert (await wire.frame()).close == Close(1007, "not_utf8")
        assert await wire.rest() == b""
        assert len(wire.listener.texts) < 100
        wire.peer.close()
        await wire.until("link_lost")


async def test_one_that_then_never_hangs_up_is_cut_off_at_the_deadline() -> None:
    async with line(deadline_s=0.05) as wire:
        await wire.send(frame(TEXT, b"\xff"))
        await wire.until("link_lost")
        assert wire.listener.told.count("link_lost") == 1


async def test_only_the_first_fault_counts() -> None:
    async with line() as wire:
        await wire.send(frame(TEXT, b"\xff") + frame(TEXT, b"\xff") + b"\x81\x01x")
        await wire.frame()
        assert [told for told in wire.listener.told if told != "heard"] == ["not_utf8"]


async def test_a_reset_is_a_lost_link() -> None:
    async with line() as wire:
        wire.peer.setsockopt(1, 13, struct.pack("ii", 1, 0))
        wire.peer.close()
        await wire.until("link_lost")
        assert wire.listener.told == ["link_lost"]


async def test_a_closed_transports_deadline_does_not_outlive_it() -> None:
    async with line() as wire:
        wire.socket.close(TRY_AGAIN, deadline_s=60)
        deadline = wire.socket._deadline
        wire.peer.close()
        await wire.until("link_lost")
        assert deadline is not None
        assert deadline.cancelled()
