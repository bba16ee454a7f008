"""Which tokens a revocation refuses, since when, until when."""

from dataclasses import replace

import pytest

from actors.messages import DesktopIdentity, MobileIdentity
from hub.auth.tokens import ServiceIdentity
from hub.revocation import known as known_module
from hub.revocation.known import KnownRevocations, Revocation, Target
from tests.support.actors import WALL_S, HandClock
from tests.unit.hub.revocation.support import (
    DESKTOP,
    DEVICE,
    LATER_MS,
    NOW_MS,
    TOKEN,
    USER,
    desktop,
    phone,
    revocation,
)


def _known(*revocations: Revocation, clock: HandClock | None = None) -> KnownRevocations:
    known = KnownRevocations(clock or HandClock())
    for each in revocations:
        known.add(each)
    return known


def test_without_revocations_nothing_is_refused() -> None:
    assert not _known().cover(desktop(token="t1"))
    assert len(_known()) == 0


@pytest.mark.parametrize(
    ("target", "identity", "refused"),
    [
        (USER, phone(), True),
        (USER, phone(device=None), True),
        (USER, desktop(), True),
        (USER, phone("u2"), False),
        (USER, desktop("d1", "u2"), False),
        (DESKTOP, desktop(), True),
        (DESKTOP, desktop("d1", "u2"), True),
        (DESKTOP, desktop("d2"), False),
        (DESKTOP, phone("d1", "d1"), False),
        (DEVICE, phone(), True),
        (DEVICE, phone(device="tablet"), False),
        (DEVICE, phone(device=None), False),
        (DEVICE, phone("u2"), False),
        (DEVICE, desktop(), False),
        (TOKEN, phone(token="t1"), True),
        (TOKEN, desktop(token="t1"), True),
        (TOKEN, phone(token="t2"), False),
        (TOKEN, phone(), False),
        (("jti", "u1"), phone(), False),
    ],
)
def test_a_revocation_refuses_what_it_names_and_nothing_else(
    target: Target, identity: DesktopIdentity | MobileIdentity, refused: bool
) -> None:
    assert _known(revocation(target)).cover(identity) is refused


@pytest.mark.parametrize("target", [USER, DESKTOP])
def test_only_tokens_issued_before_it_are_refused(target: Target) -> None:
    known = _known(revocation(target))
    assert known.cover(desktop(issued_at=WALL_S - 0.001))
    assert not known.cover(desktop(issued_at=WALL_S))
    assert not known.cover(desktop(issued_at=WALL_S + 1))


def test_an_iat_in_whole_seconds_counts_as_before_in_its_own_second() -> None:
    known = _known(revocation(USER, at=NOW_MS + 400))
    assert known.cover(phone(issued_at=WALL_S))
    assert not known.cover(phone(issued_at=WALL_S + 1))


def test_a_token_is_refused_by_its_name_whenever_it_says_it_was_issued() -> None:
    assert _known(revocation(TOKEN)).cover(phone(token="t1", issued_at=WALL_S + 5))


def test_a_service_token_is_refused_by_its_name_alone() -> None:
    known = _known(revocation(TOKEN), revocation(("user_id", "billing")))
    assert known.cover(ServiceIdentity("billing", WALL_S + 60, "t1"))
    assert not known.cover(ServiceIdentity("billing", WALL_S + 60, "t2"))


def test_it_holds_until_its_end() -> None:
    clock = HandClock()
    known = _known(revocation(USER), clock=clock)
    clock.passed_s = 59.999
    assert known.cover(phone())
    clock.passed_s = 60
    assert not known.cover(phone())


def test_what_is_over_is_forgotten_and_not_taken_in() -> None:
    clock = HandClock()
    known = _known(revocation(USER), revocation(TOKEN, until=LATER_MS + 1), clock=clock)
    clock.passed_s = 60
    known.forget_what_is_over()
    assert [each.target for each in known] == [TOKEN]
    assert known.add(revocation(USER)) is None


def test_the_same_again_changes_nothing() -> None:
    known = _known(revocation(USER))
    assert known.add(revocation(USER, name="r2")) is None
    assert known.add(revocation(USER, NOW_MS - 1, LATER_MS - 1)) is None


def test_of_two_for_the_same_target_both_hold() -> None:
    known = _known(revocation(USER))
    assert known.add(revocation(USER, NOW_MS + 5000, LATER_MS - 1000, "r2")) == revocation(
        USER, NOW_MS + 5000, LATER_MS, "r2"
    )
    assert known.add(revocation(USER, NOW_MS, LATER_MS + 1, "r3")) == revocation(
        USER, NOW_MS + 5000, LATER_MS + 1, "r2"
    )
    assert len(known) == 1


def test_the_oldest_is_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_module, "MOST", 2)
    known = _known(revocation(USER), revocation(DESKTOP), replace(revocation(USER), at=NOW_MS + 1))
    known.add(revocation(TOKEN))
    assert [each.target for each in known] == [USER, TOKEN]
    assert known.dropped == 1
