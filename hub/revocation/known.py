"""Revocations as a node keeps them: what each is about, and which tokens it refuses."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from actors.clock import Clock
from actors.messages import DesktopIdentity, MobileIdentity
from hub.auth.tokens import ServiceIdentity, TokenIdentity

MOST = 100_000
"""So many revocations are in force at once; one more, and the oldest is forgotten and counted."""

Target: TypeAlias = (
    tuple[Literal["jti", "desktop_id", "user_id"], str]
    # A device's name means something only together with its user's.
    | tuple[Literal["device_id"], str, str]
)
"""What is revoked: a kind, and the names. A device's are its user's and its own."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """One target's. Times in milliseconds since the epoch.

    Tokens issued before `at` are refused until `until`; of a `jti`, the token, whenever it was issued.
    """

    revocation_id: str
    target: Target
    at: int
    until: int

    def implies(self, other: "Revocation") -> bool:
        """Whether this one refuses all that `other`, of the same target, does."""
        return self.at >= other.at and self.until >= other.until

    def joined(self, other: "Revocation") -> "Revocation":
        """Return one that implies both. It may hold longer for some tokens than was asked; they have run out then."""
        newer = max(self, other, key=lambda each: each.at)
        return Revocation(newer.revocation_id, self.target, newer.at, max(self.until, other.until))


class KnownRevocations:
    """The revocations in force, in memory. The port `hub.auth.tokens.Revocations`: a check is a few look-ups.

    Attributes:
        dropped: Revocations that were forgotten too soon, because there were more than `MOST`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_target: dict[Target, Revocation] = {}
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._by_target)

    def __iter__(self) -> Iterator[Revocation]:
        return iter(self._by_target.values())

    def by_target(self) -> dict[Target, Revocation]:
        """Return all of them, as a copy: 100,000 in some 10 ms."""
        return self._by_target.copy()

    def cover(self, identity: TokenIdentity) -> bool:
        """Tell whether the token that speaks for `identity` is revoked."""
        return bool(self._by_target) and any(self._refuses(target, identity) for target in _targets(identity))

    def add(self, revocation: Revocation) -> Revocation | None:
        """Take in a revocation; return what now holds for its target, or None if that changes nothing."""
        older = self._by_target.get(revocation.target)
        if revocation.until <= self._clock.wall_ms() or (older is not None and older.implies(revocation)):
            return None
        whole = revocation if older is None else older.joined(revocation)
        self._by_target.pop(whole.target, None)  # so that the one that changed last stands last
        self._by_target[whole.target] = whole
        if len(self._by_target) > MOST:
            del self._by_target[next(iter(self._by_target))]
            self.dropped += 1
        return whole

    def forget_what_is_over(self) -> None:
        """Make room; 100,000 are gone through in some 10 ms, so do it now and then."""
        now = self._clock.wall_ms()
        for target in [each.target for each in self if each.until <= now]:
            del self._by_target[target]

    def _refuses(self, target: Target, identity: TokenIdentity) -> bool:
        revocation = self._by_target.get(target)
        if revocation is None or revocation.until <= self._clock.wall_ms():
            return False
        if target[0] == "jti":
            return True
        return not isinstance(identity, ServiceIdentity) and identity.issued_at * 1000 < revocation.at


def _targets(identity: TokenIdentity) -> Iterator[Target]:
    """Name everything whose revocation refuses the token."""
    if identity.token_id is not None:
        yield "jti", identity.token_id
    match identity:
        case DesktopIdentity(desktop_id=desktop_id, user_id=user_id):
            yield "desktop_id", desktop_id
            yield "user_id", user_id
        case MobileIdentity(user_id=user_id, device_id=device_id):
            yield "user_id", user_id
            if device_id is not None:
                yield "device_id", user_id, device_id
