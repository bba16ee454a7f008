"""Revocations as fields of a stream, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.revocation.entries import fields_of, read_revocation
from hub.revocation.known import Revocation, Target
from tests.unit.hub.revocation.support import DEVICE, USER, revocation

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
TARGETS: st.SearchStrategy[Target] = st.one_of(
    st.tuples(st.just("jti"), NAMES), st.tuples(st.just("device_id"), NAMES, NAMES)
)


def _on_the_wire(written: Revocation) -> list[bytes]:
    return [str(each).encode() for each in fields_of(written)]


@given(target=TARGETS, at=st.integers(0), until=st.integers(0))
def test_what_is_written_is_read(target: Target, at: int, until: int) -> None:
    written = Revocation("r1", target, at, until)
    assert read_revocation(_on_the_wire(written)) == written


def test_the_fields_are_named() -> None:
    fields = fields_of(revocation(DEVICE, 1, 2))
    assert fields == ("revocation_id", "r1", "target", '["device_id","u1","phone"]', "at", 1, "until", 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"target", b""),
        (b"target", b"[]"),
        (b"target", b'["user_id"]'),
        (b"target", b'["user_id","a","b"]'),
        (b"target", b'["device_id","a"]'),
        (b"target", b'["somebody","a"]'),
        (b"target", b'["user_id",7]'),
        (b"target", b"\xff"),
        (b"at", b"soon"),
        (b"until", b""),
        (b"revocation_id", b"\xff"),
    ],
)
def test_a_damaged_entry_is_none(name: bytes, value: bytes) -> None:
    fields = _on_the_wire(revocation(USER))
    fields[fields.index(name) + 1] = value
    assert read_revocation(fields) is None


def test_an_entry_that_lacks_something_is_none() -> None:
    fields = _on_the_wire(revocation(USER))
    assert read_revocation(fields[2:]) is None
    assert read_revocation(fields[:-1]) is None
    assert read_revocation([]) is None
