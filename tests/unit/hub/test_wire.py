"""Envelopes on the wire: what is one and what isn't, what is forwarded, and what the hub itself says."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.ids import ConnectionId, DesktopId, DeviceId, Epoch, NodeId, UserId
from actors.mail import Receipt, Status
from actors.messages import (
    DesktopOffline,
    DesktopOnline,
    ErrorCode,
    Fault,
    Goodbye,
    HeartbeatAck,
    Label,
    MobileIdentity,
    Notice,
    Resumed,
    Welcome,
)
from actors.offsets import Offset
from hub.wire import JsonCodec, Received
from tests.support.actors import WALL_S, HandClock

PHONE = MobileIdentity(UserId("u1"), 0.0, DeviceId("x"))


@pytest.fixture
def codec() -> JsonCodec:
    return JsonCodec(HandClock())


def spell(**changes: object) -> str:
    """An envelope's text, with some members changed; None takes one out."""
    members = {"type": "agent:stream", "payload": {"text": "hi"}, "timestamp": 1_700_000_000_000, **changes}
    return json.dumps({name: value for name, value in members.items() if value is not None})


def taken(codec: JsonCodec, text: str) -> Received:
    found = codec.decode(text)
    assert isinstance(found, Received), found
    return found


def refused(codec: JsonCodec, text: str) -> Fault:
    found = codec.decode(text)
    assert isinstance(found, Fault), found
    assert found.code is ErrorCode.BAD_ENVELOPE
    return found


def body_of(frame: bytes) -> dict[str, Any]:
    """Read a short server frame."""
    assert frame[0] == 0x81
    header = 2 if frame[1] < 126 else 4
    found: dict[str, Any] = json.loads(frame[header:])
    return found


# -- what is an envelope -------------------------------------------------------------------------------------------


def test_an_envelope_has_type_payload_timestamp_and_may_have_a_message_id(codec: JsonCodec) -> None:
    envelope = taken(codec, spell(message_id="m-1"))
    assert (envelope.type, envelope.timestamp, envelope.message_id) == ("agent:stream", 1_700_000_000_000, "m-1")
    assert taken(codec, spell()).message_id is None


def test_members_stand_in_any_order_and_unknown_ones_are_let_by(codec: JsonCodec) -> None:
    text = '{"later":[1],"timestamp":5,"payload":{},"message_id":"m","type":"heartbeat"}'
    envelope = taken(codec, text)
    assert (envelope.type, envelope.timestamp, envelope.message_id) == ("heartbeat", 5, "m")


@pytest.mark.parametrize("name", ["type", "payload", "timestamp"])
def test_each_required_member_is_required(codec: JsonCodec, name: str) -> None:
    assert name in refused(codec, spell(**{name: None})).text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("type", 5),
        ("type", ["a"]),
        ("timestamp", "5"),
        ("timestamp", 5.5),
        ("timestamp", True),
        ("timestamp", -1),
        ("timestamp", 2**53),
        ("timestamp", 10**400),
        ("message_id", 5),
        ("message_id", ""),
        ("message_id", "x" * 129),
        ("payload", "text"),
        ("payload", [{}]),
        ("payload", 5),
        ("payload", False),
    ],
)
def test_a_member_of_another_kind_is_refused(codec: JsonCodec, name: str, value: object) -> None:
    refused(codec, spell(**{name: value}))


@pytest.mark.parametrize(
    "text", ['{"type":"a","payload":null,"timestamp":1}', '{"type":null,"payload":{},"timestamp":1}']
)
def test_null_is_not_nothing(codec: JsonCodec, text: str) -> None:
    refused(codec, text)


@pytest.mark.parametrize("size", [1, 128])
def test_a_message_id_has_1_to_128_characters(codec: JsonCodec, size: int) -> None:
    assert taken(codec, spell(message_id="é" * size)).message_id == "é" * size


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "nonsense",
        "null",
        "[]",
        '"text"',
        "5",
        "{",
        "{}",
        spell()[:-1],
        spell() + "x",
        spell() + "\x00",
        "\ufeff" + spell(),
        spell().replace('"hi"', "NaN"),
        spell().replace('"hi"', "Infinity"),
        spell().replace('"hi"', "'hi'"),
        spell().replace('"hi"', '"\\ud800"'),
        spell().replace('"hi"', '"\\udc00\\ud800"'),
        spell().replace('"hi"', '"\\q"'),
        spell().replace('"hi"', '"a\nb"'),
        spell().replace('"hi"', '"\ud800"'),
        spell().replace("agent", "\udfff"),
        "[" * 100_000,
    ],
)
def test_what_is_no_json_object_is_refused_and_nothing_is_raised(codec: JsonCodec, text: str) -> None:
    refused(codec, text)


