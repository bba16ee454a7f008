"""When to come back, and with which token: what `advice` says, kept from becoming a storm. No I/O."""

from dataclasses import dataclass

from hub.client.backoff import Backoff
from hub.client.closing import Parting, Retry, RetryNow, Stop, advice, stop_text
from hub.client.errors import HubClosed

STABLE_S = 10.0
"""A connection that lived this long was a good one: the failures before it are forgotten."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Come back in `delay_s` seconds; if `new_token`, only with another token than the last."""

    delay_s: float
    new_token: bool = False


class Reconnection:
    """Plans one try after the other.

    "At once" is granted once; after that only a stable connection earns it again, so that a hub that says 4202 to
    everybody isn't hammered. A refused token is replaced once; after that only a `welcome` earns another try.
    """

    __slots__ = ("_at_once", "_backoff", "_refused_before")

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._at_once = True
        self._refused_before = False

    def plan(self, parting: Parting, lived_s: float | None) -> Plan:
        """Return what to do after `parting`.

        Args:
            parting: How it ended.
            lived_s: Seconds from `welcome` to the end; None if there was no `welcome`.

        Raises:
            HubClosed: Nothing; this client is to stop.
        """
        self._learn(lived_s)
        match advice(parting):
            case Stop(text):
                raise HubClosed(parting.code, parting.name, text)
            case RetryNow(new_token=True) if lived_s is None:
                self._spend_refusal(parting)
                return Plan(self._soon(), new_token=True)
            case RetryNow(new_token):
                return Plan(self._soon(), new_token=new_token)
            case Retry(after_s):
                return Plan(after_s + self._backoff.next_delay())

    def _learn(self, lived_s: float | None) -> None:
        if lived_s is None:
            return
        self._refused_before = False
        if lived_s >= STABLE_S:
            self._at_once = True
            self._backoff.reset()

    def _spend_refusal(self, parting: Parting) -> None:
        if self._refused_before:
            raise HubClosed(parting.code, parting.name, stop_text(parting.code))
        self._refused_before = True

    def _soon(self) -> float:
        if not self._at_once:
            return self._backoff.next_delay()
        self._at_once = False
        return 0.0
