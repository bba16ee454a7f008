"""Anything in: an envelope or `bad_envelope`, never an exception; and what is let through means the same to all."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from actors.desktop import RELAYED
from actors.ids import DesktopId, DeviceId, Epoch, UserId, is_id
from actors.messages import ErrorCode, Fault, MobileIdentity
from actors.mobile import ADDRESSED
from hub.wire import JsonCodec, Received
from hub.wire_rules import MAX_DEPTH, _depth_exceeds
from tests.support.actors import HandClock

CODEC = JsonCodec(HandClock())
STAMP = CODEC.mobile_stamp(DesktopId("d1"), Epoch(7))
PHONE = MobileIdentity(UserId("u1"), 0.0, DeviceId("x"))
MEMBERS = ("type", "payload", "timestamp", "message_id", "valid_until")
FORWARDED = sorted(RELAYED | ADDRESSED)

ci = settings(max_examples=50, deadline=None)

# -- texts ---------------------------------------------------------------------------------------------------------

characters = st.characters(codec="utf-8", exclude_characters="\x00")
names = st.one_of(
    st.sampled_from([*MEMBERS, "desktop_id", "user_id", "offset", "", "{}"]), st.text(characters, max_size=8)
)
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(characters)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)),
    max_leaves=12,
)


class Speller:
    """Spells JSON in one of its many ways, chosen by a seed: spaces, escapes, capitals."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def spell(self, value: object) -> str:
        if isinstance(value, str):
            text = '"' + "".join(map(self._character, value)) + '"'
        elif isinstance(value, dict):
            text = self.members(list(value.items()))
        elif isinstance(value, list):
            text = "[" + ",".join(map(self.spell, value)) + self._space() + "]"
        else:
            text = json.dumps(value)
        return self._space() + text + self._space()

    def members(self, pairs: Sequence[tuple[str, object]]) -> str:
        """Spell an object of these members, whose names may repeat, in this order."""
        parts = [f"{self.spell(name)}:{self.spell(value)}" for name, value in pairs]
        return "{" + ",".join(parts) + self._space() + "}"

    def _space(self) -> str:
        return "".join(self._random.choices(" \t\r\n", k=self._random.choice([0, 0, 0, 1, 3])))

    def _character(self, character: str) -> str:
        if self._random.random() < 0.8:
            return json.dumps(character, ensure_ascii=False)[1:-1]
        units = character.encode("utf-16-be")
        width = self._random.choice(["04x", "04X"])
        return "".join(f"\\u{int.from_bytes(units[at : at + 2]):{width}}" for at in range(0, len(units), 2))


spellers = st.builds(Speller, st.integers(0, 1 << 32))
payloads = st.dictionaries(names, values, max_size=4)
kinds = st.one_of(st.sampled_from(FORWARDED), st.text(characters, max_size=20))
good_members = st.fixed_dictionaries(
    {"type": kinds, "payload": payloads, "timestamp": st.integers(0, 2**53 - 1)},
    optional={
        "message_id": st.text(characters, min_size=1, max_size=128),
        "valid_until": st.integers(0, 2**53 - 1),
        "user_id": values,
        "offset": values,
    },
)


def decoded(text: str) -> Received | None:
    """Decode, and hold what comes to the promises."""
    found = CODEC.decode(text)
    if isinstance(found, Fault):
        assert found.code is ErrorCode.BAD_ENVELOPE
        assert found.text.isprintable()
        assert len(found.text) < 500
        return None
    means_the_same(text, found)
    return found


def means_the_same(text: str, envelope: Received) -> None:
    """What was let through is what every other parser reads in it, and nothing repeats."""
    read = json.loads(text, object_pairs_hook=lambda pairs: pairs)
    assert len({name for name, _ in read}) == len(read)
    plain: dict[str, Any] = json.loads(text)
    assert (plain["type"], plain["timestamp"]) == (envelope.type, envelope.timestamp)
    assert plain.get("message_id") == envelope.message_id
    assert plain.get("valid_until") == envelope.valid_until
    payload = bytes(envelope.payload).decode()
    assert payload in text
    assert json.loads(payload) == plain["payload"]
    if not isinstance(plain["payload"], dict):
        assert envelope.type not in FORWARDED, "only under a type that nobody knows, and so refuses"


def forwarded(frame: bytes) -> str:
    size = frame[1]
    return frame[2 if size < 126 else 4 if size == 126 else 10 :].decode()


# -- anything in ---------------------------------------------------------------------------------------------------


@ci
@given(st.text(st.characters()))
@example("\ud800")
def test_any_text_is_an_envelope_or_a_fault(text: str) -> None:
    decoded(text)


@ci
@given(st.builds(Speller.spell, spellers, values))
def test_any_json_is_an_envelope_or_a_fault(text: str) -> None:
    decoded(text)


@ci
@given(st.builds(Speller.spell, spellers, good_members), st.data())
def test_an_envelope_with_a_wound_is_an_envelope_or_a_fault(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text) - 1))
    cut = data.draw(st.integers(0, 3))
    put = data.draw(st.one_of(st.sampled_from(["", '"', "{", "}", ",", ":", "\\", "0", "e9"]), st.text(max_size=3)))
    decoded(text[:at] + put + text[at + cut :])