def test_a_payload_of_another_kind_is_refused_whatever_the_length_of_the_type(codec: JsonCodec) -> None:
    for size in range(40):
        refused(codec, f'{{"type":"{"{" * size}","payload":5,"timestamp":1}}')


@pytest.mark.parametrize("kind", ["\n" * 30, "é" * 30, '"' * 30, "\x7f\u2028😀", "{" * 30 + "\n" * 30])
def test_a_type_of_odd_characters_with_a_good_payload_is_an_envelope(codec: JsonCodec, kind: str) -> None:
    assert taken(codec, spell(type=kind)).type == kind


def test_the_answer_names_the_message_where_that_can_still_be_read(codec: JsonCodec) -> None:
    assert refused(codec, spell(message_id="m", payload=5)).message_id == "m"
    assert refused(codec, spell(message_id="x" * 129)).message_id is None
    assert refused(codec, "{").message_id is None


def test_the_answer_says_what_is_wanted_and_quotes_nothing(codec: JsonCodec) -> None:
    for text in (spell(timestamp="SECRET"), spell(payload="SECRET"), '{"type":"SECRET', "SECRET", '"SECRET\ud800"'):
        answer = refused(codec, text).text
        assert "SECRET" not in answer
        assert "\ud800" not in answer
        assert "an envelope is a JSON object with type, payload" in answer


# -- what is forwarded ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    ["{}", '{ "a" : [ 1 , 2.50, 1e5 ] }', '{"a":"\\u00e9\\/ é 😀"}', '{"a":1,"a":2}', '{"type":"x","timestamp":"y"}'],
)
def test_a_payload_is_forwarded_byte_for_byte(codec: JsonCodec, payload: str) -> None:
    envelope = taken(codec, f'{{"type":"agent:stream","payload":{payload},"timestamp":1}}')
    frame = codec.to_mobile(envelope, codec.mobile_stamp(DesktopId("d1"), Epoch(7)), 3)
    assert f'"payload":{payload},'.encode() in frame


def test_to_phones_the_desktops_id_is_added_and_nothing_else(codec: JsonCodec) -> None:
    envelope = taken(codec, spell(message_id="m", desktop_id="fake", user_id="fake", offset=5, device_id="f", x=1))
    assert body_of(codec.to_mobile(envelope, codec.mobile_stamp(DesktopId("d1"), Epoch(7)), 3)) == {
        "type": "agent:stream",
        "payload": {"text": "hi"},
        "timestamp": 1_700_000_000_000,
        "message_id": "m",
        "desktop_id": "d1",
        "offset": "7-3",
    }


def test_until_when_a_message_is_valid_is_forwarded(codec: JsonCodec) -> None:
    envelope = taken(codec, spell(valid_until=5))
    assert envelope.valid_until == 5
    assert body_of(codec.to_desktop(envelope, PHONE))["valid_until"] == 5
    assert taken(codec, spell()).valid_until is None


@pytest.mark.parametrize("until", [-1, "5", [1], 2**53, 1.5])
def test_until_when_a_message_is_valid_is_a_time_in_milliseconds(codec: JsonCodec, until: object) -> None:
    assert refused(codec, spell(valid_until=until)).code is ErrorCode.BAD_ENVELOPE


@given(st.builds(Offset, st.integers(1, 2**63), st.integers(1, 2**63)))
def test_the_label_of_a_frame_tells_what_to_mobile_put_into_it(offset: Offset) -> None:
    codec = JsonCodec(HandClock())
    envelope = taken(codec, spell())
    frame = codec.to_mobile(envelope, codec.mobile_stamp(DesktopId("d1"), Epoch(offset.epoch)), offset.seq)
    assert codec.label(frame) == Label("agent:stream", DesktopId("d1"), offset)


