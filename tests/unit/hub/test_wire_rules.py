"""What a fast parser leaves open: depth, endless numbers, repeated names. No rule refuses too much."""

import json
import time

import pytest

from actors.messages import Fault
from hub.wire import JsonCodec, Received
from hub.wire_rules import MAX_DEPTH, MAX_DIGITS, SLACK, read_name_is_ambiguous, repeats_a_name
from tests.support.actors import HandClock

MEMBERS = ['"type":"a"', '"payload":{"b":1}', '"timestamp":5', '"message_id":"m"']


def decode(text: str) -> Received | Fault:
    return JsonCodec(HandClock()).decode(text)


def with_payload(payload: str) -> str:
    return f'{{"type":"agent:stream","payload":{payload},"timestamp":1}}'


def nested(levels: int, opening: str = "[", closing: str = "]") -> str:
    """A payload so many levels deep, itself included; its envelope is one level more."""
    return '{"a":' + opening * (levels - 1) + closing * (levels - 1) + "}"


# -- depth ---------------------------------------------------------------------------------------------------------


def test_an_envelope_may_be_so_deep_and_no_deeper() -> None:
    assert isinstance(decode(with_payload(nested(MAX_DEPTH - 1))), Received)
    fault = decode(with_payload(nested(MAX_DEPTH)))
    assert isinstance(fault, Fault)
    assert "nested deeper than 256" in fault.text


@pytest.mark.parametrize("opening", ['{"":', '[{"a":[1,'])
def test_objects_and_mixtures_count_like_arrays(opening: str) -> None:
    closing = {"{": "}", "[": "]"}
    tail = "".join(closing[bracket] for bracket in reversed(opening) if bracket in closing)
    deep = '{"a":' + opening * MAX_DEPTH + "1" + tail * MAX_DEPTH + "}"
    assert isinstance(decode(with_payload(deep)), Fault)


def test_5000_levels_break_nothing() -> None:
    assert isinstance(decode(with_payload(nested(5000))), Fault)


def test_brackets_side_by_side_or_in_strings_are_not_depth() -> None:
    assert isinstance(decode(with_payload('{"a":[' + ",".join(["[]"] * 1000) + "]}")), Received)
    assert isinstance(decode(with_payload('{"a":"' + "[" * 1000 + '"}')), Received)
    assert isinstance(decode(with_payload('{"a":"' + '\\"[' * 1000 + '"}')), Received)
    assert isinstance(decode(with_payload('{"a":"' + "\\\\" * 300 + '","b":"' + "{" * 300 + '"}')), Received)


def test_depth_outside_of_the_payload_counts_too() -> None:
    text = '{"type":"a","payload":{},"timestamp":1,"x":' + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "}"
    assert isinstance(decode(text), Fault)


# -- numbers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelled", ["{}", "-{}", "1.{}", "1e{}"])
def test_a_number_with_more_digits_than_parsers_take_is_refused(spelled: str) -> None:
    assert isinstance(decode(with_payload(f'{{"n":{spelled.format("1" * (MAX_DIGITS + 1))}}}')), Fault)


def test_a_number_may_have_so_many_digits() -> None:
    text = with_payload(f'{{"n":{"1" * MAX_DIGITS}}}')
    assert isinstance(decode(text), Received)
    assert json.loads(text)


@pytest.mark.parametrize("before", range(0, 1100, 37))
def test_an_endless_number_is_found_wherever_it_stands(before: int) -> None:
    text = with_payload(f'{{"{"x" * before}":{"7" * (MAX_DIGITS + 1)},"rest":"{"y" * 5000}"}}')
    assert isinstance(decode(text), Fault)


def test_digits_in_a_string_are_no_number() -> None:
    assert isinstance(decode(with_payload(f'{{"n":"{"1" * 20_000}"}}')), Received)


# -- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", MEMBERS)
@pytest.mark.parametrize("first", [True, False])
def test_a_second_member_of_the_envelope_is_refused(again: str, first: bool) -> None:
    members = [again, *MEMBERS] if first else [*MEMBERS, again]
    fault = decode("{" + ",".join(members) + "}")
    assert isinstance(fault, Fault)
    assert "occurs twice" in fault.text