@ci
@given(st.builds(Speller.spell, spellers, st.dictionaries(st.sampled_from(MEMBERS), values)))
def test_members_of_any_kind_are_an_envelope_or_a_fault(text: str) -> None:
    decoded(text)


# -- good ones -----------------------------------------------------------------------------------------------------


@ci
@given(good_members, spellers, st.data())
def test_a_good_envelope_is_let_through_however_it_is_spelled(
    members: dict[str, Any], speller: Speller, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(list(members.items())))
    assert decoded(speller.members(order)) is not None


@ci
@given(good_members, spellers)
def test_what_goes_out_has_exactly_the_allowed_members_and_the_payloads_bytes(
    members: dict[str, Any], speller: Speller
) -> None:
    envelope = decoded(speller.spell(members))
    assert envelope is not None
    own = {name: value for name, value in members.items() if name in MEMBERS}
    for text, stamp in [
        (forwarded(CODEC.to_mobile(envelope, STAMP, 3)), {"desktop_id": "d1", "offset": "7-3"}),
        (forwarded(CODEC.to_desktop(envelope, PHONE)), {"user_id": "u1", "device_id": "x"}),
    ]:
        pairs: list[tuple[str, Any]] = json.loads(text, object_pairs_hook=lambda pairs: pairs)
        assert sorted(name for name, _ in pairs) == sorted({**own, **stamp})
        assert json.loads(text) == {**own, **stamp}
        assert f'"payload":{bytes(envelope.payload).decode()}' in text


# -- repeated names ------------------------------------------------------------------------------------------------


@ci
@given(good_members, spellers, st.data())
def test_no_envelope_with_a_repeated_name_passes_at_any_place_in_any_spelling(
    members: dict[str, Any], speller: Speller, data: st.DataObject
) -> None:
    twice = data.draw(st.sampled_from(sorted(members)))
    again = members[twice] if data.draw(st.booleans()) else data.draw(good_members).get(twice, members[twice])
    pairs = data.draw(st.permutations([*members.items(), (twice, again)]))
    assert decoded(speller.members(pairs)) is None


@ci
@given(good_members, names, st.tuples(values, values), spellers, st.data())
def test_no_unknown_name_passes_twice_either(
    members: dict[str, Any], name: str, both: tuple[object, object], speller: Speller, data: st.DataObject
) -> None:
    assume(name not in members)
    pairs = data.draw(st.permutations([*members.items(), (name, both[0]), (name, both[1])]))
    assert decoded(speller.members(pairs)) is None


@ci
@given(
    st.lists(st.tuples(st.sampled_from(["desktop_id", "x"]), st.sampled_from(["d1", "d2", "bad id"])), max_size=4),
    spellers,
)
def test_a_desktop_id_is_read_as_every_other_parser_reads_it(pairs: list[tuple[str, object]], speller: Speller) -> None:
    payload = speller.members(pairs)
    envelope = decoded(f'{{"type":"user:message","payload":{payload},"timestamp":1}}')
    assert envelope is not None
    target = CODEC.addressed_desktop(envelope)
    wanted = [value for name, value in pairs if name == "desktop_id"]
    if isinstance(target, Fault):
        assert target.code is ErrorCode.BAD_PAYLOAD
        assert wanted in ([], ["bad id"]) or len({name for name, _ in pairs}) < len(pairs)
    else:
        assert wanted == [target]
        assert is_id(target)


@ci
@given(st.builds(Speller.spell, spellers, payloads), st.sampled_from(FORWARDED))
def test_reading_any_payload_answers_or_says_what_is_wrong(payload: str, kind: str) -> None:
    envelope = decoded(f'{{"type":"{kind}","payload":{payload},"timestamp":1}}')
    assert envelope is not None
    for read in (CODEC.addressed_desktop, CODEC.goodbye_reason, CODEC.refresh_token):
        found = read(envelope)
        assert isinstance(found, str) or found.code is ErrorCode.BAD_PAYLOAD


# -- depth ---------------------------------------------------------------------------------------------------------


@ci
@given(
    st.lists(st.integers(-140, 140), min_size=5, max_size=25), st.lists(st.sampled_from("[{"), min_size=1, max_size=7)
)
def test_depth_is_counted_right(steps: list[int], kinds: list[str]) -> None:
    """The text is brackets only: the count of depth neither needs nor looks at anything else."""
    text: list[str] = []
    still_open: list[str] = []
    deepest = 0
    for step in steps:
        for _ in range(abs(step)):
            if step > 0:
                still_open.append(kinds[len(still_open) % len(kinds)])
                text.append(still_open[-1])
            elif still_open:
                text.append("]" if still_open.pop() == "[" else "}")
            deepest = max(deepest, len(still_open))
    text += ["]" if bracket == "[" else "}" for bracket in reversed(still_open)]
    assert _depth_exceeds("".join(text)) is (deepest > MAX_DEPTH)
