"""Batches of words and shares as bytes: MessagePack arrays with a format version in front, strict on the way in.

A batch is `[version, sender's node id, number, words]`; without words it is a pulse. What a newer release adds in the
same version is passed over: more fields at an end, more kinds of words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import DecodeError, Meta, Raw, Struct, ValidationError
from msgspec.msgpack import Decoder, Encoder

from actors.ids import NodeId
from actors.nodes import Share, Word
from hub.cluster.wire import TAGS, WireShare, WireWord, share_tuple, word_tuple

VERSION = 1

_Sender = Annotated[str, Meta(min_length=1, max_length=256)]
_Number = Annotated[int, Meta(ge=0, le=2**53)]


class _Batch(Struct, array_like=True):
    version: Literal[1]
    sender: _Sender
    number: _Number
    words: list[WireWord]


class _RawBatch(Struct, array_like=True):
    version: Literal[1]
    sender: _Sender
    number: _Number
    words: list[Raw]


class _AnyWord(Struct, array_like=True):
    tag: int


class _Stored(Struct, array_like=True):
    version: Literal[1]
    turn: _Number
    share: WireShare


_encoder = Encoder()
_batch = Decoder(_Batch)
_raw_batch = Decoder(_RawBatch)
_word = Decoder(WireWord)
_any_word = Decoder(_AnyWord)
_stored = Decoder(_Stored)

_ERRORS = (DecodeError, RecursionError, UnicodeDecodeError)


@dataclass(slots=True)
class Batch:
    """What one node said to another in one go.

    Attributes:
        sender: Who.
        number: One higher than the batch before, from 1 on; of a pulse (no `words`, no `unknown`): of the last batch.
        words: In the order said.
        unknown: How many words were of kinds that only a newer release knows.
    """

    sender: NodeId
    number: int
    words: Sequence[Word]
    unknown: int = 0

    @property
    def pulse(self) -> bool:
        """Whether it only says how far the sender is."""
        return not self.words and not self.unknown


def encode_word(word: Word) -> bytes:
    """Encode one word, for `encode_batch`."""
    return _encoder.encode(word_tuple(word))


def encode_batch(sender: NodeId, number: int, words: Sequence[bytes]) -> bytes:
    """Put encoded words together."""
    return _encoder.encode((VERSION, sender, number, [Raw(word) for word in words]))


def decode_batch(raw: bytes) -> Batch | None:
    """Read a batch; None if it is malformed, or of another version. Never raises."""
    try:
        batch = _batch.decode(raw)
    except ValidationError:
        return _decode_with_unknown(raw)
    except _ERRORS:
        return None
    return Batch(NodeId(batch.sender), batch.number, [word.read() for word in batch.words])


def _decode_with_unknown(raw: bytes) -> Batch | None:
    words: list[Word] = []
    unknown = 0
    try:
        batch = _raw_batch.decode(raw)
        for each in batch.words:
            if _any_word.decode(each).tag in TAGS:
                words.append(_word.decode(each).read())
            else:
                unknown += 1
    except _ERRORS:
        return None
    return Batch(NodeId(batch.sender), batch.number, words, unknown)


def encode_share(share: Share, turn: int) -> bytes:
    """Encode a share for the user's hash: its version in digits, for the script, a space, and an array.

    Args:
        share: What this node holds.
        turn: How often this node was taken for dead: so what it wrote before differs from what it wrote since.
    """
    return b"%d %b" % (share.version, _encoder.encode((VERSION, turn, share_tuple(share))))


def decode_share(raw: bytes) -> Share | None:
    """Read a share of a user's hash; None if it is malformed, or of another format. Never raises."""
    try:
        return _stored.decode(raw.partition(b" ")[2]).share.read()
    except _ERRORS:
        return None
