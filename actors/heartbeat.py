"""The watchdog: is the peer alive, should it be asked, or is it gone? A pure decision on given times."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do; look again in `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Probe:
    """Send a ping now; look again in `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Dead:
    """Nothing came for the whole timeout."""


Verdict: TypeAlias = Wait | Probe | Dead
_DEAD = Dead()


class Watchdog:
    """Watches one peer. Any frame proves life (docs/protocol.md, "Heartbeat and presence").

    Args:
        timeout_s: Silence after which the peer is taken for dead.
        probe_every_s: How often a ping is due, or None for peers that speak by themselves.
        now: Monotonic seconds, here and in `check`.
    """

    __slots__ = ("_last_probe", "_probe_every_s", "_timeout_s", "last_heard")

    def __init__(self, timeout_s: float, probe_every_s: float | None, now: float) -> None:
        self._timeout_s = timeout_s
        self._probe_every_s = probe_every_s
        self._last_probe = now
        self.last_heard = now

    def check(self, now: float) -> Verdict:
        """Decide. After `Probe` the ping counts as sent."""
        left = self.last_heard + self._timeout_s - now
        if left <= 0:
            return _DEAD
        if self._probe_every_s is None:
            return Wait(left)
        due = self._last_probe + self._probe_every_s - now
        if due > 0:
            return Wait(min(left, due))
        self._last_probe = now
        return Probe(min(left, self._probe_every_s))
