"""What services may send (docs/protocol.md, "Messages over HTTP")."""

import json

import pytest

from actors.clock import SystemClock
from actors.ids import DesktopId, UserId
from actors.messages import Envelope, MobileIdentity
from hub.frames import text_of
from hub.routes.letter_bodies import read_message, read_session
from hub.routes.problems import Problem
from hub.wire import JsonCodec

D1 = DesktopId("d1")
DEEP = '{"payload":{"x":' + "[" * 300 + "]" * 300 + "}}"


def codec() -> JsonCodec:
    return JsonCodec(SystemClock())


def as_a_desktop_gets_it(envelope: Envelope, wire: JsonCodec) -> str:
    return text_of(wire.to_desktop(envelope, MobileIdentity(UserId("u1"), 0))).decode()


def test_a_message_is_what_a_phone_would_have_said() -> None:
    wire = codec()
    body = '{"payload": {"desktop_id": "d1", "text":"h\\u00e9 🙂", "n": 1.50}, "message_id": "a", "valid_until": 5}'
    envelope = read_message(wire, D1, body.encode())
    assert (envelope.type, envelope.message_id, envelope.valid_until) == ("user:message", "a", 5)
    said = (
        '{"type":"user:message","payload":{"desktop_id":"d1","text":"h\\u00e9 🙂","n":1.50},'
        f'"timestamp":{envelope.timestamp},"message_id":"a","valid_until":5}}'
    )
    phones = wire.decode(said)
    assert as_a_desktop_gets_it(envelope, wire) == as_a_desktop_gets_it(phones, codec())  # type: ignore[arg-type]
    assert wire.fingerprint(envelope) == wire.fingerprint(phones)  # type: ignore[arg-type]


@pytest.mark.parametrize("payload", ["{}", '{"text":"x"}'])
def test_the_desktop_is_named_in_the_payload(payload: str) -> None:
    wire = codec()
    text = as_a_desktop_gets_it(read_message(wire, D1, f'{{"payload":{payload}}}'.encode()), wire)
    assert json.loads(text)["payload"] == {"desktop_id": "d1", **json.loads(payload)}


def test_a_name_is_made_if_none_is_given() -> None:
    names = {read_message(codec(), D1, b'{"payload":{}}').message_id for _ in range(2)}
    assert len(names) == 2
    assert None not in names


def test_a_session_is_all_but_the_members_of_the_envelope() -> None:
    wire = codec()
    body = b'{"session_id":"s","message_id":"a","valid_until":5,"cwd":"/","deep":{"message_id":"own"}}'
    envelope = read_session(wire, D1, body)
    assert (envelope.type, envelope.message_id, envelope.valid_until) == ("session:create", "a", 5)
    payload = json.loads(as_a_desktop_gets_it(envelope, wire))["payload"]
    assert payload == {"desktop_id": "d1", "session_id": "s", "cwd": "/", "deep": {"message_id": "own"}}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"junk",
        b"\xff",
        b"[]",
        b"{}",
        b'{"payload":[]}',
        b'{"payload":null}',
        b'{"payload":{},"message_id":""}',
        b'{"payload":{},"message_id":null}',
        b'{"payload":{},"valid_until":-1}',
        b'{"payload":{},"valid_untill":1}',
        b'{"payload":{"desktop_id":"other"}}',
        b'{"payload":{"desktop_id":1}}',
        b'{"payload":{"x":NaN}}',
        DEEP.encode(),
        (b'{"payload":{"x":' + b"1" * 4301 + b"}}"),
        b'{"payload":' + b"[" * 100_000,
    ],
    ids=lambda body: body[:30].decode(errors="replace") + f" {len(body)}",
)
def test_what_is_no_message(body: bytes) -> None:
    with pytest.raises(Problem) as refused:
        read_message(codec(), D1, body)
    assert (refused.value.status, refused.value.code) == (400, "bad_payload")


@pytest.mark.parametrize(
    "body",
    [
        b"junk",
        b"\xff",
        b"[]",
        b"{}",
        b'{"session_id":1}',
        b'{"session_id":""}',
        b'{"session_id":"s","message_id":7}',
        b'{"session_id":"s","desktop_id":"other"}',
    ],
)
def test_what_is_no_session(body: bytes) -> None:
    with pytest.raises(Problem) as refused:
        read_session(codec(), D1, body)
    assert (refused.value.status, refused.value.code) == (400, "bad_payload")
    assert "\n" not in refused.value.text
