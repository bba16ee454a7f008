"""Words and shares as bytes."""

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.ids import ConnectionId, DesktopId, DeviceId, Epoch, NodeId, UserId
from actors.mail import SERVICE, Letter, Receipt, Sender, Status, Stored
from actors.messages import ErrorCode, Fault
from actors.nodes import (
    Disowned,
    Ended,
    Gone,
    HeldDesktop,
    Listen,
    Outdated,
    Pieces,
    Posted,
    Share,
    Shared,
    Told,
    Undelivered,
    Word,
)
from actors.offsets import Offset
from hub.cluster.wire import TAGS, WireWord
from hub.cluster.words import Batch, decode_batch, decode_share, encode_batch, encode_share, encode_word

A = NodeId("a:8080/0011")

texts = st.text(max_size=8)
ids = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8)
users, desktops, devices = ids.map(UserId), ids.map(DesktopId), ids.map(DeviceId) | st.just(SERVICE)
connections = ids.map(ConnectionId)
numbers = st.integers(0, 2**63 - 1)
epochs = numbers.map(Epoch)
places = st.builds(Offset, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
maybe_text = st.none() | texts

held = st.builds(HeldDesktop, desktops, epochs, maybe_text, maybe_text, numbers, numbers)
shares = st.builds(
    Share,
    st.integers(0, 2**53),
    st.lists(held, max_size=3).map(tuple),
    st.dictionaries(devices, epochs, max_size=3),
    numbers,
)
gone = st.builds(Gone, desktops, epochs, numbers, texts)
letters = st.builds(
    Letter, users, desktops, st.none() | devices, texts, texts, st.binary(max_size=20), texts, st.none() | numbers
)
senders = st.builds(Sender, users, st.none() | devices)
statuses = st.sampled_from(Status)
receipts = st.builds(Receipt, texts, desktops, statuses, st.none() | statuses)
faults = st.builds(Fault, st.sampled_from(ErrorCode), texts, maybe_text, st.none() | numbers)
words: st.SearchStrategy[Word] = st.one_of(
    st.builds(Shared, users, shares, st.lists(gone, max_size=2).map(tuple)),
    st.builds(Listen, users, desktops, numbers, st.none() | places),
    st.builds(
        Pieces,
        users,
        desktops,
        epochs,
        numbers,
        st.lists(st.binary(max_size=20), max_size=5).map(tuple),
        st.none() | places,
        numbers,
        st.booleans(),
    ),
    st.builds(Ended, users, desktops, places),
    st.builds(Posted, letters, st.none() | st.builds(Stored, places, places), st.none() | connections),
    st.builds(Told, senders, receipts, st.none() | connections),
    st.builds(Undelivered, connections, texts, faults),
    st.builds(Disowned, users, desktops, epochs),
    st.builds(Outdated, users, desktops, epochs),
)


def test_every_kind_of_word_is_known_and_each_has_a_tag_of_its_own() -> None:
    tags = [kind.__struct_config__.tag for kind in get_args(WireWord)]
    assert sorted(tags) == sorted(TAGS)
    assert {f"Wire{kind.__name__}" for kind in get_args(Word)} == {kind.__name__ for kind in get_args(WireWord)}


@given(said=st.lists(words, max_size=4), number=st.integers(1, 2**53))
def test_words_come_back_as_they_were(said: list[Word], number: int) -> None:
    batch = decode_batch(encode_batch(A, number, [encode_word(each) for each in said]))
    assert batch == Batch(A, number, said)
    assert batch.pulse == (not said)


@given(share=shares, turn=st.integers(0, 1000))
def test_shares_come_back_as_they_were_with_their_version_in_front(share: Share, turn: int) -> None:
    raw = encode_share(share, turn)
    assert decode_share(raw) == share
    assert raw.split(b" ")[0] == str(share.version).encode()


def test_a_share_that_was_written_before_the_node_was_taken_for_dead_differs() -> None:
    assert encode_share(Share(1), 0) != encode_share(Share(1), 1)


@given(raw=st.binary(max_size=60))
def test_noise_never_raises(raw: bytes) -> None:
    decode_batch(raw)
    decode_share(raw)


@given(said=words, cut=st.integers(0, 400), flip=st.integers(0, 255))
def test_a_damaged_batch_never_raises(said: Word, cut: int, flip: int) -> None:
    raw = encode_batch(A, 1, [encode_word(said)])
    assert decode_batch(raw[: cut % len(raw)]) is None
    damaged = bytearray(raw)
    damaged[cut % len(raw)] ^= flip
    decode_batch(bytes(damaged))


def encoded(thing: object) -> bytes:
    return msgspec.msgpack.encode(thing)


ENDED = [4, "u1", "d1", [5, 1]]


@pytest.mark.parametrize(
    "batch",
    [
        [2, A, 1, [ENDED]],
        ["1", A, 1, [ENDED]],
        [1, 5, 1, [ENDED]],
        [1, "", 1, [ENDED]],
        [1, "x" * 257, 1, [ENDED]],
        [1, A, -1, [ENDED]],
        [1, A, True, [ENDED]],
        [1, A, 1],
        [1, A, 1, ENDED],
        [1, A, 1, [ENDED, [4, "u1", "d1", "5-1"]]],
        [1, A, 1, [[4, "u1", "d1"]]],
        [1, A, 1, [[3, "u1", "d1", 1, 1, ["text"], None, 0, True]]],
        [1, A, 1, [{"tag": 4}]],
        [1, A, 1, ["word"]],
        [1, A, 1, [[]]],
        {"version": 1},
        None,
    ],
)
def test_a_malformed_batch_is_dropped_as_a_whole(batch: object) -> None:
    assert decode_batch(encoded(batch)) is None


def test_deep_nesting_is_dropped() -> None:
    assert decode_batch(b"\x94\x01\xa1a\x01" + b"\x91" * 100_000) is None
    assert decode_share(b"1 \x93\x01\x00" + b"\x91" * 100_000) is None


def test_what_a_newer_release_adds_is_passed_over() -> None:
    known = Ended(UserId("u1"), DesktopId("d1"), Offset(5, 1))
    batch = decode_batch(encoded([1, A, 7, [[99, {"new": 1}], [*ENDED, "a new field"], [100]], "a new field"]))
    assert batch == Batch(A, 7, [known], unknown=2)
    assert not batch.pulse
    only_unknown = decode_batch(encoded([1, A, 8, [[99]]]))
    assert only_unknown is not None
    assert not only_unknown.pulse


@pytest.mark.parametrize("raw", [b"", b" ", b"1 ", b"1 \x93\x02\x00\x94\x01\x90\x80\x00", b"text", b"1 \xff"])
def test_a_share_of_another_format_is_none(raw: bytes) -> None:
    assert decode_share(raw) is None