def test_the_label_of_a_notice_has_no_place_but_the_one_that_it_was_given(codec: JsonCodec) -> None:
    notice = DesktopOffline(DesktopId("d"), None, "mac", 2, "lost")
    assert codec.label(codec.notice(notice)) == Label("desktop:offline", None, None)
    assert codec.label(codec.notice(notice, Offset(7, 1))) == Label("desktop:offline", None, Offset(7, 1))


def test_what_is_no_message_has_an_empty_label(codec: JsonCodec) -> None:
    assert codec.label(b"\x81\x02no") == Label("", None, None)


def test_fingerprints_tell_messages_apart_by_type_and_payload_alone(codec: JsonCodec) -> None:
    def print_of(**members: object) -> str:
        return codec.fingerprint(taken(codec, spell(**members)))

    assert print_of() == print_of(timestamp=5, message_id="m", valid_until=7)
    assert print_of() != print_of(payload={"text": "ho"})
    assert print_of() != print_of(type="agent:status")


def test_to_desktops_the_senders_identity_is_added_and_nothing_else(codec: JsonCodec) -> None:
    envelope = taken(codec, spell(user_id="fake", device_id="fake", desktop_id="fake", offset=5))
    body = body_of(codec.to_desktop(envelope, PHONE))
    assert (body["user_id"], body["device_id"]) == ("u1", "x")
    assert set(body) == {"type", "payload", "timestamp", "user_id", "device_id"}


def test_a_sender_without_a_device_id_has_none_on_the_wire(codec: JsonCodec) -> None:
    envelope = taken(codec, spell(device_id="fake"))
    assert "device_id" not in body_of(codec.to_desktop(envelope, MobileIdentity(UserId("u1"), 0.0)))


def test_an_envelope_is_encoded_as_itself_also_when_others_were_read_since(codec: JsonCodec) -> None:
    first, second = taken(codec, spell(message_id="1")), taken(codec, spell(message_id="2"))
    codec.decode("nonsense")
    stamp = codec.mobile_stamp(DesktopId("d1"), Epoch(7))
    assert [body_of(codec.to_mobile(e, stamp, 1))["message_id"] for e in (first, second, first)] == ["1", "2", "1"]


# -- what the hub reads --------------------------------------------------------------------------------------------


def addressed(codec: JsonCodec, payload: str, kind: str = "user:message") -> DesktopId | Fault:
    text = f'{{"type":"{kind}","payload":{payload},"timestamp":1,"message_id":"m"}}'
    return codec.addressed_desktop(taken(codec, text))


def test_a_phones_message_names_its_desktop(codec: JsonCodec) -> None:
    assert addressed(codec, '{"text":"hi","desktop_id":"d1"}') == "d1"


def test_a_new_session_names_its_session_too(codec: JsonCodec) -> None:
    assert addressed(codec, '{"desktop_id":"d1","session_id":"s"}', "session:create") == "d1"
    assert isinstance(addressed(codec, '{"desktop_id":"d1"}', "session:create"), Fault)


@pytest.mark.parametrize(
    "payload",
    [
        "{}",
        '{"desktop_id":5}',
        '{"desktop_id":null}',
        '{"desktop_id":""}',
        '{"desktop_id":"a b"}',
        '{"desktop_id":"a\\u0000"}',
        '{"desktop_id":"d1","desktop_id":"d2"}',
        '{"desktop_id":"d1","desktop_\\u0069d":"d2"}',
        '{"\\u0064esktop_id":"d1","desktop_id":"d1"}',
        '{"x":{"desktop_id":"d1"}}',
    ],
)
def test_a_desktop_id_that_could_be_read_in_two_ways_or_in_none_is_a_bad_payload(
    codec: JsonCodec, payload: str
) -> None:
    fault = addressed(codec, payload)
    assert isinstance(fault, Fault)
    assert (fault.code, fault.message_id) == (ErrorCode.BAD_PAYLOAD, "m")