@pytest.mark.parametrize(
    "member", ['"type":""', '"ty\\u0070e":""', '"payload":{}', '"timestamp":0', '"":0,"":0', '"{}":0,"{}":0']
)
def test_the_shortest_repetition_is_long_enough_to_be_noticed(member: str) -> None:
    shortest = '{"type":"","payload":{},"timestamp":0}'
    text = f"{shortest[:-1]},{member}}}"
    assert len(text) - len(shortest) >= SLACK
    assert isinstance(decode(text), Fault)


def test_letters_of_several_bytes_hide_no_repetition() -> None:
    assert isinstance(decode('{"type":"a","payload":{"t":"' + "é" * 40 + '"},"timestamp":1,"type":"b"}'), Fault)


def test_a_payloads_own_names_are_its_senders_business() -> None:
    assert isinstance(decode(with_payload('{"a":1,"a":2}')), Received)
    assert isinstance(decode('{ "type" : "a" , "payload" : {"a":1,"a":2} , "timestamp" : 1 }'), Received)


@pytest.mark.parametrize(
    "text",
    [
        '{"x{":":1}","payload":{":":1},"type":"a","timestamp":1}',
        '{"x":{"a":1,"a":2},"type":"a","payload":{"a":1,"a":2},"timestamp":1}',
        '{"note":"{}","type":"a","payload":{},"timestamp":1}',
        '{"{}":0,"0":0,"payload":{},"type":"a","timestamp":1}',
    ],
)
def test_a_payload_whose_text_stands_elsewhere_too_breaks_nothing(text: str) -> None:
    assert isinstance(decode(text), Received)


@pytest.mark.parametrize(
    "text",
    [
        '{"{}":1,"{}":2,"payload":{},"type":"a","timestamp":1}',
        '{"x{":":1}","payload":{":":1},"type":"a","timestamp":1,"type":"b"}',
    ],
)
def test_such_a_payload_hides_no_repeated_name_either(text: str) -> None:
    assert isinstance(decode(text), Fault)


@pytest.mark.parametrize("text", ['{"a":1,"a":2}', '{"a":{},"b":1,"a":{}}', '{"\\u0061":1,"a":1}'])
def test_a_repeated_name_is_one_however_it_is_spelled(text: str) -> None:
    assert repeats_a_name(text)


@pytest.mark.parametrize("text", ["{}", '{"a":1,"b":{"a":2}}', '{"a":1,"A":1}', '{"a":{"b":1,"b":2}}'])
def test_the_same_name_in_another_object_is_no_repetition(text: str) -> None:
    assert not repeats_a_name(text)


def test_a_name_that_is_read_is_ambiguous_only_if_it_can_be_read_twice() -> None:
    assert read_name_is_ambiguous(b'{"a":1,"a":2}', b"a")
    assert read_name_is_ambiguous(b'{"a":1,"\\u0061":2}', b"a")
    assert not read_name_is_ambiguous(b'{"a":1,"b":{"a":1}}', b"a")
    assert not read_name_is_ambiguous(b'{"a":"\\u0061"}', b"a")


# -- cost ----------------------------------------------------------------------------------------------------------

MANY = 1024 * 1024


@pytest.mark.parametrize(
    "payload",
    [
        '{"a":"' + "x" * MANY + '","b":[' + "[]," * 300 + "1]}",
        '{"a":"' + '\\"' * (MANY // 2) + '","b":[' + "[]," * 300 + "1]}",
        '{"a":[' + '"[xxxxxxxx",' * (MANY // 12) + "1]}",
        '{"a":[' + "[]," * (MANY // 3) + "1]}",
        '{"a":[' + ("[" * 253 + "]" * 253 + ",") * (MANY // 512) + "1]}",
        '{"a":"' + "1" * MANY + '"}',
        '{"a":' + '{"":' * 200 + '"' + "{" * MANY + '"' + "}" * 200 + "}",
    ],
)
def test_no_megabyte_holds_up_the_loop(payload: str) -> None:
    text = with_payload(payload)

    def cost_s() -> float:
        begun = time.process_time()
        assert isinstance(decode(text), Received)
        return time.process_time() - begun

    assert min(cost_s() for _ in range(3)) < 0.1