@pytest.mark.parametrize(
    "payload",
    [
        '{"desktop_id":"d1","quote":{"desktop_id":"d2"}}',
        '{"desktop_id":"d1","text":"\\u00e9","x":{"a":1,"a":2}}',
        '{"desktop_\\u0069d":"d1"}',
        '{"desktop_id":"\\u0064\\u0031"}',
    ],
)
def test_escapes_and_the_same_name_further_inside_do_no_harm(codec: JsonCodec, payload: str) -> None:
    assert addressed(codec, payload) == "d1"


@pytest.mark.parametrize("reason", ["closed", "going_home2", "x" * 32])
def test_a_goodbye_tells_its_reason(codec: JsonCodec, reason: str) -> None:
    assert codec.goodbye_reason(taken(codec, spell(payload={"reason": reason}))) == reason


@pytest.mark.parametrize("reason", ["", "x" * 33, "Closed", "two words", "2nd", "closed\n", "é", "{", 5, None, ["a"]])
def test_a_reason_is_one_short_lower_case_word(codec: JsonCodec, reason: object) -> None:
    assert isinstance(codec.goodbye_reason(taken(codec, spell(payload={"reason": reason}))), Fault)


def test_a_refresh_brings_its_token_which_no_answer_quotes(codec: JsonCodec) -> None:
    assert codec.refresh_token(taken(codec, spell(payload={"token": "a.b.c"}))) == "a.b.c"
    for token in ("", "SECRET" * 2000, 5):
        fault = codec.refresh_token(taken(codec, spell(payload={"token": token})))
        assert isinstance(fault, Fault)
        assert "SECRET" not in fault.text


# -- what the hub says ---------------------------------------------------------------------------------------------

NOTICES: list[tuple[Notice, str, dict[str, Any]]] = [
    (
        Welcome(ConnectionId("c"), NodeId("n"), 1, 2, 3, 4, 5),
        "welcome",
        {
            "connection_id": "c",
            "node_id": "n",
            "server_time": 1,
            "heartbeat_ms": 2,
            "timeout_ms": 3,
            "max_bytes": 4,
            "token_expires_at": 5,
        },
    ),
    (HeartbeatAck(1, 2), "heartbeat:ack", {"server_time": 1, "next_ms": 2}),
    (
        DesktopOnline(DesktopId("d"), 'a "name"', None, 1, 2),
        "desktop:online",
        {"desktop_id": "d", "name": 'a "name"', "platform": None, "since": 1, "last_seen": 2},
    ),
    (
        DesktopOffline(DesktopId("d"), None, "mac", 2, "lost"),
        "desktop:offline",
        {"desktop_id": "d", "name": None, "platform": "mac", "last_seen": 2, "reason": "lost"},
    ),
    (Goodbye("restarting", 7), "goodbye", {"reason": "restarting", "retry_after_ms": 7}),
    (
        Resumed(DesktopId("d"), complete=True, offset=Offset(7, 3)),
        "resumed",
        {"desktop_id": "d", "complete": True, "offset": "7-3"},
    ),
    (
        Receipt("m", DesktopId("d"), Status.STORED),
        "receipt",
        {"message_id": "m", "desktop_id": "d", "status": "stored"},
    ),
    (
        Receipt("m", DesktopId("d"), Status.DUPLICATE, Status.DELIVERED),
        "receipt",
        {"message_id": "m", "desktop_id": "d", "status": "duplicate", "latest": "delivered"},
    ),
    (Fault(ErrorCode.QUEUE_FULL, "why"), "error", {"code": "queue_full", "message": "why"}),
    (
        Fault(ErrorCode.RATE_LIMITED, "why", "m", 5),
        "error",
        {"code": "rate_limited", "message": "why", "message_id": "m", "retry_after_ms": 5},
    ),
]


@pytest.mark.parametrize(("notice", "kind", "payload"), NOTICES)
def test_a_notice_is_an_envelope_of_the_contract(
    codec: JsonCodec, notice: Notice, kind: str, payload: dict[str, Any]
) -> None:
    assert body_of(codec.notice(notice)) == {"type": kind, "payload": payload, "timestamp": WALL_S * 1000}


def test_a_notice_tells_where_the_desktop_stands_beside_the_payload(codec: JsonCodec) -> None:
    notice = DesktopOnline(DesktopId("d"), None, None, 1, 2)
    assert body_of(codec.notice(notice, Offset(7, 3)))["offset"] == "7-3"
